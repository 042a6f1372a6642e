"""Media call: speech to text, text to speech, and pictures, from the models of three tables, through LiteLLM."""

# LiteLLM's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ModelError
from openmanus_graph.models.attempts import answered
from openmanus_graph.models.catalog import Catalog, ModelTarget
from openmanus_graph.models.providers import ask_once
from openmanus_graph.tools.web.download import Downloader

Counted = Callable[[Any], Awaitable[None]]
"""Counts an answer of a provider, before anybody looks whether it is of use: it is paid for."""
Table = Literal["transcription", "speech", "image"]
"""The tables of `[models]` that name these models; that of `[models.default]` talks and does none of this."""


def media_target(settings: Settings, table: Table) -> ModelTarget | None:
    """The model of a table; `None` if the settings name none.

    Raises:
        NoModelError: If its key is missing.
    """
    found = settings.models.get(table)
    return None if found is None or not found.model else Catalog(settings).targets(table)[0]


async def transcribe(target: ModelTarget, name: str, data: bytes, language: str | None, counted: Counted) -> str:
    """The words that a recording holds.

    Args:
        target: The model.
        name: The file's name, whose ending tells the format.
        data: The recording.
        language: Its language, two letters; `None` leaves that to the model.
        counted: Counts the answer.

    Raises:
        ModelError: If the provider failed for good, or refuses.
    """
    given = {"file": (name, data), **({} if language is None else {"language": language})}
    answer = await answered(target, lambda: ask_once(target, "atranscription", given))
    await counted(answer)
    text = getattr(answer, "text", None)
    if not isinstance(text, str):
        raise _unusable(target, "no text")
    return text


async def speak(target: ModelTarget, text: str, voice: str, counted: Counted) -> bytes:
    """A text as MP3; `counted` counts the answer.

    Raises:
        ModelError: If the provider failed for good, or refuses.
    """
    answer = await answered(target, lambda: ask_once(target, "aspeech", {"input": text, "voice": voice}))
    await counted(answer)
    data = getattr(answer, "content", None)
    if not isinstance(data, bytes) or not data:
        raise _unusable(target, "no sound")
    return data


async def draw(target: ModelTarget, prompt: str, size: str | None, counted: Counted) -> bytes:
    """A picture; one that a provider gives the address of is downloaded behind the guard. `counted` counts the answer.

    Raises:
        ModelError: If the provider failed for good, or refuses.
        ToolError: If a picture cannot be downloaded.
    """
    given = {"prompt": prompt, "n": 1, **({} if size is None else {"size": size})}
    answer = await answered(target, lambda: ask_once(target, "aimage_generation", given))
    await counted(answer)
    try:
        picture = answer.data[0]
        encoded, url = picture.b64_json, picture.url
        if encoded:
            return base64.b64decode(encoded, validate=True)
    except (AttributeError, IndexError, TypeError, binascii.Error) as error:
        raise _unusable(target, "no picture") from error
    if not url:
        raise _unusable(target, "no picture")
    downloader = Downloader(())
    try:
        found = await downloader.get(str(url))
    finally:
        await downloader.aclose()
    if found.status >= 400 or found.truncated:
        raise _unusable(target, f"a picture that cannot be had ({found.status})")
    return found.body


def _unusable(target: ModelTarget, what: str) -> ModelError:
    return ModelError(f"The model {target.name!r} of the role {target.role!r} gave {what}.")

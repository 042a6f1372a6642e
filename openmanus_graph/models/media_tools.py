"""Media tools: transcribe_audio, speak and generate_image, offered where a model for them is configured.

They stand beside the models that they ask; files are those of the workspace.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast

from langchain_core.runnables.config import ensure_config
from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.call_site import CallSite
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import BudgetError, ModelError, ToolError
from openmanus_graph.events import Usage
from openmanus_graph.files.safe_paths import SafePath, locate, open_parent, read_file, write_file
from openmanus_graph.models.catalog import ModelTarget
from openmanus_graph.models.media_call import Table, draw, media_target, transcribe
from openmanus_graph.models.media_call import speak as spoken
from openmanus_graph.models.providers import price_of
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.scope import scope_of
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.usage import NO_USAGE

AnswerT = TypeVar("AnswerT")

MOST_BYTES = 25 * 2**20
"""Bytes of a recording, as most providers take them."""
_ENDINGS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"GIF8": "gif"}


def _unavailable(table: Table, does: str) -> Callable[[Settings], str | None]:
    def why(settings: Settings) -> str | None:
        found = settings.models.get(table)
        if found is not None and found.model:
            return None
        return f"No model {does}: name one in [models.{table}], as in model = {_EXAMPLES[table]!r}."

    return why


_EXAMPLES: dict[Table, str] = {
    "transcription": "openai/gpt-4o-mini-transcribe",
    "speech": "openai/gpt-4o-mini-tts",
    "image": "openai/gpt-image-1",
}


class TranscribeArguments(BaseModel):
    """Which recording to read."""

    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="The recording, a file of the workspace: mp3, mp4, wav, m4a, webm, ogg, flac.")
    language: str | None = Field(default=None, pattern="^[A-Za-z]{2}$", description="Its language, two letters.")


class SpeakArguments(BaseModel):
    """What to say."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=4096, description="The words.")
    voice: str = Field(default="alloy", description="The voice, as the provider names it.")
    path: str | None = Field(default=None, description="The file to write, .mp3; by default one is chosen.")


class ImageArguments(BaseModel):
    """What to draw."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field(min_length=1, max_length=8000, description="What the picture shows.")
    size: str | None = Field(default=None, pattern=r"^\d{2,5}x\d{2,5}$", description="Such as 1024x1024.")
    path: str | None = Field(default=None, description="The file to write; by default one is chosen.")


_READS = ToolSpec(
    effect="read",
    idempotent=True,
    on_request=True,
    timeout_s=600,
    returns={"text": TEXT},
    free_text=("text",),
    unavailable=_unavailable("transcription", "transcribes"),
)
_SPEAKS = ToolSpec(
    effect="write",
    idempotent=True,
    on_request=True,
    timeout_s=600,
    returns={"path": TEXT},
    unavailable=_unavailable("speech", "speaks"),
)
_DRAWS = ToolSpec(
    effect="write",
    idempotent=True,
    on_request=True,
    timeout_s=600,
    shows="path",
    returns={"path": TEXT},
    unavailable=_unavailable("image", "draws"),
)


@builtin_tool("transcribe_audio", TranscribeArguments, _READS)
async def transcribe_audio(path: str, language: str | None = None) -> dict[str, Any]:
    """Write down what is said in a recording; returns its text."""
    context = tool_context()
    data, size = read_file(locate(context.workspace, path), MOST_BYTES)
    if size > MOST_BYTES:
        raise ToolError(f"The recording {path!r} has {size:,} bytes; at most {MOST_BYTES:,} can be transcribed.")
    call = _MediaCall("transcription", context)
    name = PurePosixPath(path).name
    return {"text": await call.made(lambda: transcribe(call.target, name, data, language, call.count))}


@builtin_tool("speak", SpeakArguments, _SPEAKS)
async def speak(text: str, voice: str = "alloy", path: str | None = None) -> dict[str, Any]:
    """Say a text aloud, into an MP3 file of the workspace; returns its path."""
    context = tool_context()
    name = path or f"speech-{_digest(text, voice)}.mp3"
    place = locate(context.workspace, name)
    call = _MediaCall("speech", context)
    _write(place, await call.made(lambda: spoken(call.target, text, voice, call.count)))
    return {"path": place.path}


@builtin_tool("generate_image", ImageArguments, _DRAWS)
async def generate_image(prompt: str, size: str | None = None, path: str | None = None) -> dict[str, Any]:
    """Draw a picture from a description, into a file of the workspace; returns its path."""
    context = tool_context()
    call = _MediaCall("image", context)
    if path is not None:
        locate(context.workspace, path)  # refused before anything is paid for
    data = await call.made(lambda: draw(call.target, prompt, size, call.count))
    ending = next((name for mark, name in _ENDINGS.items() if data.startswith(mark)), None)
    if ending is None:
        raise ToolError(f"The model {call.target.name!r} gave what is no picture.")
    place = locate(context.workspace, path or f"image-{_digest(prompt, size or '')}.{ending}")
    _write(place, data)
    return {"path": place.path}


def _write(place: SafePath, data: bytes) -> None:
    """Write a file, and the folders above it that are missing."""
    with open_parent(place, make=True):
        write_file(place, data)


def _digest(*parts: str) -> str:
    """Names a file by what it is made of, so that a call that is made again after a crash writes the same one."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


class _MediaCall:
    """One call of a model, within the budget of its run."""

    def __init__(self, table: Table, context: ToolContext) -> None:
        """Check the budget before anything is sent.

        Raises:
            ToolError: If a budget is used up, or no model is configured.
        """
        target = media_target(context.settings, table)
        if target is None:
            raise ToolError(cast("str", _unavailable(table, "does this")(context.settings)))
        self.target: ModelTarget = target
        self._place = CallSite(table, context.subtask_id)
        self._spending = scope_of(ensure_config(), context.settings).spending
        try:
            self._spending.check()
        except BudgetError as error:  # it is the call that cannot be made; the run decides by itself when it ends
            raise ToolError(error.message, hint=error.hint) from error
        self._sent: int | None = None
        self._began = time.monotonic()

    async def made(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """What the model gives; its failure is the call's, and ends no run.

        That it is sent is committed first: it is paid for, whatever becomes of this process.

        Raises:
            ToolError: If it fails, or refuses.
        """
        self._sent = await self._spending.send(self._place, self.target.name)
        try:
            return await ask()
        except ModelError as error:
            await self._spending.forget(self._sent)  # counted by now, if there was an answer
            raise ToolError(error.message, hint=error.hint) from error

    async def count(self, answer: Any) -> None:
        """Count an answer, with its price where that is known."""
        usage = cast("Usage", {**NO_USAGE, "calls": 1, "cost_usd": price_of(self.target, answer)})
        sent, self._sent = self._sent, None
        await self._spending.add(self._place, self.target.name, usage, time.monotonic() - self._began, sent)

"""Pictures: which image files of a conversation a model is shown; messages keep their paths and hashes only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from langchain_core.messages import BaseMessage

from openmanus_graph.errors import ToolError
from openmanus_graph.files.picture import is_named_as_picture, sha256_of
from openmanus_graph.models.pictures import IMAGE_TOKENS, reference
from openmanus_graph.state import NotedPicture

PICTURES = "pictures"
"""Where a message keeps, in `additional_kwargs`, which pictures belong to it."""
MOST_SHOWN = 3
"""Pictures of a conversation that a model is shown, the newest ones: each takes some thousand tokens in every step."""
OLDER = "[The picture {path} is not shown any more; `view_image` shows it again.]"

MessageT = TypeVar("MessageT", bound=BaseMessage)


def noted_in(message: BaseMessage) -> list[NotedPicture]:
    """The pictures that belong to a message."""
    return message.additional_kwargs.get(PICTURES) or []


def noting(pictures: Sequence[NotedPicture]) -> dict[str, Any]:
    """What a message keeps of its pictures in `additional_kwargs`; nothing where it has none."""
    return {PICTURES: list(pictures)} if pictures else {}


def pictures_named(paths: Sequence[str]) -> list[NotedPicture]:
    """Those of some files that are pictures by their names."""
    return [NotedPicture(path=path, sha256="") for path in paths if is_named_as_picture(path)]


async def with_hashes(messages: Sequence[MessageT], workspace: Path) -> list[MessageT]:
    """Messages whose new pictures have their hashes; a file that is none is no picture of theirs."""
    if all(noted["sha256"] for message in messages for noted in noted_in(message)):
        return list(messages)
    return await asyncio.to_thread(lambda: [_with_hashes(message, workspace) for message in messages])


def _with_hashes(message: MessageT, workspace: Path) -> MessageT:
    noted = [known if known["sha256"] else _looked(known["path"], workspace) for known in noted_in(message)]
    found = [one for one in noted if one is not None]
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, PICTURES: found}})


def _looked(path: str, workspace: Path) -> NotedPicture | None:
    try:
        return NotedPicture(path=path, sha256=sha256_of(workspace, path))
    except (ToolError, OSError):  # the message names it all the same
        return None


def tokens_of_pictures(messages: Sequence[BaseMessage]) -> int:
    """Tokens that the pictures of a conversation take, for a model that sees."""
    return min(sum(len(noted_in(message)) for message in messages), MOST_SHOWN) * IMAGE_TOKENS


def referring(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Messages with references to their pictures, for a request; the newest are shown, of others a line says so."""
    shown: list[BaseMessage] = []
    seen: set[tuple[str, str]] = set()
    for message in reversed(messages):
        noted = noted_in(message)
        shown.append(_referring(message, noted, seen) if noted else message)
    return shown[::-1]


def _referring(message: BaseMessage, noted: Sequence[NotedPicture], seen: set[tuple[str, str]]) -> BaseMessage:
    content = cast("str | list[str | dict[str, Any]]", message.content)
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else [*content]
    added: list[str | dict[str, Any]] = []
    for one in reversed(noted):
        key = (one["path"], one["sha256"])
        if key in seen or len(seen) >= MOST_SHOWN:
            added.append({"type": "text", "text": OLDER.format(path=one["path"])})
        else:
            seen.add(key)
            added.append(reference(*key))
    return message.model_copy(update={"content": [*blocks, *added[::-1]]})

"""Pictures: image files in messages, as references that become content blocks when a request is sent.

A reference holds the file's path in the workspace and its hash. So no bytes of a picture are in a checkpoint or a
recording, and the same prompt is made again after a crash.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from langchain_core.messages import BaseMessage

from openmanus_graph.errors import ToolError
from openmanus_graph.files.picture import picture_in

IMAGE_TOKENS = 1_000
"""Tokens taken for an image."""
_FILE = "openmanus_graph_file"
"""The member of an image block that says it is a reference."""

Block = str | dict[str, Any]


def reference(path: str, sha256: str) -> dict[str, Any]:
    """An image block that stands for a file of the workspace.

    Args:
        path: The file's path in the workspace.
        sha256: Its hash as it is to be shown; a file that has another by now is not.
    """
    return {"type": "image", _FILE: {"path": path, "sha256": sha256}}


def referred_file(block: Block) -> Mapping[str, str] | None:
    """Path and hash of a block that is a reference; `None` of any other."""
    return block.get(_FILE) if isinstance(block, dict) else None


def has_references(messages: Sequence[BaseMessage]) -> bool:
    """Whether any message refers to a picture."""
    return any(referred_file(block) is not None for message in messages for block in _blocks(message))


def with_pictures(messages: Sequence[BaseMessage], folder: Path | None) -> list[BaseMessage]:
    """Messages with each reference replaced by the picture, or by a line that says why it is not shown; blocks.

    Args:
        messages: The prompt.
        folder: The workspace; `None` where there is none to read files of.
    """
    return [_with_pictures(message, folder) for message in messages]


def _blocks(message: BaseMessage) -> list[Block]:
    content = cast("str | list[Block]", message.content)
    return [] if isinstance(content, str) else content


def _with_pictures(message: BaseMessage, folder: Path | None) -> BaseMessage:
    blocks = _blocks(message)
    if all(referred_file(block) is None for block in blocks):
        return message
    shown = [block if (file := referred_file(block)) is None else _shown(file, folder) for block in blocks]
    return message.model_copy(update={"content": shown})


def _shown(file: Mapping[str, str], folder: Path | None) -> dict[str, Any]:
    path = file["path"]
    if folder is None:
        return _line(f"[The picture {path} is not shown: there is no workspace.]")
    try:
        picture = picture_in(folder, path)
    except (ToolError, OSError) as error:
        why = error.message if isinstance(error, ToolError) else str(error.strerror or error)
        return _line(f"[The picture {path} is not shown. {why}]")
    if picture.sha256 != file["sha256"]:
        return _line(f"[The picture {path} is not shown: the file has changed since. Look at it anew.]")
    data = base64.b64encode(picture.data).decode()
    return {"type": "image", "base64": data, "mime_type": picture.mime_type}


def _line(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}

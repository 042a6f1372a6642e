"""Body writer: the body of a request from the arguments of a call, as the operation says that it is written."""

from __future__ import annotations

import json
import mimetypes
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.files.safe_paths import locate, open_file
from openmanus_graph.tools.openapi.operation import Body, Parameter
from openmanus_graph.tools.openapi.serialization import query_parts, text_of

MOST_BYTES = 20 * 2**20
"""Bytes of a file that is sent."""


def written(body: Body, arguments: Mapping[str, Any], workspace: Path) -> tuple[str, bytes] | None:
    """The media type and the bytes of a body; `None` if the arguments have nothing of it.

    Args:
        body: How it is written.
        arguments: The arguments of the call.
        workspace: The folder that files are taken from.

    Raises:
        ToolArgumentsError: If it cannot be written.
        OutsideWorkspaceError: If a file is not in the workspace.
        ToolError: If a file cannot be read.
    """
    if body.argument is not None:
        if body.argument not in arguments:
            return None
        value = arguments[body.argument]
    else:
        value = {name: arguments[argument] for argument, name in body.members.items() if argument in arguments}
        if not value:
            return None
    match body.kind:
        case "json":
            return body.media, _json(value)
        case "form":
            return body.media, _form(body, value).encode()
        case "multipart":
            boundary = secrets.token_hex(16)
            return f"{body.media}; boundary={boundary}", _multipart(body, value, boundary, workspace)
        case "text":
            return f"{body.media}; charset=utf-8", text_of(value).encode("utf-8", "replace")
        case "file":
            media = body.media if "*" not in body.media else "application/octet-stream"
            return media, _file(value, workspace)[1]


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise ToolArgumentsError(f"The body cannot be sent: {error}.") from error


def _members(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ToolArgumentsError(f"The body cannot be {text_of(value)[:80]!r}.", hint="Give a mapping.")
    return cast("dict[str, Any]", value)


def _form(body: Body, value: Any) -> str:
    """Members as a form; a mapping or a list of such has its names in brackets where nothing else is said."""
    parts: list[str] = []
    for name, item in _members(value).items():
        stated = body.encodings.get(name, {})
        as_json = "json" in str(stated.get("contentType", ""))
        style = str(stated.get("style") or ("deepObject" if _is_deep(item) else "form"))
        explode = bool(stated.get("explode", style == "form"))
        parts += query_parts(Parameter(name, name, "query", style, explode, as_json=as_json), item)
    return "&".join(parts)


def _is_deep(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict | list) for item in cast("list[Any]", value))
    )


def _multipart(body: Body, value: Any, boundary: str, workspace: Path) -> bytes:
    pieces: list[bytes] = []
    for name, given in _members(value).items():
        stated = str(body.encodings.get(name, {}).get("contentType", ""))
        for item in cast("list[Any]", given) if isinstance(given, list) else [given]:
            head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
            if name in body.files:
                file, content = _file(item, workspace)
                media = stated if stated and not set("*,") & set(stated) else mimetypes.guess_type(file)[0]
                head += f'; filename="{_quoted(file)}"\r\nContent-Type: {media or "application/octet-stream"}'
            elif isinstance(item, dict | list) or "json" in stated:
                head, content = f"{head}\r\nContent-Type: application/json", _json(item)
            else:
                content = text_of(item).encode("utf-8", "replace")
            pieces.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + content + b"\r\n")
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _quoted(text: str) -> str:
    """A name inside quotes, as forms of pages write it."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _file(path: Any, workspace: Path) -> tuple[str, bytes]:
    """Name and content of a file of the workspace."""
    if not isinstance(path, str):
        raise ToolArgumentsError(f"A file cannot be {text_of(path)[:80]!r}.", hint="Give its path in the workspace.")
    place = locate(workspace, path)
    with os.fdopen(open_file(place), "rb") as stream:
        content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ToolArgumentsError(f"The file {path!r} has more than the {MOST_BYTES:,} bytes that are sent.")
    return place.parts[-1], content

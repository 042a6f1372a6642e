"""Content: what a server answered, as the output of a tool; pictures, sound and files go to the workspace."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from openmanus_graph.files.safe_paths import locate, open_parent, write_file

MOST_BYTES = 20 * 2**20
"""Bytes of one file that is kept."""
_ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp", "audio/mpeg": "mp3"} | {
    "audio/wav": "wav",
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/json": "json",
}


def output_of(answer: Mapping[str, Any], server: str, workspace: Path) -> tuple[Any, str | None]:
    """The output of a call, and its error if it says that it failed.

    Args:
        answer: The answer as it came.
        server: The server's name.
        workspace: The thread's folder, in which files are put below `mcp/`.

    Returns:
        The structured content where there is some, else `text`; `files` has the paths of what was put into files.
    """
    texts: list[str] = []
    files: list[str] = []
    content: Any = answer.get("content")
    for block in cast("list[Any]", content) if isinstance(content, list) else []:
        fields = cast("dict[str, Any]", block) if isinstance(block, dict) else {}
        text, file = _block(fields, server, workspace)
        texts += [text] if text else []
        files += [file] if file else []
    text = "\n".join(texts)
    if answer.get("isError") is True:
        return None, text or "The server says that the call failed, and not why."
    structured: Any = answer.get("structuredContent")
    output: dict[str, Any] = cast("dict[str, Any]", structured) if isinstance(structured, dict) else {"text": text}
    return ({**output, "files": files} if files else output), None


def _block(fields: Mapping[str, Any], server: str, workspace: Path) -> tuple[str, str | None]:
    """A block in words, and the file that it was put into."""
    kind: Any = fields.get("type")
    if kind == "text":
        return str(fields.get("text") or ""), None
    if kind in ("image", "audio"):
        return _kept(fields.get("data"), fields.get("mimeType"), server, workspace)
    if kind == "resource":
        inside: Any = fields.get("resource")
        resource = cast("dict[str, Any]", inside) if isinstance(inside, dict) else {}
        if isinstance(resource.get("text"), str):
            return str(resource["text"]), None
        return _kept(resource.get("blob"), resource.get("mimeType"), server, workspace)
    if kind == "resource_link":
        return f"[A link, not followed: {fields.get('name') or ''} {fields.get('uri') or ''}]", None
    return f"[Content of an unknown kind: {json.dumps(fields, default=str)[:200]}]", None


def _kept(data: Any, kind: Any, server: str, workspace: Path) -> tuple[str, str | None]:
    """Put bytes into a file that is named by what is in it, never by what the server says."""
    try:
        content = base64.b64decode(str(data or ""), validate=True)
    except (binascii.Error, ValueError):
        return "[Content that cannot be read: it is no base64.]", None
    if not content or len(content) > MOST_BYTES:
        return f"[Content of {len(content):,} bytes, which is not kept.]", None
    ending = _ENDINGS.get(str(kind), "bin")
    folder = re.sub(r"[^A-Za-z0-9_-]", "_", server)[:40]
    place = locate(workspace, f"mcp/{folder}/{hashlib.sha256(content).hexdigest()[:12]}.{ending}")
    with open_parent(place, make=True):
        write_file(place, content)
    return f"[A file: {place.path}]", place.path

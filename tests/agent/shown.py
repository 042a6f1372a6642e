"""Shown: the pictures and words of a request to the scripted provider, and pictures to show."""

from __future__ import annotations

import base64
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from openmanus_graph.testing import ScriptedServer


def chart(path: Path, size: tuple[int, int] = (40, 30), colour: str = "red") -> Path:
    """A picture of one colour, written to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def bomb(path: Path, side: int = 20_000) -> Path:
    """A PNG of a few bytes whose header says that it has hundreds of millions of pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def blocks(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All blocks of a request's messages."""
    return [block for one in messages if isinstance(one["content"], list) for block in one["content"]]


def pictures(messages: list[dict[str, Any]]) -> list[Image.Image]:
    """The pictures of a request, decoded from their data URIs."""
    found: list[Image.Image] = []
    for block in blocks(messages):
        if block["type"] == "image_url":
            head, _, data = block["image_url"]["url"].partition(",")
            assert head in ("data:image/png;base64", "data:image/jpeg;base64")
            found.append(Image.open(BytesIO(base64.b64decode(data))).convert("RGB"))
    return found


def colours(messages: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """The colours of the pictures of a request, in the middle of each."""
    return [picture.getpixel((picture.width // 2, picture.height // 2)) for picture in pictures(messages)]  # pyright: ignore[reportReturnType] - RGB has three numbers


def of_role(server: ScriptedServer, words: str) -> list[list[dict[str, Any]]]:
    """The messages of the requests whose system prompt has some words."""
    return [one.messages for one in server.requests if words in str(one.messages[0]["content"])]

"""Message head: first line and fields of an HTTP/1.1 message, read strictly and sent on by a proxy.

What two programs could read differently is refused: a second length, a folded line, an unknown transfer encoding.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass

LONGEST_HEAD = 64 * 1024
"""Bytes of a message's head."""
_PIECE = 64 * 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNWANTED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "upgrade"}
)
"""Fields that concern one connection and not the message."""


class HeadError(Exception):
    """A message that is not read, with the reason in few words."""


@dataclass
class MessageHead:
    """The head of a request or an answer."""

    first: str
    """Its first line."""
    fields: list[tuple[str, str]]
    """Its fields in their order, names as they were sent."""

    def values(self, name: str) -> list[str]:
        """The values of the field `name`, which is in small letters."""
        return [value for field, value in self.fields if field.lower() == name]

    def without_hop_fields(self, more: Collection[str] = ()) -> MessageHead:
        """A copy without the fields that concern one connection.

        Args:
            more: Other fields that it shall not have, in small letters.
        """
        named = {part.strip().lower() for value in self.values("connection") for part in value.split(",")}
        left_out = _HOP | named.difference({"content-length", "transfer-encoding"}) | frozenset(more)
        return MessageHead(self.first, [field for field in self.fields if field[0].lower() not in left_out])

    def encoded(self) -> bytes:
        """The head as bytes, with the empty line at its end."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.fields), "", ""]
        return "\r\n".join(lines).encode("latin-1")


async def read_head(reader: asyncio.StreamReader, *, strict: bool = True) -> MessageHead | None:
    """Read a head; `None` if there is nothing more.

    Args:
        reader: Where it comes from, with `LONGEST_HEAD` as its limit.
        strict: Whether what could be read in two ways is refused, as in requests; else lines that are no fields are
            left out, and the length of the body is not looked at.

    Raises:
        HeadError: If it is too long, broken off or ambiguous.
    """
    try:
        data = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise HeadError("a head that broke off") from error
    except asyncio.LimitOverrunError as error:
        raise HeadError("a head that is too long") from error
    first, *lines = data.decode("latin-1")[:-4].split("\r\n")
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and _NAME.fullmatch(name) and not _UNWANTED.search(value):
            fields.append((name, value.strip(" \t")))
        elif strict:
            raise HeadError("a field that cannot be read")
    if _UNWANTED.search(first):
        raise HeadError("a first line that cannot be read")
    head = MessageHead(first, fields)
    if strict:
        _check_length(head)
    return head


def _check_length(head: MessageHead) -> None:
    lengths, codings = set(head.values("content-length")), head.values("transfer-encoding")
    if len(lengths) > 1 or (lengths and codings) or not all(text.isascii() and text.isdigit() for text in lengths):
        raise HeadError("a body of unknown length")
    if codings and [text.lower() for text in codings] != ["chunked"]:
        raise HeadError("an unknown transfer encoding")


async def relay_body(head: MessageHead, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the body of a request on, and nothing that follows it.

    Raises:
        HeadError: If it breaks off, or its pieces cannot be read.
    """
    try:
        if head.values("transfer-encoding"):
            await _relay_pieces(reader, writer)
        elif lengths := head.values("content-length"):
            await _relay_bytes(int(lengths[0]), reader, writer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise HeadError("a body that broke off") from error


async def _relay_bytes(count: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while count:
        piece = await reader.readexactly(min(count, _PIECE))
        count -= len(piece)
        writer.write(piece)
        await writer.drain()


async def _relay_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        line = await reader.readuntil(b"\r\n")
        size = re.fullmatch(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r\n", line)
        if size is None:
            raise HeadError("a body whose pieces cannot be read")
        count = int(size[1], 16)
        writer.write(size[1] + b"\r\n")
        if not count:
            break
        await _relay_bytes(count, reader, writer)
        if await reader.readexactly(2) != b"\r\n":
            raise HeadError("a body whose pieces cannot be read")
        writer.write(b"\r\n")
    while await reader.readuntil(b"\r\n") != b"\r\n":  # fields after the body are not sent on
        continue
    writer.write(b"\r\n")
    await writer.drain()

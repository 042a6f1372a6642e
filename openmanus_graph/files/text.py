"""Text: decodes files so that they can be written back unchanged."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from openmanus_graph.errors import ToolError

NEWLINE = re.compile(r"\r\n|\n|\r")
"""One end of a line, in any of the three styles."""

_MARKS: tuple[tuple[bytes, str, str], ...] = (
    # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_CONTROLS = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Encoding:
    """How a file holds its text."""

    mark: bytes
    """The byte order mark, kept in front; may be empty."""
    codec: str
    """Python's name of the codec behind the mark."""
    label: str
    """What a person calls it."""

    def encode(self, text: str) -> bytes:
        """The bytes of `text` without the mark.

        Raises:
            ToolError: If it has a character that this encoding cannot hold.
        """
        try:
            return text.encode(self.codec)
        except UnicodeEncodeError as error:
            bad = text[error.start : error.start + 1]
            raise ToolError(
                f"The character {bad!r} cannot be written in {self.label}, the file's encoding.",
                hint="Use characters of that encoding, or convert the file first.",
            ) from error


UTF8 = Encoding(b"", "utf-8", "UTF-8")
LATIN1 = Encoding(b"", "latin-1", "Latin-1")


def marked_encoding(head: bytes) -> Encoding | None:
    """The encoding that a byte order mark at the start of `head` states, else `None`."""
    for mark, codec, label in _MARKS:
        if head.startswith(mark):
            return Encoding(mark, codec, label)
    return None


def decode(data: bytes, path: str) -> tuple[str, Encoding]:
    """The text in `data` with its line ends as they are, and how to write it back.

    Args:
        data: The whole file.
        path: Its name, for the message.

    Raises:
        ToolError: If it is binary.
    """
    encoding = marked_encoding(data)
    if encoding is not None:
        try:
            return data[len(encoding.mark) :].decode(encoding.codec), encoding
        except UnicodeDecodeError as error:
            raise binary(path) from error
    if b"\0" in data:
        raise binary(path)
    try:
        return data.decode("utf-8"), UTF8
    except UnicodeDecodeError as error:
        # Any bytes are Latin-1; control characters show that these are not meant as text.
        if _CONTROLS.search(data):
            raise binary(path) from error
        return data.decode("latin-1"), LATIN1


def stream_encoding(stream: BinaryIO, path: str) -> Encoding:
    """As `decode`, for a file that need not fit into memory; leaves `stream` behind the mark.

    Raises:
        ToolError: If it is binary.
    """
    head = stream.read(_CHUNK)
    encoding = marked_encoding(head)
    if encoding is None:
        encoding = _scan(stream, head, path)
    stream.seek(len(encoding.mark))
    return encoding


def _scan(stream: BinaryIO, chunk: bytes, path: str) -> Encoding:
    decoder = codecs.getincrementaldecoder("utf-8")()
    utf8, controls = True, False
    while chunk:
        if b"\0" in chunk:
            raise binary(path)
        controls = controls or bool(_CONTROLS.search(chunk))
        if utf8:
            utf8 = _decodes(decoder, chunk)
        if not utf8 and controls:
            raise binary(path)
        chunk = stream.read(_CHUNK)
    if utf8 and _decodes(decoder, b"", final=True):
        return UTF8
    if controls:
        raise binary(path)
    return LATIN1


def _decodes(decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError:
        return False
    return True


def stream_text(stream: BinaryIO, encoding: Encoding, path: str) -> Iterator[str]:
    """The text from here to the end in pieces, every line end as a line feed.

    Raises:
        ToolError: If a marked encoding turns out not to hold.
    """
    # Broken text behind a mark is refused; without a mark the encoding was tried on the whole file.
    inner = codecs.getincrementaldecoder(encoding.codec)()
    decoder = io.IncrementalNewlineDecoder(inner, translate=True)
    try:
        while chunk := stream.read(_CHUNK):
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise binary(path) from error


def newline_of(text: str) -> str:
    """The first line end in `text`, or a line feed if it has none."""
    found = NEWLINE.search(text)
    return found.group() if found else "\n"


def binary(path: str) -> ToolError:
    """The error for a file that is not text."""
    return ToolError(f"The file {path!r} is binary, not text.", hint="Use a program that knows its format to read it.")

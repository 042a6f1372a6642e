"""Text: decodes files so that they can be written back unchanged."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import suppress
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
    guessed: bool = False
    """Whether nothing states it: the file is not UTF-8, and this is what its bytes look like."""

    @property
    def note(self) -> str:
        """What is said beside the text; empty unless the encoding is a guess."""
        return f"[The file is not in UTF-8; it is read as {self.label}, which is a guess.]" if self.guessed else ""

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

_WESTERN = "cp1252"
_CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874"),
    *("iso8859_2", "iso8859_5", "iso8859_7", "iso8859_9", "iso8859_15", "koi8_r", "koi8_u", "mac_roman"),
    *("cp437", "cp850", "cp852", "cp866", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
"""Encodings that files on disks are in; among rarer ones the library finds some that fit a few letters better."""
_LABELS = {
    "latin_1": "Latin-1",
    "cp437": "code page 437",
    "cp850": "code page 850",
    "cp852": "code page 852",
    "cp866": "code page 866",
    "cp932": "Shift-JIS",
    "cp949": "EUC-KR",
    "euc_jp": "EUC-JP",
    "gb18030": "GB 18030",
    "big5": "Big5",
    "koi8_r": "KOI8-R",
    "koi8_u": "KOI8-U",
    "mac_roman": "Mac Roman",
}
_SAMPLE = 1 << 15
_SAMPLE_LINE = 1 << 12


class _Sample:
    """The lines with bytes beyond ASCII, as many as a guess needs."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, chunk: bytes) -> None:
        for line in chunk.split(b"\n") if len(self.data) < _SAMPLE else ():
            if not line.isascii() and len(self.data) < _SAMPLE:
                self.data += line[:_SAMPLE_LINE] + b"\n"

    def guesses(self) -> list[Encoding]:
        """What the bytes may be, the likeliest first; the last one takes any bytes."""
        from charset_normalizer import from_bytes

        matches = list(from_bytes(self.data, cp_isolation=list(_CANDIDATES)))
        names = [match.encoding for match in matches]
        if matches:
            best = matches[0]
            # Of encodings between which a few letters cannot decide, the most common one.
            western = [match for match in matches if _WESTERN in match.could_be_from_charset]
            if western and western[0].chaos <= best.chaos and western[0].coherence >= best.coherence:
                names.insert(0, _WESTERN)
        return [
            Encoding(b"", name, _label(name), guessed=True) for name in dict.fromkeys([*names, _WESTERN, "latin_1"])
        ]


def _label(codec: str) -> str:
    if codec in _LABELS:
        return _LABELS[codec]
    return codec.replace("iso8859_", "ISO 8859-").replace("cp", "Windows-")


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
        # Any bytes are text in some encoding; control characters show that these are not meant as text.
        if _CONTROLS.search(data):
            raise binary(path) from error
    sample = _Sample()
    for start in range(0, len(data), _CHUNK):
        sample.add(data[start : start + _CHUNK])
    for guess in sample.guesses():
        with suppress(UnicodeDecodeError):
            return data.decode(guess.codec), guess
    raise binary(path)


def decode_to_edit(data: bytes, path: str) -> tuple[str, Encoding]:
    """As `decode`, for text that will be written back.

    Raises:
        ToolError: If it is binary, or would not be written back as it is.
    """
    text, encoding = decode(data, path)
    if encoding.guessed and text.encode(encoding.codec, "replace") != data:
        raise ToolError(
            f"The file {path!r} is not in UTF-8; it is read as {encoding.label}, which is a guess, and writing it back"
            " would change more than the edit.",
            hint="Convert it to UTF-8 with a program first.",
        )
    return text, encoding


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
    utf8, controls, sample = True, False, _Sample()
    while chunk:
        if b"\0" in chunk:
            raise binary(path)
        controls = controls or bool(_CONTROLS.search(chunk))
        sample.add(chunk)
        if utf8:
            utf8 = _decodes(decoder, chunk)
        if not utf8 and controls:
            raise binary(path)
        chunk = stream.read(_CHUNK)
    if utf8 and _decodes(decoder, b"", final=True):
        return UTF8
    if controls:
        raise binary(path)
    return next(guess for guess in sample.guesses() if _holds(stream, guess))


def _holds(stream: BinaryIO, encoding: Encoding) -> bool:
    """Whether a whole file can be read so."""
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    stream.seek(0)
    while chunk := stream.read(_CHUNK):
        if not _decodes(decoder, chunk):
            return False
    return _decodes(decoder, b"", final=True)


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

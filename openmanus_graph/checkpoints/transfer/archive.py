"""Archive: one file with a whole thread; an altered or truncated file is refused.

A line with the format's name and version, then a gzip stream of records, then the SHA-256 of all before it. A record
is a line of JSON followed by pieces of bytes, each with its length in front; a piece of no length ends it. Names of
files are in the JSON, and nothing is ever unpacked by a name that was not looked at.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from openmanus_graph import shell_commands
from openmanus_graph.errors import ArchiveError
from openmanus_graph.files.new_file import new_file

NAME = b"openmanus-graph thread archive "
VERSION = 1
PIECE = 256 * 1024
"""Bytes that are read at a time."""
LONGEST_LINE = 16 * 2**20
"""Bytes of a record's JSON above which it is refused."""

_TRAILER = b"\nsha256 "
_TRAILER_BYTES = len(_TRAILER) + 64 + 1
_LENGTH = 4


class ArchiveWriter:
    """Writes records into an archive."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Write to a gzip stream."""
        self._stream = stream

    def record(self, fields: Mapping[str, Any], pieces: Iterable[bytes] = ()) -> None:
        """Write a record with all its bytes."""
        self.begin(fields)
        for piece in pieces:
            self.piece(piece)
        self.end()

    def begin(self, fields: Mapping[str, Any]) -> None:
        """Begin a record."""
        self._stream.write(json.dumps(fields).encode() + b"\n")

    def piece(self, data: bytes) -> None:
        """Write bytes of the record."""
        for start in range(0, len(data), PIECE):
            part = data[start : start + PIECE]
            self._stream.write(len(part).to_bytes(_LENGTH, "big") + part)

    def end(self) -> None:
        """End the record."""
        self._stream.write(bytes(_LENGTH))


class _Hashed:
    """A file that is written, and the digest of its bytes so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def new_archive(path: Path) -> Generator[ArchiveWriter]:
    """Write an archive; it has its name only once it is complete, and only its owner may read it.

    Raises:
        UsageError: If there is something at `path`, or it cannot be written.
    """
    with new_file(path) as file:
        hashed = _Hashed(file)
        hashed.write(NAME + str(VERSION).encode() + b"\n")
        with gzip.GzipFile(fileobj=cast("Any", hashed), mode="wb", compresslevel=6, mtime=0) as stream:
            yield ArchiveWriter(cast("IO[bytes]", stream))
        file.write(_TRAILER + hashed.digest.hexdigest().encode() + b"\n")


class _Inside:
    """The part of a file up to a place, as gzip reads it."""

    def __init__(self, file: IO[bytes], end: int) -> None:
        self._file = file
        self._end = end

    def read(self, size: int = -1) -> bytes:
        left = max(self._end - self._file.tell(), 0)
        return self._file.read(left if size < 0 else min(size, left))


class ArchiveRecord:
    """A record that is being read."""

    def __init__(self, fields: dict[str, Any], stream: IO[bytes]) -> None:
        """Begin to read one whose line has been read."""
        self.fields = fields
        self._stream = stream
        self._ended = False

    def pieces(self) -> Iterator[bytes]:
        """Its bytes."""
        while not self._ended:
            length = int.from_bytes(_exactly(self._stream, _LENGTH), "big")
            if length > PIECE:
                raise _broken("a piece is too long")
            self._ended = length == 0
            if length:
                yield _exactly(self._stream, length)

    def skip(self) -> None:
        """Read what is left of it."""
        for _ in self.pieces():
            pass


@contextmanager
def open_archive(path: Path) -> Generator[Iterator[ArchiveRecord]]:
    """Read an archive, once its digest is checked.

    Raises:
        ArchiveError: If it is no archive, of another version, truncated or altered.
    """
    try:
        opened = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"The file {str(path)!r} cannot be read: {error.strerror}.") from error
    with opened as file:
        end = _verify(file, path)
        try:
            with gzip.GzipFile(fileobj=cast("Any", _Inside(file, end)), mode="rb") as stream:
                yield _records(cast("IO[bytes]", stream))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _broken(str(error)) from error


def _verify(file: IO[bytes], path: Path) -> int:
    """Check the first line and the digest; the file is then at the beginning of its records, whose end is returned."""
    shown = str(path)
    first = file.readline(100)
    if not first.startswith(NAME) or not first.endswith(b"\n"):
        raise ArchiveError(f"The file {shown!r} is no archive of a thread.")
    version = first.removeprefix(NAME).strip()
    if version != str(VERSION).encode():
        raise ArchiveError(
            f"The archive {shown!r} has the format {version.decode(errors='replace')!r}, and this program reads"
            f" {VERSION}.",
            hint=f"Upgrade the program: {shell_commands.UPGRADE}",
        )
    end = os.fstat(file.fileno()).st_size - _TRAILER_BYTES
    left = end - len(first)
    digest = hashlib.sha256(first)
    while left > 0 and (data := file.read(min(PIECE, left))):
        digest.update(data)
        left -= len(data)
    if left != 0 or file.read() != _TRAILER + digest.hexdigest().encode() + b"\n":
        raise ArchiveError(
            f"The archive {shown!r} is not as it was written: it is cut short or altered.",
            hint="Nothing was imported. Copy it again, or export the thread again.",
        )
    file.seek(len(first))
    return end


def _records(stream: IO[bytes]) -> Iterator[ArchiveRecord]:
    while True:
        line = stream.readline(LONGEST_LINE)
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _broken("a record has no line of JSON") from error
        if not isinstance(fields, dict):
            raise _broken("a record is no object")
        record = ArchiveRecord(cast("dict[str, Any]", fields), stream)
        if record.fields.get("kind") == "end":
            return
        yield record
        record.skip()


def _exactly(stream: IO[bytes], count: int) -> bytes:
    parts: list[bytes] = []
    while count > 0:
        part = stream.read(count)
        if not part:
            raise _broken("it ends in the middle of a record")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _broken(why: str) -> ArchiveError:
    return ArchiveError(f"The archive does not hold what it should: {why}.", hint="Nothing was imported.")

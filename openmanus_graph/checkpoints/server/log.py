"""Log: the file the server writes to, kept small."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LIMIT = 1_000_000
"""Bytes after which the log is cut; the last part stays beside it, as `server.log.1`."""


@contextmanager
def opened(path: Path) -> Generator[IO[bytes]]:
    """The log for appending; the server inherits it, and so needs no right to the file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "ab", buffering=0) as file:
        yield file


def size(path: Path) -> int:
    """Bytes in the log; 0 if there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def read(path: Path, start: int) -> bytes:
    """What was written from the byte `start` on, at most the last `LIMIT` bytes of it."""
    with path.open("rb") as file:
        file.seek(max(start, size(path) - LIMIT))
        return file.read()


def bound(path: Path) -> None:
    """Cut the log if it has grown over the limit; done whenever a process joins, and when the server stops.

    The server's descriptor appends, so it goes on at the new end of the same file.
    """
    if size(path) <= LIMIT:
        return
    older = path.with_name(path.name + ".1")
    older.unlink(missing_ok=True)
    older.touch(mode=0o600)
    older.write_bytes(read(path, 0))
    os.truncate(path, 0)

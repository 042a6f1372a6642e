"""Passage file: passages as lines of JSON, taken whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from openmanus_graph.errors import ArchiveError, UsageError
from openmanus_graph.files.new_file import new_file
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passages import MOST_CHARACTERS, Passages

KIND = "passages of openmanus-graph"
"""What the first line says the file is."""
VERSION = 1
"""The version of the format."""
LONGEST_LINE = 2**20
"""Bytes of a line above which it is refused: a file may be long, and takes no more memory than a line."""


class _Line(BaseModel):
    """One passage of a file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = Field(min_length=1)
    position: int = Field(ge=0, lt=2**31)
    text: str = Field(max_length=MOST_CHARACTERS)
    meta: dict[str, Any] = Field(default_factory=dict[str, Any])
    thread: str | None = None
    created_at: AwareDatetime | None = None


async def write_passages(passages: Passages, path: Path) -> int:
    """Write all passages into a new file; how many there are.

    Raises:
        UsageError: If the file is there already, or cannot be written; nothing is left of it then.
    """
    count = 0
    with new_file(path) as file:
        file.write(_line({"kind": KIND, "version": VERSION}))
        async for passage in passages.every():
            file.write(_line({name: getattr(passage, name) for name in _Line.model_fields}))
            count += 1
        file.write(_line({"passages": count}))
    return count


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, default=datetime.isoformat).encode() + b"\n"


def read_passages(path: Path) -> Iterator[Passage]:
    """The passages of a file, one by one; only at its end is it sure that the file is whole.

    Raises:
        UsageError: If it cannot be read.
        ArchiveError: If it is no such file, or damaged: cut short, or with lines that are no passages.
    """
    try:
        with path.open("rb") as file:
            yield from _passages(file, path)
    except OSError as error:
        raise UsageError(f"The file {str(path)!r} cannot be read: {error.strerror}.") from error


def _passages(file: IO[bytes], path: Path) -> Iterator[Passage]:
    head = _object(_text(file.readline(LONGEST_LINE), path))
    if head.get("kind") != KIND:
        raise _damaged(path, "it does not begin with what it is")
    if head.get("version") != VERSION:
        raise _damaged(path, f"its version is {head.get('version')!r}, and {VERSION} can be read")
    line, number = _text(file.readline(LONGEST_LINE), path), 2
    while following := _text(file.readline(LONGEST_LINE), path):
        try:
            made = Passage(**_Line.model_validate_json(line).model_dump())
        except ValidationError as error:
            raise _damaged(path, f"line {number} is no passage") from error
        yield made
        line, number = following, number + 1
    if not line.endswith("\n") or _object(line) != {"passages": number - 2}:
        raise _damaged(path, "its end is missing")


def _text(line: bytes, path: Path) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not UTF-8") from error


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _damaged(path: Path, what: str) -> ArchiveError:
    return ArchiveError(f"The file {str(path)!r} holds no exported memory: {what}.", hint="Nothing was imported.")

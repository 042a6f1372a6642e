"""Passage file: passages as lines of JSON, taken whole or not at all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openmanus_graph.errors import ArchiveError, UsageError
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passages import MOST_CHARACTERS, Passages

KIND = "passages of openmanus-graph"
"""What the first line says the file is."""
VERSION = 1
"""The version of the format."""
MOST_BYTES = 2 * 2**30
"""Bytes of a file that is read."""


class _Line(BaseModel):
    """One passage of a file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = Field(min_length=1)
    position: int = Field(ge=0, lt=2**31)
    text: str = Field(max_length=MOST_CHARACTERS)
    meta: dict[str, Any] = Field(default_factory=dict[str, Any])
    thread: str | None = None


async def write_passages(passages: Passages, path: Path) -> int:
    """Write all passages into a new file; how many there are.

    Raises:
        UsageError: If the file is there already, or cannot be written; nothing is left of it then.
    """
    count = 0
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(json.dumps({"kind": KIND, "version": VERSION}) + "\n")
                async for passage in passages.every():
                    fields = {name: getattr(passage, name) for name in _Line.model_fields}
                    file.write(json.dumps(fields, ensure_ascii=False) + "\n")
                    count += 1
                file.write(json.dumps({"passages": count}) + "\n")
            except BaseException:
                await asyncio.to_thread(path.unlink, missing_ok=True)
                raise
    except FileExistsError as error:
        raise UsageError(f"The file {str(path)!r} is there already.", hint="Name a new one.") from error
    except OSError as error:
        raise UsageError(f"The file {str(path)!r} cannot be written: {error.strerror}.") from error
    return count


def read_passages(path: Path) -> list[Passage]:
    """The passages of a file.

    Raises:
        UsageError: If it cannot be read.
        ArchiveError: If it is no such file, or damaged: cut short, or with lines that are no passages.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"The file {str(path)!r} has more than {MOST_BYTES:,} bytes.")
        with path.open(encoding="utf-8") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise UsageError(f"The file {str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, "it is not UTF-8") from error
    head, end = _object(lines[0]), _object(lines[-2]) if len(lines) > 2 else {}
    if head.get("kind") != KIND:
        raise _damaged(path, "it does not begin with what it is")
    if head.get("version") != VERSION:
        raise _damaged(path, f"its version is {head.get('version')!r}, and {VERSION} can be read")
    found: list[Passage] = []
    for number, line in enumerate(lines[1:-2], 2):
        try:
            found.append(Passage(**_Line.model_validate_json(line).model_dump()))
        except ValidationError as error:
            raise _damaged(path, f"line {number} is no passage") from error
    if lines[-1] or end != {"passages": len(found)}:
        raise _damaged(path, "its end is missing")
    return found


def _object(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _damaged(path: Path, what: str) -> ArchiveError:
    return ArchiveError(f"The file {str(path)!r} holds no exported memory: {what}.", hint="Nothing was imported.")

"""Outputs: results of tools as JSON types for a checkpoint, large ones as files in the workspace."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel

from openmanus_graph.errors import ForeignTypeError
from openmanus_graph.files.atomic_write import put_file
from openmanus_graph.state import SubtaskResult

FOLDER = ".openmanus/outputs"
"""Where large outputs live, below the workspace."""

PREVIEW_CHARACTERS = 2_000
"""Characters of a large output that the checkpoint keeps for people to look at."""


def to_json_value(value: Any, path: str = "output") -> Any:  # noqa: C901, PLR0912 - one branch a type reads best
    """The value in JSON types, the usual Python ones converted (models, dataclasses, dates, paths, sets).

    Raises:
        ForeignTypeError: If there is no obvious plain form; the message names the place and the type.
    """
    if value is None or type(value) in (str, bool):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, BaseModel):
        return to_json_value(value.model_dump(mode="json"), path)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return to_json_value(fields, path)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        named = {str(key): to_json_value(item, f"{path}.{key}") for key, item in items}
        if len(named) == len(cast("Mapping[Any, Any]", value)):
            return named
        raise ForeignTypeError(f"The value at {path!r} has two keys that are the same as text.")
    if isinstance(value, (list, tuple)):
        sequence = cast("list[Any]", value)
        return [to_json_value(item, f"{path}.{index}") for index, item in enumerate(sequence)]
    if isinstance(value, (set, frozenset)):
        return sorted((to_json_value(item, path) for item in cast("set[Any]", value)), key=repr)
    if isinstance(value, Enum):
        return to_json_value(value.value, path)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (Path, UUID, Decimal, str)):
        return str(value)
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return int(value)
        raise ForeignTypeError(f"The value at {path!r} is a whole number of over 64 bits.", hint="Return it as text.")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    raise ForeignTypeError(
        f"The value at {path!r} is a {type(value).__module__}.{type(value).__qualname__}, which has no plain form.",
        hint="Return plain dicts, lists, strings and numbers from the tool.",
    )


def stored(output: Any, *, workspace: Path, subtask_id: str, limit: int) -> tuple[Any, str | None]:
    """The part of a plain output that a checkpoint keeps.

    Args:
        output: The output in JSON types.
        workspace: The thread's folder.
        subtask_id: Whose output it is.
        limit: Characters, as JSON, above which it goes to a file.

    Returns:
        The output, or its preview, and the file's path in the workspace, or `None`.
    """
    text = json.dumps(output, ensure_ascii=False)
    if len(text) <= limit:
        return output, None
    digest = _digest(text)
    relative = f"{FOLDER}/{subtask_id}-{digest}.json"
    _write_durably(workspace, Path(relative).name, text)
    shown = output if isinstance(output, str) else text
    return {"file": relative, "characters": len(text), "preview": shown[:PREVIEW_CHARACTERS]}, relative


def whole(result: SubtaskResult, workspace: Path) -> Any:
    """A result's whole output, read from its file where it has one.

    Raises:
        ForeignTypeError: If the file is gone or was changed into something else.
    """
    name = result.get("output_file")
    if name is None:
        return result["output"]
    try:
        with _outputs_folder(workspace) as folder:
            opened = os.open(Path(name).name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
            with os.fdopen(opened, encoding="utf-8", errors="surrogatepass") as file:
                text = file.read()
        if not name.endswith(f"-{_digest(text)}.json"):
            raise ValueError("it was changed")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise ForeignTypeError(
            f"The output kept in {str(workspace / name)!r} cannot be read: {error}.",
            hint="Restore the file, or run the plan again in a new thread.",
        ) from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


@contextmanager
def _outputs_folder(workspace: Path) -> Generator[int]:
    """A descriptor of the folder of large outputs, reached without following a link: tools write beside it."""
    folder = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in FOLDER.split("/"):
            with suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _write_durably(workspace: Path, name: str, text: str) -> None:
    # The checkpoint that names the file must never be committed before the file's bytes are.
    with _outputs_folder(workspace) as folder:
        put_file(folder, name, text.encode("utf-8", "surrogatepass"), mode=0o644)
        os.fsync(folder)

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
from openmanus_graph.values.storable_json import MOST_BITS, storable_text

FOLDER = ".openmanus/outputs"
"""Where large outputs live, below the workspace."""

PREVIEW_CHARACTERS = 2_000
"""Characters of a large output that the checkpoint keeps for people to look at."""


def to_json_value(value: Any, path: str = "output") -> Any:  # noqa: C901, PLR0912 - one branch a type reads best
    """The value in JSON types, the usual Python ones converted (models, dataclasses, dates, paths, sets).

    Text becomes text that can be stored: halves of a surrogate pair that stand together are joined, others, like NUL,
    are U+FFFD. A whole number of over 64 bits becomes text, and what is no finite number is null.

    Raises:
        ForeignTypeError: If there is no obvious plain form; the message names the place and the type.
    """
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return storable_text(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, BaseModel):
        return to_json_value(value.model_dump(mode="json"), path)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return to_json_value(fields, path)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        named = {storable_text(str(key)): to_json_value(item, f"{path}.{key}") for key, item in items}
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
        return storable_text(str(value))
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return int(value)
        return f"{value:#x}" if value.bit_length() > MOST_BITS else f"{value:d}"
    if isinstance(value, bytes):
        return storable_text(value.decode("utf-8", "replace"))
    raise ForeignTypeError(
        f"The value at {path!r} is a {type(value).__module__}.{type(value).__qualname__}, which has no plain form.",
        hint="Return plain dicts, lists, strings and numbers from the tool.",
    )


ARTIFACT_KEYS = frozenset({"content", "artifact"})
"""Members of the output of a call that also gave an artifact."""


def with_artifact(content: Any, reference: dict[str, Any]) -> dict[str, Any]:
    """The output of a call that also gave an artifact: what is meant for models, and where the artifact is."""
    return {"content": content, "artifact": reference}


def artifact_in(output: Any) -> tuple[Any, dict[str, Any]] | None:
    """Content and reference of an output that `with_artifact` made; `None` of any other."""
    if not isinstance(output, dict) or cast("dict[str, Any]", output).keys() != ARTIFACT_KEYS:
        return None
    reference = cast("dict[str, Any]", output)["artifact"]
    is_ours = isinstance(reference, dict) and ("not_kept" in reference or {"file", "bytes"} <= reference.keys())
    return (cast("dict[str, Any]", output)["content"], cast("dict[str, Any]", reference)) if is_ours else None


def content_of(output: Any) -> Any:
    """An output without the reference to its artifact, if it has one."""
    found = artifact_in(output)
    return output if found is None else found[0]


def store_artifact(artifact: Any, *, workspace: Path, subtask_id: str) -> dict[str, Any]:
    """Keep an artifact as a file: bytes and text as they are, anything else as JSON.

    Returns:
        `{"file": its path in the workspace, "bytes": its size}`, or `{"not_kept": why}`: what a call has done is not
        lost to an artifact that cannot be kept.
    """
    try:
        if isinstance(artifact, bytes | bytearray):
            data, suffix = bytes(artifact), "bin"
        elif isinstance(artifact, str):
            data, suffix = str(artifact).encode("utf-8", "surrogatepass"), "txt"
        else:
            plain = to_json_value(artifact, "artifact")
            data, suffix = json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass"), "json"
        name = f"{subtask_id}-artifact-{hashlib.sha256(data).hexdigest()[:12]}.{suffix}"
        _write_durably(workspace, name, data)
    except (OSError, ValueError, ForeignTypeError, RecursionError) as problem:
        return {"not_kept": str(problem)}
    return {"file": f"{FOLDER}/{name}", "bytes": len(data)}


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
    digest = digest_of(text)
    relative = f"{FOLDER}/{subtask_id}-{digest}.json"
    _write_durably(workspace, Path(relative).name, text.encode("utf-8", "surrogatepass"))
    shown = output if isinstance(output, str) else text
    return {"file": relative, "characters": len(text), "preview": shown[:PREVIEW_CHARACTERS]}, relative


def keep_file(workspace: Path, name: str, data: bytes) -> str:
    """Keep what a tool made of a file beside large outputs; its path in the workspace.

    Args:
        workspace: The thread's folder.
        name: The file's name, which says by a digest what is in it.
        data: Its content.
    """
    _write_durably(workspace, name, data)
    return f"{FOLDER}/{name}"


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
        if not name.endswith(f"-{digest_of(text)}.json"):
            raise ValueError("it was changed")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise ForeignTypeError(
            f"The output kept in {str(workspace / name)!r} cannot be read: {error}.",
            hint="Restore the file, or run the plan again in a new thread.",
        ) from error


def digest_of(text: str) -> str:
    """A short digest of a text, which names it without repeating it."""
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


def _write_durably(workspace: Path, name: str, data: bytes) -> None:
    # The checkpoint that names the file must never be committed before the file's bytes are.
    with _outputs_folder(workspace) as folder:
        put_file(folder, name, data, mode=0o644)
        os.fsync(folder)

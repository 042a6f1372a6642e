"""Query: SQL over the workspace's files, answered by DuckDB in a confined process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import ToolError
from openmanus_graph.files.safe_paths import locate
from openmanus_graph.sandbox.limits import GIB, MIB, SandboxLimits
from openmanus_graph.sandbox.worker import program_of, run_worker

Form = Literal["parquet", "csv", "json"]
"""How a whole result is kept in a file."""

MOST_SECONDS = 600.0
"""Seconds that a query may take."""
MEMORY_MB = 1_200
"""Megabytes that DuckDB uses before it puts what it works on into files."""
SCRATCH_MB = 400
"""Megabytes of those files."""
LARGEST_RESULT = 256 * MIB
"""Bytes of the file with a whole result."""
_LIMITS = replace(
    SandboxLimits(), memory=3 * GIB, address_space=16 * GIB, processes=64, file_size=LARGEST_RESULT, temporary=GIB
)
_CGROUPS = ("/proc/self/cgroup", "/sys/fs/cgroup")
"""Where DuckDB looks for the memory it has: it does without, but not if it may not look."""
_GLOB = "*?["


@dataclass(frozen=True)
class Answer:
    """What a query gives."""

    columns: list[dict[str, str]]
    """Name and type of each column."""
    rows: list[list[Any]]
    """The first rows, plain values: numbers that JSON cannot hold, dates and times are text."""
    row_count: int
    """Rows of the whole result."""
    truncated: bool
    """Whether there are more rows than `rows` has."""
    whole: bytes | None
    """The file with all rows, where it was asked for or they are more; `None` otherwise."""
    form: Form
    """The form of that file."""


def unavailable(settings: Settings) -> str | None:
    """Why no query can be answered here; `None` if it can."""
    del settings
    if find_spec("duckdb") is not None:
        return None
    return f"What queries files is not installed; get it with: {shell_commands.install('openmanus-graph[data]')}"


async def answer_query(
    sql: str,
    context: ToolContext,
    *,
    files: Mapping[str, str] | None = None,
    max_rows: int = 100,
    form: Form | None = None,
    most_bytes: int = 1_000_000,
    seconds: float = 60.0,
) -> Answer:
    """Answer a query.

    Args:
        sql: One statement, or several of which the last one's result counts.
        context: The call that it is for; its workspace's files can be named.
        files: Files by the names that the query gives them, besides those that it finds by their own names.
        max_rows: Rows that are answered.
        form: The form in which the whole result is wanted as a file; `None` wants it as Parquet, and only where there
            are more rows.
        most_bytes: Bytes of rows that are answered.
        seconds: How long it may take.

    Raises:
        OutsideWorkspaceError: If a file lies outside the workspace.
        SandboxUnavailableError: If the query cannot be confined.
        ToolError: If DuckDB refuses it, or it takes too long or more memory than it may have.
    """
    if (why := unavailable(context.settings)) is not None:
        raise ToolError(why)
    request = {
        "sql": sql,
        "files": _within(context.workspace, files or {}),
        "max_rows": max_rows,
        "most_bytes": most_bytes,
        "save_as": form,
        "memory_mb": MEMORY_MB,
        "scratch_mb": SCRATCH_MB,
    }
    program = program_of("openmanus_graph.tools.data", "duckdb_worker.py")
    try:
        said = await run_worker(
            program,
            json.dumps(request).encode(),
            workspace=context.workspace,
            settings=context.settings,
            sandbox=context.sandbox,
            limits=_LIMITS,
            besides=_CGROUPS,
            seconds=min(seconds, MOST_SECONDS),
        )
    except TimeoutError:
        raise ToolError(
            f"The query did not end within {min(seconds, MOST_SECONDS):g} s.",
            hint="Ask for less, such as one file or an aggregate, or give a larger 'timeout_s'.",
        ) from None
    line, _, whole = said.partition(b"\n")
    return _answer(line, whole, form or "parquet")


def _within(workspace: Path, files: Mapping[str, str]) -> dict[str, str]:
    """The files by their names; one that lies outside is refused before a process is started."""
    for path in files.values():
        before = path[: min((path.index(one) for one in _GLOB if one in path), default=len(path))]
        locate(workspace, before or ".")
    return dict(files)


def _answer(line: bytes, whole: bytes, form: Form) -> Answer:
    try:
        found = cast("dict[str, Any]", json.loads(line))
    except ValueError:  # it ended in the middle: the kernel took it, or a file broke the reader
        raise ToolError(
            "The query was ended before it had an answer: a file is broken, or it needs more memory than it may have.",
            hint="Ask for fewer columns or rows, or one file at a time.",
        ) from None
    if "error" in found:
        raise ToolError(f"DuckDB refuses the query: {found['error']}")
    return Answer(
        columns=found["columns"],
        rows=found["rows"],
        row_count=found["row_count"],
        truncated=found["truncated"],
        whole=whole or None,
        form=form,
    )

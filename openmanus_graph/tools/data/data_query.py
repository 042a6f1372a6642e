"""Data_query: the tool that answers SQL over files of the workspace."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.files.safe_paths import locate, open_parent, write_file
from openmanus_graph.plans.output_shape import ANY, TEXT
from openmanus_graph.tools.data.query import MOST_SECONDS, Answer, Form, answer_query, unavailable
from openmanus_graph.tools.spec import Effect, ToolSpec, builtin_tool

DEFAULT_ROWS = 100
MOST_ROWS = 10_000
DEFAULT_SECONDS = 60.0
RESULTS = "query-results"
"""The folder of results that have more rows than are shown."""
_FORMS: dict[str, Form] = {".parquet": "parquet", ".csv": "csv", ".json": "json"}


def _effect(args: Mapping[str, Any]) -> Effect:
    """A query only reads; a result put where the caller says changes the workspace."""
    return "write" if args.get("save_as") else "read"


_SPEC = ToolSpec(
    effect="write",
    idempotent=True,
    effect_when=_effect,
    on_request=True,
    timeout_s=MOST_SECONDS + 60,
    takes_code=True,
    free_text=("rows",),
    returns={
        "columns": [{"name": TEXT, "type": TEXT}],
        "rows": ANY,
        "row_count": TEXT,
        "truncated": TEXT,
        "path": TEXT,
    },
    unavailable=unavailable,
)


class QueryArguments(BaseModel):
    """What to ask."""

    model_config = ConfigDict(extra="forbid")

    sql: str = Field(min_length=1, description="The query, in DuckDB's SQL.")
    files: dict[str, str] = Field(
        default_factory=dict[str, str],
        description="Files by names for the query, such as {'sales': 'data/2026-*.parquet'}; seldom needed.",
    )
    max_rows: int = Field(default=DEFAULT_ROWS, ge=1, le=MOST_ROWS, description="Rows to return.")
    save_as: str | None = Field(
        default=None, description="A file for the whole result: .parquet, .csv or .json; by default only if it is long."
    )
    timeout_s: float = Field(default=DEFAULT_SECONDS, gt=0, le=MOST_SECONDS, description="Seconds it may take.")


@builtin_tool("data_query", QueryArguments, _SPEC)
async def data_query(
    sql: str,
    files: dict[str, str] | None = None,
    max_rows: int = DEFAULT_ROWS,
    save_as: str | None = None,
    timeout_s: float = DEFAULT_SECONDS,
) -> dict[str, Any]:
    """Answer SQL over CSV, Parquet, JSON and Excel files of the workspace with DuckDB; files are only read.

    A table's name is a file's: FROM sales finds sales.csv, FROM 'data/*.parquet' takes paths, FROM book_sheet2 a sheet
    of book.xlsx. DESCRIBE and SUMMARIZE show what there is. Returns columns, rows, row_count, truncated, and path, a
    Parquet file with all rows where there are more. In DuckDB 2: lambdas are written lambda x: x + 1 (not x -> x + 1),
    // and % by zero are errors (use nullif), / gives Infinity.
    """
    context = tool_context()
    form = _form_of(save_as)
    if save_as is not None:
        locate(context.workspace, save_as)  # refused before anything is worked out
    context.report(f"querying: {' '.join(sql.split())}"[:80])
    answer = await answer_query(sql, context, files=files, max_rows=max_rows, form=form, seconds=timeout_s)
    path = None
    if answer.whole is not None:
        path = save_as or f"{RESULTS}/{_digest(answer)}.parquet"
        await asyncio.to_thread(_write, context.workspace, path, answer.whole)
    return {
        "columns": answer.columns,
        "rows": answer.rows,
        "row_count": answer.row_count,
        "truncated": answer.truncated,
        "path": path,
    }


def _form_of(save_as: str | None) -> Form | None:
    if save_as is None:
        return None
    form = _FORMS.get(PurePosixPath(save_as).suffix.lower())
    if form is None:
        raise ToolArgumentsError(
            f"The argument 'save_as' is {save_as!r}, whose ending names no form.", hint="Use .parquet, .csv or .json."
        )
    return form


def _digest(answer: Answer) -> str:
    """Names a result by what is in it, so that a call that is made again after a crash writes the same file."""
    stated = json.dumps([answer.columns, answer.row_count], sort_keys=True).encode()
    return hashlib.sha256(stated + (answer.whole or b"")).hexdigest()[:12]


def _write(workspace: Path, path: str, data: bytes) -> None:
    place = locate(workspace, path)
    with open_parent(place, make=True):
        write_file(place, data)

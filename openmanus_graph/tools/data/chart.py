"""Chart: the tool that draws data as a PNG, SVG or HTML file of the workspace, and its other name."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.files.safe_paths import SafePath, locate, open_parent, write_file
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.data.query import answer_query
from openmanus_graph.tools.data.rendering import SECONDS, Format, draw_chart, unavailable
from openmanus_graph.tools.data.specification import Kind, Row, checked_spec, columns_of, made_spec
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

MOST_ROWS = 20_000
"""Rows that are drawn; a picture shows no more."""
_NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})

_SPEC = ToolSpec(
    effect="write",
    idempotent=True,
    on_request=True,
    timeout_s=SECONDS + 120,
    shows="path",
    returns={"path": TEXT, "rows": TEXT, "spec_path": TEXT},
    unavailable=unavailable,
)


class ChartArguments(BaseModel):
    """What to draw."""

    model_config = ConfigDict(extra="forbid")

    data: Any = Field(
        default=None,
        description="Rows as objects, the output of data_query, or a file of the workspace: CSV, Parquet, JSON, Excel.",
    )
    kind: Kind | None = Field(default=None, description="What to draw, unless `spec` says it.")
    x: str | None = Field(default=None, description="The column along it; of a pie, the sectors' names.")
    y: str | list[str] | None = Field(
        default=None, description="The column upwards, or several; of a pie, the sectors' sizes."
    )
    color: str | None = Field(default=None, description="The column that colours tell apart.")
    aggregate: str | None = Field(
        default=None,
        pattern="^(sum|mean|median|min|max|count|distinct)$",
        description="How values of one place are put together: sum, mean, median, min, max, count, distinct.",
    )
    title: str | None = Field(default=None, max_length=300, description="What stands above it.")
    spec: dict[str, Any] | None = Field(default=None, description="A Vega-Lite specification in place of kind, x, y.")
    output_type: Format = Field(default="png", description="The form of the file.")
    path: str | None = Field(default=None, description="The file to write; by default one is chosen.")


async def chart_in_call(given: ChartArguments, context: ToolContext) -> dict[str, Any]:
    """Draw a chart on behalf of a call.

    Raises:
        OutsideWorkspaceError: If a file lies outside the workspace.
        SandboxUnavailableError: If drawing cannot be confined.
        ToolArgumentsError: If what is to be drawn does not fit the data.
        ToolError: If the data cannot be read, or the chart not be drawn.
    """
    if (given.kind is None) == (given.spec is None):
        raise ToolArgumentsError("A chart needs either 'kind' or 'spec'.", hint="As in kind='bar', x='month', y='n'.")
    if given.path is not None:
        locate(context.workspace, given.path)  # refused before anything is worked out
    rows = await _rows(given.data, context)
    if given.kind is not None:
        spec = made_spec(
            given.kind,
            rows,
            x=given.x,
            y=given.y,
            color=given.color,
            aggregate=given.aggregate,
            title=given.title,
        )
    else:
        spec = checked_spec(given.spec or {}, columns_of(rows))
    if rows:
        spec["data"] = {"values": rows}
    elif "data" not in spec:
        raise ToolArgumentsError("The chart has no data.", hint="Give rows or a file in 'data'.")
    context.report(f"drawing {len(rows):,} rows")
    drawn = await draw_chart(spec, given.output_type, context)
    name = hashlib.sha256(json.dumps(spec, sort_keys=True, allow_nan=False).encode()).hexdigest()[:8]
    place = locate(context.workspace, given.path or f"charts/{name}.{given.output_type}")
    beside = locate(context.workspace, str(PurePosixPath(place.path).with_suffix(".vl.json")))
    await asyncio.to_thread(_write, place, drawn)
    await asyncio.to_thread(_write, beside, json.dumps(spec, indent=1, ensure_ascii=False).encode())
    return {"path": place.path, "rows": len(rows), "spec_path": beside.path}


async def _rows(data: Any, context: ToolContext) -> list[Row]:
    """The rows to draw, numbers that are none left empty."""
    if data is None:
        return []
    if isinstance(data, str):
        answer = await answer_query(
            f"SELECT * FROM {_literal(data)}",  # noqa: S608 - a literal, run where it can only read the workspace
            context,
            max_rows=MOST_ROWS,
            most_bytes=16_000_000,
        )
        if answer.truncated:
            raise ToolArgumentsError(
                f"The file {data!r} has {answer.row_count:,} rows, and a chart draws up to {MOST_ROWS:,}.",
                hint="Aggregate them with data_query first, and give its output as 'data'.",
            )
        found = [dict(zip((one["name"] for one in answer.columns), row, strict=True)) for row in answer.rows]
    elif isinstance(data, dict) and {"columns", "rows"} <= cast("dict[str, Any]", data).keys():
        found = _of_table(cast("dict[str, Any]", data))
    else:
        found = _of_objects(data)
    if len(found) > MOST_ROWS:
        raise ToolArgumentsError(f"The data has {len(found):,} rows, and a chart draws up to {MOST_ROWS:,}.")
    return [
        {name: None if isinstance(value, str) and value in _NO_NUMBERS else value for name, value in row.items()}
        for row in found
    ]


def _of_table(data: dict[str, Any]) -> list[Row]:
    """Rows of the output of `data_query`, which may have been cut short."""
    if data.get("truncated"):
        raise ToolArgumentsError(
            "The data is the first part of a longer result only.", hint="Give the result's 'path' as 'data' instead."
        )
    columns = [
        cast("dict[str, Any]", one).get("name") if isinstance(one, dict) else one
        for one in cast("list[Any]", data["columns"])
    ]
    rows = cast("list[Any]", data["rows"])
    if not all(isinstance(row, list) and len(cast("list[Any]", row)) == len(columns) for row in rows):
        raise ToolArgumentsError("The data has rows of another length than its columns.")
    return [dict(zip(map(str, columns), row, strict=True)) for row in rows]


def _of_objects(data: Any) -> list[Row]:
    rows = cast("list[Any]", data) if isinstance(data, list) else None
    if rows is None or not all(isinstance(row, dict) for row in rows):
        raise ToolArgumentsError(
            f"The data is {str(cast('object', data))[:100]!r}, which is no table.",
            hint="Give rows as objects, the output of data_query, or the path of a file.",
        )
    return [{str(name): value for name, value in cast("dict[Any, Any]", row).items()} for row in rows]


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _write(place: SafePath, data: bytes) -> None:
    with open_parent(place, make=True):
        write_file(place, data)


@builtin_tool("chart", ChartArguments, _SPEC)
async def chart(**arguments: Any) -> dict[str, Any]:
    """Draw a chart of data into a file of the workspace: bars, lines, areas, points, pies, histograms, heatmaps, boxes.

    Returns path, rows (those drawn) and spec_path, the Vega-Lite specification with its data.
    """
    return await chart_in_call(ChartArguments.model_validate(arguments), tool_context())


@builtin_tool("data_visualization", ChartArguments, replace(_SPEC, alias_of="chart"))
async def data_visualization(**arguments: Any) -> dict[str, Any]:
    """Draw a chart of data. The same as `chart`."""
    return await chart_in_call(ChartArguments.model_validate(arguments), tool_context())

"""Charts: each kind drawn, each form written, and specifications that would draw nothing refused."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.data.specification import KINDS
from openmanus_graph.tools.registry import builtin
from openmanus_graph.tools.spec import spec_of

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("context")]

MONTHS = [
    {"month": f"2026-{month:02d}-01", "shop": shop, "sold": month * size, "cost": size}
    for month in range(1, 7)
    for shop, size in (("A", 2), ("B", 3))
]


async def drawn(**arguments: Any) -> dict[str, Any]:
    """The output of a chart."""
    return await builtin("chart").ainvoke(arguments)


def spec_at(workspace: Path, found: dict[str, Any]) -> dict[str, Any]:
    return json.loads((workspace / found["spec_path"]).read_text())


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_drawn_with_marks_of_its_data(kind: str, workspace: Path) -> None:
    y: dict[str, Any] = {} if kind == "histogram" else {"y": "sold"}
    x = {"histogram": "sold", "heatmap": "shop", "pie": "shop", "box": "shop"}.get(kind, "month")

    found = await drawn(data=MONTHS, kind=kind, x=x, **y, title="Sold", output_type="svg")

    assert (found["path"].endswith(".svg"), found["rows"]) == (True, 12)
    svg = (workspace / found["path"]).read_text()
    assert "Sold" in svg
    assert svg.count("aria-roledescription") >= 3


async def test_a_picture_is_no_empty_one(workspace: Path) -> None:
    found = await drawn(data="sales.csv", kind="bar", x="town", y="n")

    picture = Image.open(BytesIO((workspace / found["path"]).read_bytes())).convert("RGB")
    colours: Any = picture.getcolors(picture.width * picture.height)
    blue = sum(count for count, (red, green, b) in colours if b > 140 and red < 110 and green < 140)
    assert blue > picture.width * picture.height / 10
    assert spec_of(builtin("chart")).shows == "path"


async def test_a_page_needs_nothing_from_elsewhere(workspace: Path) -> None:
    found = await drawn(data="sales.csv", kind="pie", x="town", y="n", output_type="html", path="out/towns.html")

    page = (workspace / "out" / "towns.html").read_text()
    assert found["path"] == "out/towns.html"
    assert "Birk" in page
    assert "<script src" not in page


async def test_it_draws_what_a_query_gave(workspace: Path) -> None:
    given = await builtin("data_query").ainvoke({"sql": "SELECT town AS \"a.b\", n, 'nan'::DOUBLE AS z FROM sales"})

    found = await drawn(data=given, kind="bar", x="a.b", y=["n", "z"])

    spec = spec_at(workspace, found)
    assert spec["data"]["values"] == [{"a.b": "Alm", "n": 4200, "z": None}, {"a.b": "Birk", "n": 12000, "z": None}]
    assert spec["encoding"]["x"]["field"] == "a\\.b"
    assert spec["encoding"]["color"]["field"] == "series"


async def test_the_same_chart_has_the_same_file() -> None:
    assert await drawn(data=MONTHS, kind="line", x="month", y="sold", color="shop") == await drawn(
        data=MONTHS, kind="line", x="month", y="sold", color="shop"
    )


async def test_types_are_those_of_the_values(workspace: Path) -> None:
    found = await drawn(data=MONTHS, kind="line", x="month", y="sold", color="shop", aggregate="sum")

    encoding = spec_at(workspace, found)["encoding"]
    assert {name: one["type"] for name, one in encoding.items()} == {
        "x": "temporal",
        "y": "quantitative",
        "color": "nominal",
    }
    assert encoding["y"]["aggregate"] == "sum"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "bar", "x": "twon", "y": "n"}, "no column 'twon'.*'town'"),
        ({"kind": "bar", "x": "town"}, "needs 'y'.*'town', 'n', 'price'"),
        ({}, "either 'kind' or 'spec'"),
        ({"kind": "bar", "spec": {}}, "either 'kind' or 'spec'"),
        ({"spec": {"mark": "barr"}}, "mark 'barr'.*'bar'"),
        ({"spec": {"encoding": {}}}, "no 'mark'"),
        ({"spec": {"mark": "bar", "encoding": {"colour": {"field": "n"}}}}, "channel 'colour'.*'color'"),
        ({"spec": {"mark": "bar", "encoding": {"x": {"field": "n", "type": "number"}}}}, "type 'number'"),
        ({"spec": {"mark": "bar", "encoding": {"x": {"field": "Town"}}}}, "no column 'Town'.*'town'"),
        ({"spec": {"layer": [{"mark": "bar", "encoding": {"x": {"field": "m"}}}]}}, "no column 'm'"),
        ({"spec": {"mark": "bar", "data": {"url": "https://example.com/a.csv"}}}, "takes its data from"),
        ({"spec": {"mark": "bar", "transform": [{"calculate": "datum.n +", "as": "q"}]}}, "cannot be drawn"),
    ],
)
async def test_what_would_draw_nothing_is_refused_with_the_nearest_names(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        await drawn(data="sales.csv", **arguments)


async def test_names_that_transforms_make_are_known() -> None:
    spec = {
        "transform": [
            {"calculate": "datum.n * 2", "as": "double"},
            {"fold": ["n", "double"]},
            {"aggregate": [{"op": "sum", "field": "value", "as": "all"}], "groupby": ["key"]},
        ],
        "mark": "bar",
        "encoding": {"x": {"field": "key"}, "y": {"field": "all", "type": "quantitative"}},
    }

    assert (await drawn(data="sales.csv", spec=spec))["rows"] == 2


@pytest.mark.parametrize(
    "data", [None, [], "nothing.csv", [1, 2], "select", {"columns": ["a"], "rows": [[1, 2]]}, 7, [{"a": 1}, "b"]]
)
async def test_what_is_no_table_is_refused(data: Any) -> None:
    with pytest.raises(ToolError):
        await drawn(data=data, kind="bar", x="a", y="b")


async def test_a_first_part_is_not_drawn_as_the_whole() -> None:
    part = await builtin("data_query").ainvoke({"sql": "SELECT range AS a, range AS b FROM range(500)", "max_rows": 10})

    with pytest.raises(ToolArgumentsError, match="the first part of a longer result"):
        await drawn(data=part, kind="line", x="a", y="b")
    assert (await drawn(data=part["path"], kind="line", x="a", y="b"))["rows"] == 500


async def test_more_rows_than_a_chart_shows_are_refused(workspace: Path) -> None:
    (workspace / "many.csv").write_text("a,b\n" + "1,2\n" * 20_001)

    with pytest.raises(ToolArgumentsError, match=r"20,001 rows.*up to 20,000"):
        await drawn(data="many.csv", kind="scatter", x="a", y="b")


async def test_nothing_is_written_elsewhere() -> None:
    with pytest.raises(OutsideWorkspaceError):
        await drawn(data="sales.csv", kind="bar", x="town", y="n", path="../a.png")


async def test_the_other_name_draws_too() -> None:
    tool = builtin("data_visualization")

    assert spec_of(tool).alias_of == "chart"
    assert (await tool.ainvoke({"data": "sales.csv", "kind": "bar", "x": "town", "y": "n"}))["rows"] == 2

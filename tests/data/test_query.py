"""Queries: what a name finds, how values arrive, what a query cannot do, and what it costs when it goes wrong."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest

from openmanus_graph.config.settings import SandboxChoice
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.data import query as query_module
from openmanus_graph.tools.registry import builtin
from openmanus_graph.tools.spec import effect_of

from .conftest import LEVELS, SALES

pytestmark = [pytest.mark.sandbox, pytest.mark.usefixtures("context")]


PLACES = ("{outside}", "../../outside.csv", "link.csv", "https://example.com/a.csv", "s3://bucket/a.parquet")
"""Where data may be that no query of a workspace reads."""


def read(sql: str) -> list[Any]:
    """What DuckDB itself reads."""
    with duckdb.connect() as own:
        return own.execute(sql).fetchall()


async def asked(sql: str, **arguments: Any) -> dict[str, Any]:
    """The output of a query."""
    return await builtin("data_query").ainvoke({"sql": sql, **arguments})


async def rows(sql: str, **arguments: Any) -> list[list[Any]]:
    """The rows of a query."""
    return (await asked(sql, **arguments))["rows"]


@pytest.mark.parametrize("level", LEVELS)
async def test_a_file_is_a_table_at_every_level(level: SandboxChoice) -> None:
    assert level in LEVELS

    assert await asked("SELECT town, n * price AS worth FROM sales ORDER BY n DESC") == {
        "columns": [{"name": "town", "type": "VARCHAR"}, {"name": "worth", "type": "DOUBLE"}],
        "rows": [["Birk", 27000.0], ["Alm", 6300.0]],
        "row_count": 2,
        "truncated": False,
        "path": None,
    }


@pytest.mark.parametrize("level", LEVELS)
async def test_what_would_change_a_file_is_refused_and_nothing_is_changed(
    level: SandboxChoice, workspace: Path
) -> None:
    assert level in LEVELS
    for sql in (
        "COPY (SELECT 1) TO 'sales.csv'",
        "SELECT 1; COPY sales TO 'new.csv'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'new.db' AS other",
        "SET enable_external_access = true",
        "PRAGMA memory_limit = '90GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
    ):
        with pytest.raises(ToolError, match="not allowed"):
            await asked(sql)

    assert {path.name: path.read_text() for path in workspace.iterdir()} == {"sales.csv": SALES}


@pytest.mark.parametrize(
    ("level", "place"),
    # Without confinement a link leads where it leads, as for every program.
    [(level, place) for level in LEVELS for place in PLACES if (level, place) != ("none", "link.csv")],
)
async def test_no_query_reads_what_is_elsewhere(
    place: str, level: SandboxChoice, workspace: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("kept\nprivate-words\n")
    (workspace / "link.csv").symlink_to(outside)
    named = place.format(outside=outside)
    assert level in LEVELS

    with pytest.raises(ToolError) as refused:
        await asked(f"SELECT * FROM read_csv('{named}')")

    assert "private-words" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["sales", "SALES", '"sales.csv"', "'sales.csv'", "'data/more.csv'", "more", "'data/*.csv'"]
)
async def test_a_name_finds_its_file(name: str, workspace: Path) -> None:
    (workspace / "data").mkdir()
    (workspace / "data" / "more.csv").write_text(SALES)

    assert await rows(f"SELECT sum(n) FROM {name}") == [[16200]]


async def test_every_kind_of_file_is_read(workspace: Path) -> None:
    (workspace / "a.tsv").write_text("x\ty\n1\t2\n")
    (workspace / "b.json").write_text('[{"x": 1, "y": null}, {"x": 2.5, "y": "z"}]')
    (workspace / "c.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    (workspace / "d.csv.gz").write_bytes(gzip.compress(b"x\n7\n"))
    (workspace / "e.txt").write_text("x;y\n1;2\n")
    read(f"COPY (SELECT 41 AS x) TO '{workspace}/f.parquet'")

    assert await rows(
        "SELECT a.y, (SELECT max(x) FROM b), (SELECT count(*) FROM c), d.x, e.y, f.x FROM a, d, e, f"
    ) == [[2, 2.5, 2, 7, 2, 41]]


async def test_a_workbook_has_a_table_for_each_sheet(workspace: Path) -> None:
    book = openpyxl.Workbook()
    first: Any = book.active
    first.title = "Orders"
    for row in (
        ["id", "when", "name", "amount", None],
        [1, datetime(2026, 1, 2, 3, 4), 'a"b,\\N', 1.5, None],
        [None, None, None, None, None],
        [2, None, "007", 2, "x"],
    ):
        first.append(row)
    for row in (["a", "a"], [True, 3]):
        book.create_sheet("Q2 data").append(row) if row[0] == "a" else book["Q2 data"].append(row)
    book.save(workspace / "book.xlsx")

    found = await asked("SELECT * FROM book")
    assert [one["type"] for one in found["columns"]] == ["BIGINT", "TIMESTAMP", "VARCHAR", "DOUBLE", "VARCHAR"]
    assert found["rows"] == [
        [1, "2026-01-02T03:04:00", 'a"b,\\N', 1.5, None],
        [2, None, "007", 2.0, "x"],  # zeros in front are kept, as text is
    ]
    assert await rows("SELECT a, a_2 FROM book_q2_data") == [[True, 3]]
    assert await rows("SELECT name FROM 'book.xlsx' WHERE id = 2") == [["007"]]
    assert await rows("SELECT a FROM second", files={"second": "book.xlsx#Q2 data"}) == [[True]]
    with pytest.raises(ToolError, match="no sheet 'nine'; it has 'Orders', 'Q2 data'"):
        await asked("SELECT * FROM book_nine")


async def test_numbers_dates_and_values_without_a_form_in_json_survive() -> None:
    found = await rows(
        "SELECT 'nan'::DOUBLE, 'inf'::DOUBLE, '-inf'::FLOAT, 1.10::DECIMAL(5, 2), "
        "12345678901234567890.12::DECIMAL(30, 2), sum(n), 123456789012345678901234567890::HUGEINT, "
        "DATE '2026-02-28', TIMESTAMPTZ '2026-01-01 00:00:00+02', INTERVAL 90 MINUTE, [1, NULL], "
        "{'a': 'nan'::DOUBLE}, MAP {'k': DATE '2026-01-01'}, '\\x00\\xFF'::BLOB, NULL, true FROM sales"
    )

    assert json.loads(json.dumps(found, allow_nan=False)) == [
        [
            *("NaN", "Infinity", "-Infinity", 1.1, "12345678901234567890.12", 16200),
            *("123456789012345678901234567890", "2026-02-28", "2025-12-31T22:00:00+00:00", "1:30:00"),
            *([1, None], {"a": "NaN"}, {"k": "2026-01-01"}, "00ff", None, True),
        ]
    ]


async def test_a_long_result_is_whole_in_a_file(workspace: Path) -> None:
    found = await asked(
        "SELECT range AS i, (range * 10000000000000000000)::HUGEINT AS wide FROM range(5000) ORDER BY i DESC",
        max_rows=3,
    )

    assert (found["row_count"], found["truncated"], len(found["rows"])) == (5000, True, 3)
    kept = read(f"SELECT * FROM '{workspace / found['path']}'")
    assert kept[:2] == [(4999, Decimal("49990000000000000000000")), (4998, Decimal("49980000000000000000000"))]
    assert len(kept) == 5000
    again = await asked(
        "SELECT range AS i, (range * 10000000000000000000)::HUGEINT AS wide FROM range(5000) ORDER BY i DESC",
        max_rows=3,
    )
    assert again == found  # as a call made again after a crash


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
async def test_a_result_is_saved_where_it_was_asked_for(ending: str, workspace: Path) -> None:
    found = await asked("SELECT * FROM sales ORDER BY n", save_as=f"out/result.{ending}")

    assert found["path"] == f"out/result.{ending}"
    assert read(f"SELECT * FROM '{workspace}/out/result.{ending}'") == [
        ("Alm", 4200, 1.5),
        ("Birk", 12000, 2.25),
    ]
    assert effect_of(builtin("data_query"), {"sql": "x", "save_as": found["path"]}) == "write"
    assert effect_of(builtin("data_query"), {"sql": "x"}) == "read"


async def test_several_statements_pivots_and_descriptions(workspace: Path) -> None:
    (workspace / "long.csv").write_text("k,m,v\na,1,5\na,2,6\nb,1,7\n")

    assert await rows("CREATE TABLE t AS SELECT * FROM sales; DELETE FROM t WHERE n > 5000; SELECT town FROM t") == [
        ["Alm"]
    ]
    assert await rows("PIVOT long ON m USING sum(v) ORDER BY k") == [["a", 5, 6], ["b", 7, None]]
    assert [row[0] for row in await rows("DESCRIBE sales")] == ["town", "n", "price"]
    assert [row[0] for row in await rows("SUMMARIZE sales")] == ["town", "n", "price"]
    assert "Read Csv" in (await rows("EXPLAIN SELECT * FROM sales"))[0][1]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM slaes", "no.*slaes|slaes does not exist! Files there are: 'sales.csv'"),
        ("SELECT * FROM 'nothing.csv'", "nothing.csv"),
        ("SELECT twon FROM sales", 'Candidate bindings: "town"'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT list_transform([1], x -> x + 1)", "lambda x"),
        ("SELECT n % 0 FROM sales", "Division by zero"),
        (" ; ", "empty"),
        ("SELECT * FROM broken", "broken|Parquet"),
        ("SELECT * FROM torn", "cannot be read"),
        ("SELECT error('stop ' || town) FROM sales", "stop Alm"),
    ],
)
async def test_what_is_wrong_comes_back_with_what_to_do(sql: str, said: str, workspace: Path) -> None:
    (workspace / "broken.parquet").write_bytes(b"PAR1 nothing of the kind")
    (workspace / "torn.xlsx").write_bytes(b"PK\x03\x04 nothing of the kind")

    with pytest.raises(ToolError, match=said):
        await asked(sql)


async def test_a_name_of_two_files_is_refused_with_both(workspace: Path) -> None:
    (workspace / "old").mkdir()
    (workspace / "old" / "sales.csv").write_text(SALES)
    (workspace / "sales.json").write_text("[]")

    with pytest.raises(ToolError, match=r"may mean 'old/sales\.csv', 'sales\.csv', 'sales\.json'\. Give the path"):
        await asked("SELECT * FROM sales")
    assert await rows("SELECT count(*) FROM 'sales.csv'") == [[2]]


async def test_hidden_files_are_found_by_no_name(workspace: Path) -> None:
    (workspace / ".openmanus").mkdir()
    (workspace / ".openmanus" / "hidden_one.csv").write_text(SALES)

    with pytest.raises(ToolError, match="hidden_one does not exist"):
        await asked("SELECT * FROM hidden_one")


async def test_files_outside_are_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> bytes:
        raise AssertionError

    monkeypatch.setattr(query_module, "run_worker", never)
    with pytest.raises(OutsideWorkspaceError):
        await asked("SELECT 1", files={"a": "../*.csv"})
    with pytest.raises(OutsideWorkspaceError):
        await asked("SELECT 1", save_as="../a.csv")
    with pytest.raises(ToolArgumentsError, match="whose ending names no form"):
        await asked("SELECT 1", save_as="a.xls")


async def test_a_query_without_end_is_ended() -> None:
    with pytest.raises(ToolError, match="did not end within 2 s"):
        await asked("WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x % 7 FROM t) SELECT max(x) FROM t", timeout_s=2)


async def test_a_query_that_needs_too_much_memory_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_module, "MEMORY_MB", 40)
    monkeypatch.setattr(query_module, "SCRATCH_MB", 10)

    with pytest.raises(ToolError, match="needs more memory"):
        await asked("SELECT range, hash(range) FROM range(20000000) ORDER BY 2")
    assert await rows("SELECT sum(n) FROM sales") == [[16200]]


async def test_the_answer_is_bounded(context: ToolContext) -> None:
    found = await asked("SELECT repeat('x', 1000) FROM range(5000)", max_rows=5000)

    assert found["row_count"] == 5000
    assert found["truncated"]
    assert len(json.dumps(found["rows"])) <= 1_000_000 + 5000 * 2
    assert (context.workspace / found["path"]).exists()


def test_dates_of_sheets_have_their_type() -> None:
    from openmanus_graph.tools.data.duckdb_worker import cell, sql_type

    kinds: set[str] = set()
    assert cell(date(2026, 1, 2), kinds) == "2026-01-02"
    assert sql_type(kinds) == "DATE"
    assert sql_type({"BIGINT", "VARCHAR"}) == "VARCHAR"
    assert sql_type(set()) == "VARCHAR"

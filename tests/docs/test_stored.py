"""Stored: the page that says what is stored where leaves out no table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.checkpoints.store import ThreadStore
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from tests.docs.blocks import TOP

PAGE = TOP / "docs" / "stored.md"


def named() -> set[str]:
    """Tables in the second column of the first table of the page; `…` stands for any ending."""
    part = PAGE.read_text(encoding="utf-8").partition("## In Postgres")[2].partition("\n## ")[0]
    rows = [line.split("|") for line in part.splitlines() if line.startswith("| ")][1:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[2])}


@pytest.mark.postgres
async def test_every_table_of_the_database_is_on_the_page_and_no_other(saver: ThreadSaver, tmp_path: Path) -> None:
    memory = PassageMemory(saver, Settings.load(home=tmp_path, vector_index="pgvector", embedder="hashing"))
    await memory.deliver()  # makes the table of its vectors
    await memory.aclose()
    store = ThreadStore(saver)
    await store.setup()
    await store.aclose()
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'openmanus_graph'")
        ).fetchall()
    tables = {str(row["tablename"]) for row in rows}

    def fits(table: str, name: str) -> bool:
        return table.startswith(name[:-1]) if name.endswith("…") else table == name

    assert {table for table in tables if not any(fits(table, name) for name in named())} == set()
    assert {name for name in named() if not any(fits(table, name) for table in tables)} == set()


def test_every_row_says_where_whose_how_long_and_what_removes_it() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    assert len(rows) > 20
    for row in rows:
        assert len([cell for cell in row.strip("|").split("|") if cell.strip()]) == 5, row

"""Schema steps: rows of each earlier state of the schema are there, and go on, in the newest one.

Each state is made of the first scripts of `sql/`, as the program of that time did it. The rows are those of an earlier
program's archive, as far as the state has their tables and columns.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
import pytest
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from psycopg import sql

import openmanus_graph
from openmanus_graph import Thread, get_thread, open_checkpointer
from openmanus_graph.errors import MigrationNeededError
from tests.cli.conftest import Program

from .conftest import View

pytestmark = pytest.mark.postgres

# Wherever the package keeps them.
SCRIPTS = sorted(next(Path(str(openmanus_graph.__file__)).parent.rglob("001_threads.sql")).parent.glob("*.sql"))

THREADS = 8
"""Threads that an archive has."""

Connection = psycopg.Connection[tuple[Any, ...]]

COLUMNS = """
SELECT c.column_name FROM information_schema.columns c
JOIN information_schema.columns a ON a.table_name = c.table_name AND a.column_name = c.column_name
WHERE c.table_schema = 'openmanus_graph' AND a.table_schema = 'archived'
  AND c.table_name = %s AND c.is_generated = 'NEVER'
"""
COUNTED = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = 'openmanus_graph' AND table_name = %s AND is_identity = 'YES'
"""


def make_state(connection: Connection, state: int) -> None:
    """Make the schema of the first scripts, in the way of the program that had no more of them."""
    connection.execute("CREATE SCHEMA openmanus_graph")
    connection.execute("SET search_path TO openmanus_graph")
    for version, statement in enumerate(BasePostgresSaver.MIGRATIONS):
        connection.execute(cast("LiteralString", statement.replace("CONCURRENTLY", "")))
        connection.execute("INSERT INTO checkpoint_migrations (v) VALUES (%s)", (version,))
    connection.execute(
        "CREATE TABLE migrations (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    for script in SCRIPTS[:state]:
        connection.execute(cast("LiteralString", script.read_text()))
        connection.execute("INSERT INTO migrations (version) VALUES (%s)", (int(script.name.split("_")[0]),))


def tables(connection: Connection) -> list[str]:
    """The tables of the state that hold rows of threads, those that others refer to first."""
    found = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'openmanus_graph'"
    ).fetchall()
    return sorted((str(name) for (name,) in found if "migrations" not in name), key=lambda name: name != "threads")


def columns(connection: Connection, table: str) -> sql.Composed:
    """The columns that a table has both in the state and in the archive."""
    return sql.SQL(", ").join(sql.Identifier(str(name)) for (name,) in connection.execute(COLUMNS, (table,)))


def copy_rows(connection: Connection) -> dict[str, sql.Composed]:
    """Take the archive's rows into the state; the columns that were copied, by table."""
    copied: dict[str, sql.Composed] = {}
    for table in tables(connection):
        names = columns(connection, table)
        if not list(names):  # it came after the archive
            continue
        copied[table] = names
        connection.execute(
            sql.SQL(
                "INSERT INTO openmanus_graph.{table} ({names}) OVERRIDING SYSTEM VALUE"
                " SELECT {names} FROM archived.{table}"
            ).format(table=sql.Identifier(table), names=names)
        )
        for (column,) in connection.execute(COUNTED, (table,)).fetchall():
            connection.execute(
                sql.SQL("SELECT setval(pg_get_serial_sequence(%s, %s), max({column}) + 1) FROM {table}").format(
                    column=sql.Identifier(column), table=sql.Identifier(table)
                ),
                (f"openmanus_graph.{table}", column),
            )
    connection.execute("SELECT setval('openmanus_graph.runner_epochs', last_value) FROM archived.runner_epochs")
    return copied


def count_differences(connection: Connection, table: str, names: sql.Composed) -> tuple[int, int]:
    """How many rows a table has, and how many of them, or of the archive's, the other has not."""
    # As text, for there are types without an order; a row of two tables of the same columns is written alike.
    query = sql.SQL(
        "WITH kept AS (SELECT ROW({names})::text AS r FROM openmanus_graph.{table}),"
        " given AS (SELECT ROW({names})::text AS r FROM archived.{table})"
        " SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM (TABLE kept EXCEPT ALL TABLE given) AS more)"
        " + (SELECT count(*) FROM (TABLE given EXCEPT ALL TABLE kept) AS less)"
    ).format(table=sql.Identifier(table), names=names)
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def test_there_is_a_script_for_each_version() -> None:
    assert [int(script.name.split("_")[0]) for script in SCRIPTS] == list(range(1, len(SCRIPTS) + 1))


async def opened(url: str) -> Thread | None:
    """A thread, as a program gets it that opens the database."""
    async with open_checkpointer(url) as saver:
        return await get_thread(saver, "killed")


@pytest.mark.parametrize("state", range(1, len(SCRIPTS)), ids=lambda state: SCRIPTS[state - 1].stem)
def test_rows_of_an_earlier_schema_are_there_and_go_on(state: int, restored: Program, view: View) -> None:
    url = restored.environment["DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("ALTER SCHEMA openmanus_graph RENAME TO archived")
        make_state(connection, state)
        copied = copy_rows(connection)
    with pytest.raises(MigrationNeededError, match="tables of an older version"):
        asyncio.run(opened(url))
    view("db", "migrate")
    with psycopg.connect(url) as connection:
        for table, names in copied.items():
            count, differences = count_differences(connection, table, names)
            assert (table, differences) == (table, 0)
            assert count > 0 or table == "answers"
        found = connection.execute("SELECT array_agg(version ORDER BY version) FROM openmanus_graph.migrations")
        assert found.fetchone() == (list(range(1, len(SCRIPTS) + 1)),)
        connection.execute("DROP SCHEMA archived CASCADE")
    thread = asyncio.run(opened(url))
    assert thread is not None
    assert (thread.status, thread.title, thread.origin) == ("stopped", "Six steps, of which three are done", None)
    assert len(view("threads", "list").splitlines()) == 1 + THREADS
    assert "held" in view("threads", "show", "killed")
    assert "killed.one" in view("threads", "history", "killed")
    assert "asking" in view("resume", "asking", "--dry-run")
    out, err = restored("resume", "killed")
    assert "written by killed.one" in out
    assert "6 subtasks, 3 kept" in err
    before, after = ["killed.one", "killed.order", "killed.held"], ["killed.held", "killed.after"]
    assert [line for line in restored.log() if line.startswith("killed.")] == before + after

"""Plain text: where a word stands in a database, in its rows and in its files."""

from __future__ import annotations

from pathlib import Path

import psycopg
from psycopg import sql

from tests.bytes_in_files import files_holding

SCHEMA = "openmanus_graph"


def rows_with(database: str, word: str) -> dict[str, int]:
    """The rows that have a word, by table: as text, in JSON or inside of bytes."""
    found: dict[str, int] = {}
    with psycopg.connect(database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (SCHEMA,)).fetchall()
        for (table,) in tables:
            query = sql.SQL(
                "SELECT count(*) FROM {} t WHERE strpos(lower(t::text), %s) > 0 OR strpos(t::text, %s) > 0"
            ).format(sql.Identifier(SCHEMA, table))
            row = connection.execute(query, (word.lower(), word.encode().hex())).fetchone()
            if row is not None and row[0]:
                found[str(table)] = int(row[0])
    return found


def files_with(database: str, word: str) -> list[str]:
    """The files of the server that have a word, its log of writes among them; all is written to them first."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return files_holding(Path(str(row[0])), word)

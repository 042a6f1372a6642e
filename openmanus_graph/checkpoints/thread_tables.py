"""Tables: those with rows of threads, for everything that copies, counts or removes a thread as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

THREADS = "threads"
CHECKPOINT_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
"""LangGraph's own, which hold a thread even without a row in `threads`."""
THREAD_TABLES = (
    THREADS,
    *CHECKPOINT_TABLES,
    "answers",
    "events",
    "model_calls",
    "episodes",
    "ratings",
    "effects",
    "file_changes",
    "searches",
)
"""Every table with a `thread_id`, `threads` first because others refer to it; a test compares it with the database."""


async def columns_of(connection: AsyncConnection[DictRow], table: str) -> list[str]:
    """The columns of a table that can be written: none that the database generates, and no number it gives.

    Args:
        connection: A connection with our schema on its search path.
        table: One of `THREAD_TABLES`.
    """
    rows = await (
        await connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' AND attidentity = '' ORDER BY attnum",
            (table,),
        )
    ).fetchall()
    return [str(row["attname"]) for row in rows]


async def numbered(connection: AsyncConnection[DictRow], table: str) -> str | None:
    """The column with numbers that the database gives in the order of the rows, if a table has one."""
    row = await (
        await connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attidentity <> ''",
            (table,),
        )
    ).fetchone()
    return None if row is None else str(row["attname"])


async def copy_rows(
    connection: AsyncConnection[DictRow], source: str, target: str, tables: Sequence[str] = CHECKPOINT_TABLES
) -> None:
    """Copy a thread's rows to another id, inside the database; numbers are given anew, in the same order.

    Args:
        connection: A connection, in a transaction that sees one state of all tables.
        source: The thread to copy.
        target: The id of the copy.
        tables: Which of `THREAD_TABLES`.
    """
    for table in tables:
        names = [sql.Identifier(name) for name in await columns_of(connection, table) if name != "thread_id"]
        number = await numbered(connection, table)
        order = sql.SQL("") if number is None else sql.SQL(" ORDER BY {}").format(sql.Identifier(number))
        query = sql.SQL(
            "INSERT INTO {table} (thread_id, {columns}) SELECT %(target)s, {columns} FROM {table}"
            " WHERE thread_id = %(source)s{order}"
        )
        query = query.format(table=sql.Identifier(table), columns=sql.SQL(", ").join(names), order=order)
        await connection.execute(query, {"source": source, "target": target})


async def remove_rows(
    connection: AsyncConnection[DictRow], thread_ids: Collection[str], tables: Sequence[str] = THREAD_TABLES
) -> None:
    """Remove all rows of threads, and contents of files that only they had.

    Args:
        connection: A connection, in a transaction.
        thread_ids: The threads.
        tables: Which of `THREAD_TABLES`.
    """
    contents: list[str] = []
    if "file_changes" in tables:
        rows = await (
            await connection.execute(
                "SELECT before AS digest FROM file_changes WHERE thread_id = ANY(%(ids)s) AND before IS NOT NULL"
                " UNION SELECT after FROM file_changes WHERE thread_id = ANY(%(ids)s) AND after IS NOT NULL",
                {"ids": list(thread_ids)},
            )
        ).fetchall()
        contents = [str(row["digest"]) for row in rows]
    for table in reversed(tables):
        await connection.execute(
            sql.SQL("DELETE FROM {} WHERE thread_id = ANY(%s)").format(sql.Identifier(table)), (list(thread_ids),)
        )
    if contents:
        await connection.execute("SELECT remove_contents(%s)", (contents,))


async def try_alone(connection: AsyncConnection[DictRow], thread_id: str, *, shared: bool = False) -> bool:
    """Keep runners off a thread until the transaction ends, if none holds it.

    Args:
        connection: A connection, in a transaction.
        thread_id: The thread.
        shared: Let others do the same; for those that only read.
    """
    query: Any = "SELECT pg_try_advisory_xact_lock(runner_key(%s)) AS alone"
    if shared:
        query = "SELECT pg_try_advisory_xact_lock_shared(runner_key(%s)) AS alone"
    row = await (await connection.execute(query, (thread_id,))).fetchone()
    return row is not None and bool(row["alone"])

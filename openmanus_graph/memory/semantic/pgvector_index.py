"""Pgvector index: vectors in the Postgres that has the passages, where it has the extension `vector`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from openmanus_graph.checkpoints.migrations import LOCK_KEY
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import DatabaseError, VectorIndexError
from openmanus_graph.memory.semantic.vector_index import Vector, VectorSpace
from openmanus_graph.redaction import redact_log

EXACT_ROWS = 10_000
"""Vectors up to which all are compared: that is fast enough, and misses none."""
MOST_INDEXED = 4_000
"""Numbers of a vector up to which pgvector makes an HNSW index of half-precision ones."""
MOST_DIMENSIONS = 16_000
"""Numbers of a vector that pgvector takes in half precision."""
BUILD_MEMORY = "128MB"
"""Memory for building the index; with less than its size it takes several times as long."""


class PgvectorIndex:
    """Vectors of half precision in a table of their own; compared exactly, or by HNSW where there are many."""

    def __init__(self, saver: ThreadSaver, space: VectorSpace, schema: str) -> None:
        """Use a table that `open_index` has made.

        Args:
            saver: The store.
            space: Which vectors.
            schema: Where the extension's types and operators are.
        """
        self._saver = saver
        self.space = space
        self._table = sql.Identifier("openmanus_graph", _table(space))
        self._hnsw = sql.Identifier(f"{_table(space)}_hnsw")
        self._schema = sql.Identifier(schema)

    @classmethod
    async def open_index(cls, saver: ThreadSaver, space: VectorSpace) -> PgvectorIndex:
        """The index of a space; extension and table are made if they are not there.

        Raises:
            VectorIndexError: If the database has no pgvector and cannot be given it.
        """
        if space.dimensions > MOST_DIMENSIONS:
            raise VectorIndexError(f"Vectors of {space.dimensions:,} numbers are too long for pgvector.")
        async with _answering(saver) as connection:
            schema = await _extension_schema(connection)
            there = await connection.execute("SELECT to_regclass(%s) AS t", (f"openmanus_graph.{_table(space)}",))
            if schema is None or (await there.fetchone() or {})["t"] is None:
                async with connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
                    await connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA openmanus_graph")
                    schema = await _extension_schema(connection) or "openmanus_graph"
                    await connection.execute(
                        sql.SQL(
                            "CREATE TABLE IF NOT EXISTS {table} (key text PRIMARY KEY, owner text NOT NULL,"
                            " vector {schema}.halfvec({size}) NOT NULL)"
                        ).format(
                            table=sql.Identifier("openmanus_graph", _table(space)),
                            schema=sql.Identifier(schema),
                            size=sql.Literal(space.dimensions),
                        )
                    )
        return cls(saver, space, schema)

    @property
    def target(self) -> str:
        """Names the space; the place is the database itself."""
        return f"pgvector {_table(self.space)}"

    @property
    def place(self) -> str:
        """The place in words."""
        return "pgvector in the database"

    async def upsert(self, owner: str, items: Sequence[tuple[str, Vector]]) -> None:
        """Store vectors by key."""
        self.space.check([vector for _, vector in items])
        query = sql.SQL(
            "INSERT INTO {table} (key, owner, vector)"
            " SELECT key, %s, vector::{schema}.halfvec FROM unnest(%s::text[], %s::text[]) AS i (key, vector)"
            " ON CONFLICT (key) DO UPDATE SET vector = EXCLUDED.vector"
        )
        by_key = await asyncio.to_thread(lambda: {key: _literal(vector) for key, vector in items})
        await self._execute(query, (owner, list(by_key), list(by_key.values())))

    async def delete(self, owner: str, keys: Sequence[str]) -> None:
        """Remove vectors."""
        await self._execute(sql.SQL("DELETE FROM {table} WHERE owner = %s AND key = ANY(%s)"), (owner, list(keys)))

    async def query(self, owner: str, vector: Vector, limit: int) -> list[tuple[str, float]]:
        """Keys of the nearest vectors."""
        self.space.check([vector])
        query = self._made(
            "SELECT key, 1 - (vector OPERATOR({schema}.<=>) %(vector)s::{schema}.halfvec) AS cosine"
            " FROM {table} WHERE owner = %(owner)s"
            " ORDER BY vector OPERATOR({schema}.<=>) %(vector)s::{schema}.halfvec LIMIT %(limit)s"
        )
        async with _answering(self._saver) as connection, connection.transaction():
            # Without it a filter leaves fewer rows than were asked for, or none. Two settings in one round trip.
            await connection.execute(
                "SELECT set_config('hnsw.iterative_scan', 'strict_order', true),"
                " set_config('hnsw.ef_search', %s, true)",
                (str(min(max(2 * limit, 100), 1000)),),
            )
            given = {"vector": _literal(vector), "owner": owner, "limit": limit}
            rows = await (await connection.execute(query, given)).fetchall()
        return [(str(row["key"]), float(row["cosine"])) for row in rows]

    async def keys(self, owner: str) -> set[str]:
        """All keys of an owner."""
        rows = await self._execute(sql.SQL("SELECT key FROM {table} WHERE owner = %s"), (owner,))
        return {str(row["key"]) for row in rows}

    async def owners(self) -> set[str]:
        """Everybody who has vectors."""
        rows = await self._execute(sql.SQL("SELECT DISTINCT owner FROM {table}"), ())
        return {str(row["owner"]) for row in rows}

    async def tidy(self) -> None:
        """Make the HNSW index once there are more than `EXACT_ROWS`."""
        if self.space.dimensions > MOST_INDEXED:
            return
        rows = await self._execute(sql.SQL("SELECT count(*) AS n FROM {table}"), ())
        if rows[0]["n"] <= EXACT_ROWS or await self._is_indexed():
            return
        query = self._made(
            "CREATE INDEX IF NOT EXISTS {hnsw} ON {table} USING hnsw (vector {schema}.halfvec_cosine_ops)"
        )
        async with _answering(self._saver) as connection, connection.transaction():
            await connection.execute("SELECT set_config('maintenance_work_mem', %s, true)", (BUILD_MEMORY,))
            await connection.execute(query)
        # Without statistics of the rows that have just come the index is not used, until Postgres looks by itself.
        await self._execute(sql.SQL("ANALYZE {table}"), ())

    async def _is_indexed(self) -> bool:
        async with _answering(self._saver) as connection:
            name = f"openmanus_graph.{_table(self.space)}_hnsw"
            row = await (await connection.execute("SELECT to_regclass(%s) IS NOT NULL AS made", (name,))).fetchone()
        return row is not None and bool(row["made"])

    async def aclose(self) -> None:
        """Nothing: the connections are the saver's."""

    async def _execute(self, query: sql.SQL, values: Sequence[Any]) -> list[DictRow]:
        made = query.format(table=self._table, schema=self._schema)
        async with _answering(self._saver) as connection:
            cursor = await connection.execute(made, values)
            return await cursor.fetchall() if cursor.description else []

    def _made(self, query: Any) -> sql.Composed:
        return sql.SQL(query).format(table=self._table, schema=self._schema, hnsw=self._hnsw)


def _table(space: VectorSpace) -> str:
    return f"vectors_{space.name().rpartition('-')[2]}"


def _literal(vector: Vector) -> str:
    return f"[{','.join(map(str, vector))}]"


async def _extension_schema(connection: AsyncConnection[DictRow]) -> str | None:
    row = await (
        await connection.execute(
            "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'vector'"
        )
    ).fetchone()
    return None if row is None else str(row["nspname"])


@asynccontextmanager
async def _answering(saver: ThreadSaver) -> AsyncGenerator[AsyncConnection[DictRow]]:
    """A connection whose failures are the index's."""
    try:
        async with saver.pool.connection() as connection:
            yield connection
    except (psycopg.Error, DatabaseError) as error:
        first = redact_log(str(error).strip().partition("\n")[0])
        raise VectorIndexError(f"The index of vectors in Postgres fails: {first or type(error).__name__}.") from error

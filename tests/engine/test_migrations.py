"""Migrations when several processes open a new database at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from openmanus_graph.checkpoints.migrations import LOCK_KEY, migrate
from tests.conftest import new_database

pytestmark = pytest.mark.postgres

OTHERS = 4
"""Postgres itself tells only some of those who wait that there is something new."""


@pytest.fixture
def empty_database(server: str) -> Iterator[str]:
    """The URL of a database without any tables of ours."""
    with new_database(server, "template0") as url:
        yield url


async def waiting(connection: AsyncConnection[dict[str, Any]]) -> int:
    query = "SELECT count(*) AS waiting FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    row = await (await connection.execute(query)).fetchone()
    return 0 if row is None else row["waiting"]


async def test_those_who_wait_for_the_first_migration_find_it_done(empty_database: str) -> None:
    async with AsyncExitStack() as stack:

        async def connection() -> AsyncConnection[dict[str, Any]]:
            opened = await AsyncConnection[dict[str, Any]].connect(
                empty_database, autocommit=True, row_factory=dict_row
            )
            return await stack.enter_async_context(opened)

        first, others = await connection(), [await connection() for _ in range(OTHERS)]
        async with first.transaction():
            await first.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
            # They have already looked, and found nothing, when they come to the lock.
            late = [asyncio.create_task(migrate(other)) for other in others]
            async with asyncio.timeout(10):
                while await waiting(first) < OTHERS:
                    await asyncio.sleep(0.01)
            assert await migrate(first) is True
        assert await asyncio.gather(*late) == [False] * OTHERS

"""Deliverer: one a name, and however many there are, the pool is left to others."""

from __future__ import annotations

import asyncio

import pytest

from openmanus_graph import ThreadSaver
from openmanus_graph.memory.deliverer import deliverer

pytestmark = pytest.mark.postgres

MANY = 25
"""More than the pool has connections."""


async def test_many_deliver_at_once_and_the_pool_is_free(saver: ThreadSaver) -> None:
    together = asyncio.Barrier(MANY)

    async def deliver(name: str) -> bool:
        async with deliverer(saver, name) as mine:
            await together.wait()  # all have their locks, or not, and none has let go
            async with saver.connection() as connection:
                await connection.execute("SELECT 1")
            await together.wait()
            return mine

    assert await asyncio.gather(*(deliver(f"name {number}") for number in range(MANY))) == [True] * MANY
    assert sum(await asyncio.gather(*(deliver("one name") for _ in range(MANY)))) == 1

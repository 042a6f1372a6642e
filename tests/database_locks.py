"""Locks of the database: waits until somebody waits for one."""

from __future__ import annotations

import asyncio

from openmanus_graph import ThreadSaver


async def until_waiting(saver: ThreadSaver, seconds: float = 30.0) -> None:
    """Return when a connection to the same database waits for a lock."""
    query = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(seconds), saver.pool.connection() as connection:
        while (await connection.execute(query)).rowcount == 0:
            await asyncio.sleep(0.01)

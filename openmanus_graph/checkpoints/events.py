"""Events: the stream of a thread as it is kept, in batches behind the run, for views that come later."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.events import UNSTORED, Event

FLUSH_SECONDS = 0.25
"""How long an event may wait for others; a kill loses what waits, and checkpoints say the same."""


class EventLog:
    """Takes a run's events and stores them in batches."""

    def __init__(self, thread_id: str, saver: ThreadSaver | None) -> None:
        """Store events of a thread.

        Args:
            thread_id: The thread.
            saver: The store; `None` keeps nothing.
        """
        self._thread_id = thread_id
        self._saver = saver
        self._waiting: list[Event] = []
        self._flushing: asyncio.Task[None] | None = None

    def add(self, event: Event) -> None:
        """Take an event; it is stored within `FLUSH_SECONDS`."""
        if self._saver is None or event.get("type") in UNSTORED:
            return
        self._waiting.append(cast("Event", dict(event)))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush_soon(), name=f"events {self._thread_id}")

    async def _flush_soon(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        await self._store()

    async def _store(self) -> None:
        batch, self._waiting = self._waiting, []
        if self._saver is None or not batch:
            return
        rows = [(self._thread_id, event.get("type"), event.get("subtask"), Jsonb(event)) for event in batch]
        async with self._saver.connection() as connection, connection.cursor() as cursor:
            await cursor.executemany(
                "INSERT INTO events (thread_id, type, subtask, event) VALUES (%s, %s, %s, %s)", rows
            )

    async def close(self) -> None:
        """Store what waits."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self._store()


async def stored_events(saver: ThreadSaver, thread_id: str, *, after: int = 0, limit: int = 10_000) -> list[Event]:
    """Events of a thread, oldest first; one that a resume repeated is given once.

    Args:
        saver: The store.
        thread_id: The thread.
        after: Only those with a higher `number` than this.
        limit: At most so many.

    Returns:
        The events, each with its `number`.
    """
    query = sql.SQL("SELECT number, event FROM events WHERE thread_id = %s AND number > %s ORDER BY number LIMIT %s")
    async with saver.connection() as connection:
        rows = await (await connection.execute(query, (thread_id, after, limit))).fetchall()
    found: dict[str, Any] = {}
    for row in rows:
        event = {**row["event"], "number": row["number"]}
        found.setdefault(str(event.get("id", row["number"])), event)
    return [cast("Event", event) for event in found.values()]

"""Events: stores the event stream of a thread in batches behind the run, for later views.

Events are a record of the run and no part of it: a database that does not take them does not end it. They wait, and
what is lost in the end is said in a warning.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from openmanus_graph.checkpoints.encryption.cipher import refuse_sealed
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_event
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.display_text import counted
from openmanus_graph.errors import DatabaseError
from openmanus_graph.events import UNSTORED, Event
from openmanus_graph.fault_points import writing
from openmanus_graph.values.storable_json import plain_json, storable, storable_list

FLUSH_SECONDS = 0.25
"""How long an event may wait for others; a kill loses what waits, and checkpoints say the same."""
MOST_TOGETHER = 500
"""Events of one statement."""
_INSERT: LiteralString = """
INSERT INTO events (thread_id, type, subtask, event)
SELECT %s, one.event ->> 'type', one.event ->> 'subtask', one.event
FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS one (event, place) ORDER BY one.place
"""
MOST_WAITING = 20_000
"""Events that wait for a database that does not answer; the oldest go first."""

logger = logging.getLogger(__name__)


class EventLog:
    """Takes a run's events, from any of its threads, and stores them in batches."""

    def __init__(self, thread_id: str, saver: ThreadSaver | None) -> None:
        """Store events of a thread.

        Args:
            thread_id: The thread.
            saver: The store; `None` keeps nothing.
        """
        self.lost = 0
        """Events that could not be stored."""
        self._thread_id = thread_id
        self._saver = saver
        self._waiting: list[Event] = []
        self._flushing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._warned = False

    def add(self, event: Event) -> None:
        """Take an event; it is stored within `FLUSH_SECONDS`, unless the database does not answer."""
        if self._saver is None or event.get("type") in UNSTORED:
            return
        self._waiting.append(cast("Event", dict(event)))
        running = None
        with suppress(RuntimeError):  # a tool that runs in a thread of its own
            running = asyncio.get_running_loop()
        self._loop = self._loop or running
        if running is not None and running is self._loop:
            self._schedule()
        elif self._loop is not None:
            with suppress(RuntimeError):  # the run has ended; `close` has stored what came in time
                self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        if self._waiting and (self._flushing is None or self._flushing.done()):
            self._flushing = asyncio.create_task(self._flush(), name=f"events {self._thread_id}")

    async def _flush(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), FLUSH_SECONDS)
            if self._closing.is_set():
                return
            await self._store()

    async def _store(self) -> None:
        batch, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        if self._saver is None or not batch:
            return
        cipher = self._saver.cipher
        if cipher is None:
            rows = storable_list(batch, plain_json)
        else:
            rows = storable_list(sealed_event(cipher, storable(event)) for event in batch)
        try:
            with writing("events"):
                async with self._saver.connection() as connection:
                    await connection.execute(_INSERT, (self._thread_id, rows))
        except (psycopg.IntegrityError, psycopg.DataError) as error:  # trying again cannot help
            self._lose(len(batch), error)
        except (psycopg.Error, DatabaseError) as error:
            # A batch that was stored although its connection broke is stored twice, and read once.
            waiting = [*batch, *self._waiting]
            self._waiting = waiting[-MOST_WAITING:]
            self.lost += len(waiting) - len(self._waiting)
            if not self._warned:
                self._warned = True
                logger.warning("Events of thread %r wait to be stored: %s", self._thread_id, _first_line(error))

    def _lose(self, count: int, error: Exception | None) -> None:
        self.lost += count
        why = f": {_first_line(error)}" if error is not None else ""
        what = counted(count, "event")
        logger.warning("Of thread %r, %s could not be kept%s; the run goes on.", self._thread_id, what, why)

    async def abandon(self) -> None:
        """Store nothing more: somebody else runs the thread now, or its database is gone."""
        self._waiting = []
        self._closing.set()
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        self._waiting = []
        self._closing.clear()

    async def close(self) -> None:
        """Store the waiting events; those that the database does not take now are lost, and a warning says so."""
        self._closing.set()
        # Not cancelled: a batch on its way to the database would be lost with its task.
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        left = len(self._waiting) + 1
        while 0 < len(self._waiting) < left:  # until one cannot be stored
            left = len(self._waiting)
            await self._store()
        self._closing.clear()
        if self._waiting:
            count, self._waiting = len(self._waiting), []
            self._lose(count, None)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


async def stored_events(saver: ThreadSaver, thread_id: str, *, after: int = 0, limit: int = 10_000) -> list[Event]:
    """Events of a thread, oldest first; one that a resume repeated is given once, where it first was, as it last was.

    Args:
        saver: The store.
        thread_id: The thread.
        after: Only those with a higher `number` than this; one that was repeated since comes again, by its `id`.
        limit: At most so many are read.

    Returns:
        The events, each with its `number`, which rises.

    Raises:
        EncryptionKeyError: If they are encrypted with a key that is not set.
    """
    query = sql.SQL("SELECT number, event FROM events WHERE thread_id = %s AND number > %s ORDER BY number LIMIT %s")
    async with saver.connection() as connection:
        rows = await (await connection.execute(query, (thread_id, after, limit))).fetchall()
    by_id: dict[str, Any] = {}
    for row in rows:
        event: dict[str, Any] = row["event"]
        if saver.cipher is None:
            refuse_sealed(event.values())
        key = str(event.get("id", row["number"]))
        number = by_id[key]["number"] if key in by_id else row["number"]
        # A step that ran again after a kill may have ended otherwise; only its newest end was committed.
        by_id[key] = {**event, "number": number}
    return [cast("Event", event) for event in by_id.values()]

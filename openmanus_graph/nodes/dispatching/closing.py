"""Closing: ends what tools have opened for subtasks, without holding up their results.

While a subtask waits for a person, what cannot be had again, such as a page with a form half filled in, stays open for
its next dispatch in the same process: for `PARKED_S`, and no longer than the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from weakref import WeakKeyDictionary

from openmanus_graph.context import Session, Sessions

logger = logging.getLogger(__name__)

CLOSING_S = 10.0
"""How long the sessions of tools may take to close."""
PARKED_S = 900.0
"""How long sessions stay open while a person is waited for."""
_NOT_CLOSED = "A tool's session did not close: %s"

Opened = dict[str, Session]


class _Parked:
    """The sessions of a thread that waits for a person."""

    def __init__(self, shared: Opened, subtasks: dict[str, Opened]) -> None:
        self.shared = shared
        self.subtasks = subtasks
        self.taken = asyncio.Event()

    async def watch(self, parked: dict[str, _Parked], thread_id: str) -> None:
        """Close them when they are too old or the loop ends, unless a dispatch takes them before."""
        try:
            async with asyncio.timeout(PARKED_S):
                await self.taken.wait()
        except TimeoutError:
            logger.info("What tools had open for %r is closed: nobody has answered.", thread_id)
        finally:
            if not self.taken.is_set():
                parked.pop(thread_id, None)
                for opened in (*self.subtasks.values(), self.shared):
                    try:
                        await Sessions(opened).aclose()
                    except Exception as error:  # noqa: BLE001 - told, so that the others are closed too
                        logger.warning(_NOT_CLOSED, error)


_parked: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Parked]] = WeakKeyDictionary()
_watches: set[asyncio.Task[None]] = set()


class Closing:
    """The sessions of one dispatch: those that its subtasks share, and the closing of those of each."""

    def __init__(self, thread_id: str) -> None:
        """Take what an earlier dispatch of the thread has left open in this loop.

        Args:
            thread_id: The thread.
        """
        self._thread_id = thread_id
        self._parked = _parked.setdefault(asyncio.get_running_loop(), {})
        found = self._parked.pop(thread_id, None)
        if found is not None:
            found.taken.set()
        self._waiting: dict[str, Opened] = {} if found is None else found.subtasks
        self.shared = Sessions({} if found is None else found.shared)
        """Sessions that all subtasks share, such as the browser."""
        self._tasks: set[asyncio.Task[None]] = set()

    def sessions_of(self, subtask_run: str) -> Sessions:
        """The sessions of a subtask that begins, or goes on with those that stayed open."""
        return Sessions(self._waiting.pop(subtask_run, None))

    def suspend(self, subtask_run: str, sessions: Sessions) -> None:
        """Keep of a subtask that waits for a person what outlasts the question, and close the rest."""
        if lasting := sessions.take_lasting():
            self._waiting[subtask_run] = lasting
        self.close(sessions)

    def close(self, sessions: Sessions) -> None:
        """Begin to close sessions; nobody waits for it before the end of the dispatch."""
        if not sessions:
            return
        task = asyncio.create_task(sessions.aclose())
        self._tasks.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        """Say why a session did not close, and let go of what it held; the results are committed all the same."""
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            logger.warning(_NOT_CLOSED, problem)

    async def wait(self) -> None:
        """Wait until all sessions are closed, those of subtasks before those that they share, within limits."""
        await self._wait()
        if self._waiting:
            parked = _Parked(self.shared.take_lasting(), self._waiting)
            self._parked[self._thread_id] = parked
            watch = asyncio.create_task(parked.watch(self._parked, self._thread_id))
            _watches.add(watch)
            watch.add_done_callback(_watches.discard)
        self.close(self.shared)
        await self._wait()

    async def _wait(self) -> None:
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks, timeout=CLOSING_S)
            for _ in hanging:
                logger.warning(_NOT_CLOSED, "it hangs")

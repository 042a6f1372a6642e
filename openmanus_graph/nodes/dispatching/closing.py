"""Closing: ends what tools have opened for subtasks, without holding up their results."""

from __future__ import annotations

import asyncio
import logging

from openmanus_graph.context import Sessions

logger = logging.getLogger(__name__)

CLOSING_S = 10.0
"""How long the sessions of tools may take to close."""


class Closing:
    """The sessions of one dispatch: those that its subtasks share, and the closing of those of each."""

    def __init__(self) -> None:
        """Close nothing yet."""
        self.shared = Sessions()
        """Sessions that all subtasks share, such as the browser."""
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self, sessions: Sessions) -> None:
        """Begin to close sessions; nobody waits for it before the end of the dispatch."""
        task = asyncio.create_task(sessions.aclose())
        self._tasks.add(task)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        """Say why a session did not close, and let go of what it held; the results are committed all the same."""
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            logger.warning("A tool's session did not close: %s", problem)

    async def wait(self) -> None:
        """Wait until all sessions are closed, those of subtasks before those that they share, within limits."""
        await self._wait()
        if self.shared:
            self.close(self.shared)
            await self._wait()

    async def _wait(self) -> None:
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks, timeout=CLOSING_S)
            for _ in hanging:
                logger.warning("A tool's session did not close: it hangs")

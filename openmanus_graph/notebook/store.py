"""Store: the checkpointer that cells share, opened when the first one needs it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.saver import ThreadSaver
    from openmanus_graph.stepping.stepper import Stepper

_closing: set[asyncio.Task[None]] = set()
"""What is being closed; an event loop alone does not keep its tasks."""


class Store:
    """A checkpointer, and the steppers that cells have opened."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._saver: ThreadSaver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._steppers: WeakSet[Stepper] = WeakSet()

    async def saver(self) -> ThreadSaver:
        """The checkpointer of the user's settings.

        Raises:
            DatabaseError: If it cannot be opened; the next cell tries again.
        """
        from openmanus_graph.checkpoints.database import open_checkpointer

        self._loop = asyncio.get_running_loop()
        if self._saver is None:
            self._saver = await open_checkpointer()
        return self._saver

    def keep(self, stepper: Stepper) -> None:
        """Register a stepper, so that `free` and `close` reach it."""
        self._loop = asyncio.get_running_loop()
        self._steppers.add(stepper)

    async def free(self, thread_id: str) -> None:
        """Close the steppers on a thread: a cell that is run again opens it anew."""
        for stepper in [stepper for stepper in self._steppers if stepper.thread_id == thread_id]:
            await stepper.close()

    def close(self) -> None:
        """Close all steppers, then the checkpointer; in the background if a loop runs."""
        if self._loop is None or self._loop.is_closed():
            return
        if not self._loop.is_running():
            self._loop.run_until_complete(self._close())
            return
        task = self._loop.create_task(self._close(), name="close what cells have opened")
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    async def _close(self) -> None:
        for stepper in list(self._steppers):
            await stepper.close()
        saver, self._saver = self._saver, None
        if saver is not None:
            await saver.aclose()

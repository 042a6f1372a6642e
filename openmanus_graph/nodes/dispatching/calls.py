"""Calls: what one node runs side by side, and has not ended."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Generic, TypeVar

from langgraph.errors import GraphBubbleUp

ResultT = TypeVar("ResultT")


class Calls(ABC, Generic[ResultT]):
    """The open calls of one node; made inside of it, in whose context it calls."""

    def __init__(self) -> None:
        """Begin with none."""
        self._context = copy_context()
        self._open: set[asyncio.Future[ResultT]] = set()
        self._ends = False
        """Whether the node ends before its calls: what gets its turn by their end is not called any more."""
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @abstractmethod
    def _begin(self, name: str, body: Callable[[], Awaitable[ResultT]]) -> asyncio.Future[ResultT]:
        """Begin a call."""

    def issue(
        self, name: str, body: Callable[[], Awaitable[ResultT]], settle: Callable[[asyncio.Future[ResultT]], None]
    ) -> None:
        """Make a call; from any context of the node's event loop.

        Args:
            name: Its name, which graphs that run in it have in their namespaces.
            body: What it does; a function of its own, since naming a `@task` renames its function.
            settle: Called with the call once it has ended; it may issue others, which are not made if the node ends.
        """
        if self._ends:
            return
        issued = self._begin(name, body)
        self._open.add(issued)

        def ended(call: asyncio.Future[ResultT]) -> None:
            settle(call)
            self._close(call)

        issued.add_done_callback(ended)

    def _close(self, call: asyncio.Future[ResultT]) -> None:
        self._open.discard(call)
        error = None if call.cancelled() else call.exception()
        if self._over.done():
            return
        if error is not None and not isinstance(error, GraphBubbleUp):
            self._over.set_exception(error)
        elif not self._open:
            self._over.set_result(None)

    async def all_ended(self) -> None:
        """Wait until every call has ended, those included that others issue where they end.

        Raises:
            Exception: At once what is no call's own end, such as a lost database; the other calls are cancelled.
        """
        if not self._open:
            return
        try:
            await self._over
        except BaseException:  # also where the node itself is cancelled: nothing of it may go on
            self._ends = True
            left = set(self._open)
            for call in left:
                call.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*left, return_exceptions=True)
            raise

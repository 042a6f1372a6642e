"""Task calls: the calls of `@task` that a node has made and that have not ended.

LangGraph looks through all open calls of a node whenever one is made or ends, so ten thousand that wait
inside cost more than their work. Calls that are issued late are few at a time.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Generic, TypeVar, cast

from langgraph.errors import GraphBubbleUp
from langgraph.func import task

ResultT = TypeVar("ResultT")


class TaskCalls(Generic[ResultT]):
    """The open calls of one node; made inside of it, in whose context it calls."""

    def __init__(self) -> None:
        """Begin with none."""
        self._context = copy_context()
        self._open: set[asyncio.Future[ResultT]] = set()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def issue(
        self, name: str, body: Callable[[], Awaitable[ResultT]], settle: Callable[[asyncio.Future[ResultT]], None]
    ) -> None:
        """Call a `@task`; from any context of the node's event loop.

        Args:
            name: The task's name, by which LangGraph keeps its result.
            body: What it does; a function of its own, since naming a task renames its function.
            settle: Called with the call once it has ended; it may issue others.
        """
        make = cast("Callable[[], asyncio.Future[ResultT]]", task(name=name)(cast("Any", body)))
        issued = self._context.run(make)
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
        except Exception:
            left = set(self._open)
            for call in left:
                call.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*left, return_exceptions=True)
            raise

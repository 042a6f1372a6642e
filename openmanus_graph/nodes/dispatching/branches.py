"""Branches: calls that run as tasks of the event loop, each in a namespace of its own.

A subtask's graph stores its own result, so that LangGraph's record of a `@task` around it would be read by nobody, and
its bookkeeping costs more the more calls a node has made: it looks through all of them whenever one begins or ends.
A branch has what a graph inside of a `@task` finds, under the same names, and of its rows only those that are read: its
questions, while others run on, and that they are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.langgraph_internals import CHILD_CONFIG, INTERRUPT, RETURN, Inside, inside_of
from openmanus_graph.nodes.dispatching.calls import Calls

ResultT = TypeVar("ResultT")


class Branches(Calls[ResultT]):
    """Calls that the node makes itself."""

    def __init__(self, config: RunnableConfig, saver: ThreadSaver | None, begun_before: Collection[str] = ()) -> None:
        """Begin with none.

        Args:
            config: The node's.
            saver: Where questions are stored; `None` stores none.
            begun_before: Names of the calls that an earlier process began, whose questions may be stored.
        """
        super().__init__()
        self._config = config
        self._saver = saver
        self._begun_before = begun_before
        self._count = 0

    def _begin(self, name: str, body: Callable[[], Awaitable[ResultT]]) -> asyncio.Future[ResultT]:
        inside = inside_of(self._config, name, self._count)
        self._count += 1
        context = self._context.copy()
        context.run(CHILD_CONFIG.set, inside.config)
        return asyncio.get_running_loop().create_task(self._run(inside, name, body), context=context)

    async def _run(self, inside: Inside, name: str, body: Callable[[], Awaitable[ResultT]]) -> ResultT:
        try:
            result = await body()
        except GraphInterrupt as stop:
            if asked := cast("tuple[Any, ...]", stop.args[0]):
                await self._note(inside, INTERRUPT, asked)
            raise
        if name in self._begun_before:
            await self._note(inside, RETURN, None)
        return result

    async def _note(self, inside: Inside, channel: str, value: Any) -> None:
        if self._saver is not None:
            await self._saver.aput_writes(inside.around, [(channel, value)], inside.task_id, inside.path)

"""Branches: calls that run as tasks of the event loop, each in a namespace of its own.

A subtask's graph stores its own result, so that LangGraph's record of a `@task` around it would be read by nobody, and
its bookkeeping costs more the more calls a node has made: it looks through all of them whenever one begins or ends.
A branch has what a graph inside of a `@task` finds, under the same names, and of its rows only those that are read: its
questions, while others run on, and that they are over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Self, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt

from openmanus_graph.checkpoints.progress import AskingCall, asking_calls
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.langgraph_internals import CHILD_CONFIG, INTERRUPT, RETURN, Inside, checkpoint_around, inside_of
from openmanus_graph.nodes.dispatching.calls import Calls
from openmanus_graph.run_config import thread_id_of

ResultT = TypeVar("ResultT")


class Branches(Calls[ResultT]):
    """Calls that the node makes itself."""

    def __init__(
        self,
        config: RunnableConfig,
        saver: ThreadSaver | None,
        asked: Mapping[str, Sequence[AskingCall]] | None = None,
    ) -> None:
        """Begin with none.

        Args:
            config: The node's.
            saver: Where questions are stored; `None` stores none.
            asked: Calls that have asked before on the node's checkpoint, by the names of those that go on with them.
        """
        super().__init__()
        self._config = config
        self._saver = saver
        self._asked = asked or {}
        self._count = 0

    @classmethod
    async def going_on(
        cls, config: RunnableConfig, saver: ThreadSaver, begun: Mapping[str, str], ended: Collection[str]
    ) -> Self:
        """Go on with what earlier processes began, whatever made their calls.

        Args:
            config: The node's.
            saver: Where questions are stored.
            begun: Names of the calls of subtasks that have been begun before, by their ids.
            ended: Subtasks that have ended; a process may have died before it could note that of their calls.
        """
        above, made_on = checkpoint_around(config)
        asked = await asking_calls(saver, thread_id_of(config), above, made_on) if begun else {}
        made = cls(config, saver, {begun[key]: calls for key, calls in asked.items() if key in begun})
        for key in sorted(asked.keys() & set(ended)):
            await made._close_all(inside_of(config, key, 0), asked[key])
        return made

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
                await self._note(inside, INTERRUPT, asked, inside.task_id, inside.path)
            raise
        await self._close_all(inside, self._asked.get(name, ()))
        return result

    async def _close_all(self, inside: Inside, calls: Sequence[AskingCall]) -> None:
        """Note that calls are over: what they asked is answered."""
        for call in calls:
            await self._note(inside, RETURN, None, call.task_id, call.path)

    async def _note(self, inside: Inside, channel: str, value: Any, task_id: str, path: str) -> None:
        if self._saver is not None:
            await self._saver.aput_writes(inside.around, [(channel, value)], task_id, path)

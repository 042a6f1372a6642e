"""Task calls: the calls of `@task` that a node has made, for savers that know results by the number of the call."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from langgraph.func import task

from openmanus_graph.nodes.dispatching.calls import Calls

ResultT = TypeVar("ResultT")


class TaskCalls(Calls[ResultT]):
    """Calls that LangGraph makes and records."""

    def _begin(self, name: str, body: Callable[[], Awaitable[ResultT]]) -> asyncio.Future[ResultT]:
        make = cast("Callable[[], asyncio.Future[ResultT]]", task(name=name)(cast("Any", body)))
        return self._context.run(make)

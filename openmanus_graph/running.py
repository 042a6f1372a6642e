"""Running: the thin edge for scripts without an event loop of their own."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.graphs.user.user_graph import make_durable


def run(
    graph: StateGraph[Any, Any, Any, Any] | Pregel[Any, Any, Any, Any],
    input: Any,
    *,
    thread_id: str,
    configurable: Mapping[str, Any] | None = None,
    url: str | None = None,
) -> dict[str, Any]:
    """Run a graph to its end, a question or a failure, from a script that has no event loop.

    Args:
        graph: A graph, which is compiled with a saver opened for the call, or a compiled one that has its own.
        input: Its input; `None` goes on after a crash, `Command(resume=…)` answers.
        thread_id: The thread.
        configurable: More of the config, such as `max_parallel`.
        url: A Postgres URL for the saver; `None` as in `open_checkpointer`.

    Returns:
        The graph's output.

    Raises:
        RuntimeError: If an event loop is running already; use `await app.ainvoke(...)` there.
    """
    config: Any = {"configurable": {**(configurable or {}), "thread_id": thread_id}}

    async def once() -> dict[str, Any]:
        if isinstance(graph, Pregel):
            return await graph.ainvoke(input, config)
        async with open_checkpointer(url) as saver:
            return await make_durable(graph, saver).ainvoke(input, config)

    return asyncio.run(once())

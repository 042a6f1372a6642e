"""Running: runs graphs from scripts, and reruns threads from one of their points."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.forking.fork import Fork, fork_thread
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.plan import Plan


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


async def rerun_thread(
    app: DurableGraph,
    address: str,
    *,
    edits: Mapping[str, Any] | None = None,
    plan: Plan | Mapping[str, Any] | None = None,
    new_id: str | None = None,
    workspace: str | Path | None = None,
    configurable: Mapping[str, Any] | None = None,
) -> tuple[Fork, dict[str, Any]]:
    """Go on from a point in a new thread, with real calls; the old thread never changes.

    Args:
        app: The thread's graph, compiled with a saver of `open_checkpointer`.
        address: `THREAD@POINT`, see `fork_thread`.
        edits: Changes of the state at the point, values by path.
        plan: A plan to go on with; what it leaves unchanged is kept.
        new_id: The new thread's id; by default the old one with a number.
        workspace: The new thread's folder; by default beside the old one's.
        configurable: More of the config, such as `max_parallel`.

    Returns:
        The fork, and the graph's output.

    Raises:
        UsageError: If the graph has no saver of ours, or as `fork_thread` says.
    """
    if not isinstance(app.checkpointer, ThreadSaver):
        raise UsageError("The graph keeps no points.", hint="Compile it with a saver of open_checkpointer().")
    fork = await fork_thread(app.checkpointer, address, new_id=new_id, workspace=workspace, edits=edits, plan=plan)
    config: Any = {"configurable": {**(configurable or {}), "thread_id": fork.thread.thread_id}}
    return fork, cast("dict[str, Any]", await app.ainvoke(fork.given, config))

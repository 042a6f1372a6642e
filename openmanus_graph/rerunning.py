"""Rerunning: what came after a point of a thread once more, in a new thread, from Python."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from openmanus_graph.checkpoints.forking.fork import Fork, fork_thread
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.plan import Plan


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

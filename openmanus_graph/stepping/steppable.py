"""Steppable: prepares a graph for a stepper, and lists the graph's names."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, cast

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import OpenManusGraphError, UsageError
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.user.user_graph import UserGraphBuilder, make_durable
from openmanus_graph.namespaces import DISPATCHER
from openmanus_graph.plan import Plan
from openmanus_graph.stepping.breakpoints import KnownNames
from openmanus_graph.stepping.held_graph import held

Granularity = Literal["node", "super-step"]
AnyGraph = StateGraph[Any, Any, Any, Any] | Pregel[Any, Any, Any, Any]

HINT = "Compile it with one: `saver = await open_checkpointer()`, then graph.compile(checkpointer=saver)."


def steppable(app: AnyGraph) -> tuple[Pregel[Any, Any, Any, Any], Granularity]:
    """The graph with its nodes behind the gate."""
    if not isinstance(app, Pregel):
        raise UsageError(
            "The graph is not compiled.",
            hint=HINT,
        )
    if app.checkpointer is None or isinstance(app.checkpointer, bool):
        raise UsageError(
            "The graph has no checkpointer, so there is nothing to stand on between two steps.",
            hint=HINT,
        )
    if isinstance(app, DurableGraph) and not isinstance(app.builder, UserGraphBuilder):
        if DISPATCHER in app.nodes and getattr(app.builder, "tools", None) is not None:
            return app, "node"
        return held(app), "super-step"
    if isinstance(app.checkpointer, ThreadSaver) and not isinstance(app, DurableGraph):
        return held(make_durable(app, app.checkpointer)), "super-step"
    return held(app), "super-step"


def known_names(app: Pregel[Any, Any, Any, Any], plan: Plan | None, given: Any) -> KnownNames:
    """Names of a graph's nodes and tools, and of the subtasks of its plan.

    Args:
        app: The graph.
        plan: The plan it executes, or `None`.
        given: Its input, which may hold the plan of a thread that has not begun.
    """
    nodes = [name for name in app.nodes if not name.startswith("__")]
    for _, inner in app.get_subgraphs(recurse=True):
        nodes += [name for name in cast("Any", inner).nodes if not name.startswith("__")]
    tools = list(getattr(getattr(app, "builder", None), "tools", None) or {})
    subtasks = [str(subtask.id) for subtask in plan.subtasks] if plan is not None else []
    if not subtasks and isinstance(given, Mapping) and given.get("plan"):
        with suppress(OpenManusGraphError):
            subtasks = [str(subtask.id) for subtask in Plan.parse(given["plan"]).subtasks]
    return KnownNames(list(dict.fromkeys(nodes)), tools, subtasks)

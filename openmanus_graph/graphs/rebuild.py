"""Rebuild: the graph of a thread, built again from what the thread's row says of it."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import GraphNotImportableError
from openmanus_graph.graphs.builders import AGENT_BUILDER, PLAN_BUILDER, runs_user_graph
from openmanus_graph.graphs.durable import DurableGraph, DurableStateGraph
from openmanus_graph.tools.rebuild import rebuild_tools


def rebuild_graph(
    thread: Thread,
    settings: Settings,
    *,
    tools: Sequence[BaseTool] | None = None,
    model: str | None = None,
    policy: str | None = None,
) -> DurableStateGraph:
    """Build the graph of a thread again, of a plan or of the agent.

    Args:
        thread: The thread.
        settings: The user's settings.
        tools: Other tools than it began with, or `None`.
        model: Another model for every role, or `None`.
        policy: Another policy, or `None`.

    Raises:
        GraphNotImportableError: If it was built from what only its author's session has.
    """
    reference = thread.graph
    chosen = list(tools) if tools is not None else rebuild_tools(reference.get("tools") or [], thread.thread_id)
    if reference.get("builder") == PLAN_BUILDER:
        from openmanus_graph.graphs.plan import build_plan_graph

        return build_plan_graph(chosen, policy=policy or reference.get("policy"), settings=settings)
    if reference.get("builder") == AGENT_BUILDER:
        return _rebuild_agent(thread, settings, chosen, model, policy)
    raise GraphNotImportableError(
        f"The thread {thread.thread_id!r} runs the graph {reference.get('builder')!r}, which cannot be built here.",
        hint="Resume it from Python, where the graph is defined.",
    )


def _rebuild_agent(
    thread: Thread, settings: Settings, tools: list[BaseTool], model: str | None, policy: str | None
) -> DurableStateGraph:
    from openmanus_graph.graphs.manus import build_manus_graph

    reference = thread.graph
    if not model and not reference.get("importable", True):
        raise GraphNotImportableError(
            f"The thread {thread.thread_id!r} was started with chat models of a Python program, "
            "which cannot be built here.",
            hint="Resume it there, or go on with another model: "
            f"{shell_commands.resume(thread.thread_id, '--model', 'NAME')}",
        )
    models = cast("Mapping[str, str] | str | None", model or reference.get("models"))
    return build_manus_graph(
        models=models,
        tools=tools,
        policy=policy or reference.get("policy"),
        agents=_agents_named(reference.get("agents") or [], thread.thread_id),
        instructions=str(reference.get("instructions") or ""),
        settings=settings,
    )


def _agents_named(names: Sequence[str], thread_id: str) -> dict[str, Any]:
    """The agents of these names among the plug-ins."""
    if not names:
        return {}
    from openmanus_graph.loading.plugins import find_agents

    known = find_agents()
    for name in names:
        if name not in known:
            raise GraphNotImportableError(
                f"The thread {thread_id!r} uses the agent {name!r}, which no plug-in here has.",
                hint="Resume it from Python, where the agent is defined, or install what brings it.",
            )
    return {name: known[name].graph for name in names}


async def rebuild_app(thread: Thread, saver: ThreadSaver, settings: Settings) -> DurableGraph:
    """The compiled graph of any thread, also of a user's own graph.

    Args:
        thread: The thread.
        saver: Where it keeps its steps.
        settings: The user's settings.

    Raises:
        GraphNotImportableError: If it cannot be built here.
    """
    from openmanus_graph.graphs.user.user_graph import rebuild_user_graph

    if runs_user_graph(thread):
        return await rebuild_user_graph(thread, saver, settings)
    built: Any = rebuild_graph(thread, settings)
    return cast("DurableGraph", built.compile(checkpointer=saver))

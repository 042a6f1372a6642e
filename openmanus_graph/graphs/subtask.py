"""Subtask: the graph that runs one subtask, with one node per tool and one per agent.

A direct call takes the short path `START → tool → END`. An agent's subtask goes `START → brief → executor`, then
between executor and tools, then to the verifier, which ends it or sends it back. A failed attempt that may be made
again goes over `backoff`, and a subtask that needs a person's consent over `approval`.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.types import Send

from openmanus_graph.agent_nodes import AGENT_PREFIX, BRIEF, EXECUTOR, VERIFIER, WORKERS
from openmanus_graph.errors import OpenManusGraphError, SettingsError
from openmanus_graph.memory.memory import Memory
from openmanus_graph.nodes.agent import agent_node
from openmanus_graph.nodes.brief import brief_node
from openmanus_graph.nodes.consent import check_edit, consent_of, is_refused
from openmanus_graph.nodes.executor import executor_node
from openmanus_graph.nodes.gate import Node, gated, wait_until
from openmanus_graph.nodes.outcome import draft_of, ended, retry_delay
from openmanus_graph.nodes.reply import kept_names, open_calls
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.nodes.tool import tool_node
from openmanus_graph.nodes.verifier import verifier_node
from openmanus_graph.plans.references import resolve
from openmanus_graph.policy import Policy
from openmanus_graph.questions import Approval, ask
from openmanus_graph.state import Draft, SubtaskState

APPROVAL = "approval"
BACKOFF = "backoff"
RESERVED_NAMES = frozenset({APPROVAL, BACKOFF, BRIEF, EXECUTOR, VERIFIER, START, END})
"""Node names of this graph that no tool may have."""

Agents = Mapping[str, Pregel[Any, Any, Any, Any]]
"""Graphs that subtasks may be given to, by name."""


def _worker(state: SubtaskState) -> str:
    """The node that does a subtask's work."""
    subtask = state.get("subtask", {})
    if subtask.get("tool"):
        return str(subtask["tool"])
    return BRIEF if subtask["agent"] in WORKERS else AGENT_PREFIX + str(subtask["agent"])


# The edges are coroutines because LangGraph sends plain functions through a thread, which costs as much as a statement
# on Postgres.


async def _entrance(state: SubtaskState) -> str:
    return APPROVAL if state.get("subtask", {}).get("approval") else _worker(state)


async def _after_approval(state: SubtaskState) -> str:
    return END if state.get("result") else _worker(state)


async def _after_backoff(state: SubtaskState) -> str:
    return _worker(state)


async def _next_step(state: SubtaskState) -> str | list[Send]:
    """Where an agent's subtask goes: to the end, to another attempt, to its calls, to be checked, or on."""
    if state.get("result"):
        return END
    if state.get("retry_at"):
        return BACKOFF
    calls = open_calls(state.get("messages") or [])
    if calls:
        shared: dict[str, Any] = {key: state.get(key) for key in ("subtask", "definition", "round")}
        if kept := kept_names(state.get("messages") or []):
            shared["kept"] = kept
        return [Send(made["name"], {**shared, "call": made}) for made in calls]
    return VERIFIER if state.get("draft") else EXECUTOR


async def _after_tool(state: SubtaskState) -> str:
    if state.get("result"):
        return END
    if not state.get("subtask", {}).get("tool"):
        return EXECUTOR
    return BACKOFF if state.get("retry_at") else VERIFIER


def _approval_node(tools: Mapping[str, BaseTool], policy: Policy | None) -> Node[SubtaskState]:
    """The gated node that asks whether a subtask may begin."""

    async def approval(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        subtask, run = state.get("subtask", {}), runtime.context
        name, tool = str(subtask["id"]), tools.get(str(subtask.get("tool")))
        args: dict[str, Any] = {}
        details: dict[str, Any] = {}
        if tool is not None:
            workspace = run.context.workspace
            try:
                args = resolve(dict(subtask.get("args") or {}), run.lookup)
            except OpenManusGraphError:
                return {"approved": None}  # it fails, and says why
            if is_refused(tool, args, policy, workspace):
                return {"approved": None}

            def check(given: Approval) -> None:
                check_edit(given, tool, args, policy, workspace)

            details = {"tool": tool.name, "args": args, "check": check}
        question = f"May {name!r} {'start' if tool is None else f'call {tool.name}'}? {subtask.get('goal', '')}".strip()
        consent = consent_of(ask(question, subtask=name, kind="approve", **details), args)
        if consent.args is not None:
            return {"approved": consent.args if consent.edited else True}
        if consent.answered:
            return {"approved": False, "result": ended(state, draft_of(consent.value, None, run.context))}
        nothing = Draft(output=None, error=consent.refusal, output_file=None)
        return {"approved": False, "result": ended(state, nothing, status="skipped")}

    return gated(approval, APPROVAL)


async def _backoff(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
    # The moment was noted by the wall clock, since it holds over a resume; no clock makes the wait longer than it is.
    left = min((state.get("retry_at") or 0.0) - time.time(), retry_delay(state.get("attempts", 1)))
    await wait_until(time.monotonic() + left, time.monotonic, runtime.control)
    return {"retry_at": None}


def build_subtask_graph(
    tools: Mapping[str, BaseTool],
    policy: Policy | None = None,
    roles: Roles | None = None,
    agents: Agents | None = None,
    memory: Memory | None = None,
) -> CompiledStateGraph[SubtaskState, SubtaskScope, SubtaskState, SubtaskState]:
    """Compile the graph that runs one subtask.

    It is compiled with `checkpointer=True`: it keeps its own history under the namespace of the task that calls it,
    which stays the same when the plan around it is edited.

    Args:
        tools: The tools it can call, by name; each becomes a node.
        policy: What decides about calls; `None` allows all.
        roles: What brief, executor and verifier share; `None` leaves them out, and only direct calls can run.
        agents: Graphs that subtasks may be given to, by name; each becomes a node. They need `roles`.
        memory: What the agent `knowledge` looks into first; `None` means that it has none.

    Raises:
        SettingsError: If a tool has the name of a node of this graph.
    """
    graph: StateGraph[SubtaskState, SubtaskScope, SubtaskState, SubtaskState] = StateGraph(
        SubtaskState, context_schema=SubtaskScope
    )
    agents = agents or {}
    for name in (*RESERVED_NAMES, *(AGENT_PREFIX + agent for agent in agents)):
        if name in tools:
            raise SettingsError(f"A tool cannot be named {name!r}.", hint="Rename it.")
    workers = [*tools, *((BRIEF, *(AGENT_PREFIX + name for name in agents)) if roles else ())]
    graph.add_node(APPROVAL, cast("Any", _approval_node(tools, policy)))
    graph.add_node(BACKOFF, cast("Any", gated(_backoff, BACKOFF)))
    after_tool = [BACKOFF, END, *([EXECUTOR, VERIFIER] if roles else [])]
    for name, tool in tools.items():
        graph.add_node(name, cast("Any", tool_node(tool, policy, checked=roles is not None)))
        graph.add_conditional_edges(name, _after_tool, after_tool)
    if roles is not None:
        _add_agents(graph, roles, agents, list(tools), memory)
    graph.add_conditional_edges(START, _entrance, [APPROVAL, *workers])
    graph.add_conditional_edges(APPROVAL, _after_approval, [*workers, END])
    graph.add_conditional_edges(BACKOFF, _after_backoff, workers)
    return graph.compile(checkpointer=True, name="subtask")


def _add_agents(
    graph: StateGraph[Any, Any, Any, Any], roles: Roles, agents: Agents, tools: list[str], memory: Memory | None
) -> None:
    graph.add_node(BRIEF, cast("Any", brief_node(roles, memory)))
    graph.add_node(EXECUTOR, cast("Any", executor_node(roles, memory)))
    graph.add_node(VERIFIER, cast("Any", verifier_node(roles)))
    for name, agent in agents.items():
        graph.add_node(AGENT_PREFIX + name, cast("Any", agent_node(name, agent)))
        graph.add_conditional_edges(AGENT_PREFIX + name, _next_step, [BACKOFF, VERIFIER, END])
    graph.add_conditional_edges(BRIEF, _next_step, [EXECUTOR, END])
    graph.add_conditional_edges(EXECUTOR, _next_step, [EXECUTOR, VERIFIER, BACKOFF, END, *tools])
    graph.add_conditional_edges(VERIFIER, _next_step, [EXECUTOR, BACKOFF, END])

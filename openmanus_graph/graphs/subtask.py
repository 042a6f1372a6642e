"""Subtask: the graph that runs one subtask, with one node per tool.

A direct call takes the short path `START → tool → END`; a failed call that may be tried again goes over `backoff`,
and one that needs a person's consent over `approval`.
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
from langgraph.runtime import Runtime

from openmanus_graph.events import now
from openmanus_graph.nodes.gate import gated, wait_until
from openmanus_graph.nodes.tool import SubtaskRun, tool_node
from openmanus_graph.questions import ask
from openmanus_graph.state import SubtaskResult, SubtaskState

APPROVAL = "approval"
BACKOFF = "backoff"
RESERVED_NAMES = frozenset({APPROVAL, BACKOFF, START, END})
"""Node names of this graph that no tool may have."""


def _entrance(state: SubtaskState) -> str:
    subtask = state.get("subtask", {})
    return APPROVAL if subtask.get("approval") else str(subtask["tool"])


def _after_approval(state: SubtaskState) -> str:
    return END if state.get("result") else str(state.get("subtask", {})["tool"])


def _after_backoff(state: SubtaskState) -> str:
    return str(state.get("subtask", {})["tool"])


def _after_tool(state: SubtaskState) -> str:
    return END if state.get("result") else BACKOFF


async def _approval(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskRun]) -> dict[str, Any]:
    subtask = state.get("subtask", {})
    question = f"May {subtask['id']!r} call {subtask['tool']}? {subtask.get('goal', '')}".strip()
    if ask(question, subtask=str(subtask["id"]), kind="approve"):
        return {"approved": True}
    return {"approved": False, "result": _rejected(state)}


def _rejected(state: SubtaskState) -> SubtaskResult:
    return SubtaskResult(
        status="skipped",
        output=None,
        error="A person did not approve it.",
        attempts=0,
        started_at=None,
        finished_at=now(),
        definition=state.get("definition", ""),
        output_file=None,
    )


async def _backoff(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskRun]) -> dict[str, Any]:
    await wait_until(state.get("retry_at") or 0.0, time.time, runtime.control)
    return {"retry_at": None}


def build_subtask_graph(
    tools: Mapping[str, BaseTool],
) -> CompiledStateGraph[SubtaskState, SubtaskRun, SubtaskState, SubtaskState]:
    """Compile the graph that runs one subtask.

    It is compiled with `checkpointer=True`: it keeps its own history under the namespace of the task that calls it,
    which stays the same when the plan around it is edited.

    Args:
        tools: The tools it can call, by name; each becomes a node.
    """
    graph: StateGraph[SubtaskState, SubtaskRun, SubtaskState, SubtaskState] = StateGraph(
        SubtaskState, context_schema=SubtaskRun
    )
    names = list(tools)
    graph.add_node(APPROVAL, cast("Any", gated(_approval, APPROVAL)))
    graph.add_node(BACKOFF, cast("Any", gated(_backoff, BACKOFF)))
    for name, tool in tools.items():
        graph.add_node(name, cast("Any", tool_node(tool)))
        graph.add_conditional_edges(name, _after_tool, [BACKOFF, END])
    graph.add_conditional_edges(START, _entrance, [APPROVAL, *names])
    graph.add_conditional_edges(APPROVAL, _after_approval, [*names, END])
    graph.add_conditional_edges(BACKOFF, _after_backoff, names)
    return graph.compile(checkpointer=True, name="subtask")

"""Transitions: where the agent's graph goes after each node, and what the coordinator decides at each stage.

The graph's edges, the tables in docs/agent.md and a test are made from these tables. Checkpoints of old threads hold
the names of stages and decisions: they never change.
"""

# LangGraph has no stubs; what crosses here are two strings.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START

from openmanus_graph.agent_nodes import CLARIFY, COORDINATOR, KNOWLEDGE, PLANNER, REMEMBER, REPORTER, REVIEW
from openmanus_graph.errors import UsageError
from openmanus_graph.namespaces import DISPATCHER
from openmanus_graph.state import Decision, ManusState, Stage


@dataclass(frozen=True, slots=True)
class Transition:
    """One edge of the agent's graph."""

    node: str
    """The node that has ended."""
    to: str
    """The node that comes next."""
    decision: Decision | None = None
    """What must have been decided; `None` means any decision."""
    has_problems: bool = False
    """Whether the plan must have problems."""
    why: str = ""
    """When the edge is taken, in words."""

    def applies(self, state: ManusState) -> bool:
        """Whether a state lets the edge be taken."""
        if self.decision is not None and state.get("decision", FIRST_DECISION) != self.decision:
            return False
        return bool(state.get("problems")) or not self.has_problems


FIRST_DECISION: Decision = "plan"
"""What counts as decided where nothing is."""

TRANSITIONS = (
    Transition(START, COORDINATOR, why="a request comes in"),
    Transition(COORDINATOR, END, "answer", why="small talk: it has answered itself"),
    Transition(COORDINATOR, CLARIFY, "ask", why="a person must answer a question first"),
    Transition(COORDINATOR, KNOWLEDGE, "recall", why="it is about to plan itself, and what is remembered comes first"),
    Transition(COORDINATOR, KNOWLEDGE, "plan", why="the planner is to plan"),
    Transition(COORDINATOR, PLANNER, "propose", why="it has given the plan, which is to be checked"),
    Transition(COORDINATOR, KNOWLEDGE, "replan", why="what failed is to be planned again"),
    Transition(COORDINATOR, DISPATCHER, "dispatch", why="there is a plan to execute"),
    Transition(COORDINATOR, REPORTER, "report", why="the work is over"),
    Transition(COORDINATOR, REPORTER, "stop", why="a budget is used up, or going on is of no use"),
    Transition(CLARIFY, COORDINATOR, why="the person has answered"),
    Transition(KNOWLEDGE, COORDINATOR, "recall", why="the coordinator plans"),
    Transition(KNOWLEDGE, PLANNER, why="the planner plans"),
    Transition(PLANNER, REPORTER, "stop", why="a budget is used up, or the plan has nothing left to do"),
    Transition(PLANNER, PLANNER, has_problems=True, why="the plan has problems, and a try is left"),
    Transition(PLANNER, REVIEW, why="the plan is sound"),
    Transition(REVIEW, PLANNER, "replan", why="the person has sent the plan back"),
    Transition(REVIEW, DISPATCHER, why="the plan is approved, or nobody is to be asked"),
    Transition(DISPATCHER, COORDINATOR, why="every subtask has ended"),
    Transition(REPORTER, REMEMBER, why="the answer is written"),
    Transition(REMEMBER, END, why="the request is over"),
)
"""Every edge; of those of one node the first that applies is taken."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage: what the coordinator has before it when its node runs."""

    stage: Stage
    """Its name in the state."""
    set_by: str
    """What sets it: a node, or the input of the graph."""
    decisions: tuple[Decision, ...]
    """What the coordinator may decide."""
    why: str
    """What has happened, in words."""


INPUT = "input"
_RECEIVED: tuple[Decision, ...] = ("answer", "ask", "plan", "propose", "stop")

STAGES = (
    StageRow("new", INPUT, ("recall", *_RECEIVED), "a request in words"),
    StageRow("planned", INPUT, ("dispatch",), "a request with its plan"),
    StageRow("again", INPUT, ("dispatch", "plan"), "what an ended request left undone is to be tried again"),
    StageRow("recalled", KNOWLEDGE, _RECEIVED, "what is remembered is there"),
    StageRow("clarified", CLARIFY, ("replan", *_RECEIVED), "the person has answered its question"),
    StageRow("dispatched", DISPATCHER, ("report", "replan", "ask", "stop"), "every subtask has ended"),
)
"""Every stage."""


def at_stage(stage: Stage) -> dict[str, Any]:
    """The state update that says what the coordinator is to decide about."""
    return {"stage": stage}


def decided(decision: Decision) -> dict[str, Any]:
    """The state update that says how to go on."""
    return {"decision": decision}


def targets(node: str) -> list[str]:
    """The nodes that may come after a node, in the order of the table."""
    return list(dict.fromkeys(edge.to for edge in TRANSITIONS if edge.node == node))


def plain_edges() -> Iterator[tuple[str, str]]:
    """The edges of nodes after which there is nothing to decide."""
    for edge in TRANSITIONS:
        if len(targets(edge.node)) == 1:
            yield edge.node, edge.to


def deciding_nodes() -> list[str]:
    """The nodes after which the state decides."""
    return [node for node in dict.fromkeys(edge.node for edge in TRANSITIONS) if len(targets(node)) > 1]


def next_node(node: str, state: ManusState) -> str:
    """The node that comes after `node`.

    Raises:
        UsageError: If the state says what this node cannot be left with, which only an edited one can.
    """
    found = next((edge.to for edge in TRANSITIONS if edge.node == node and edge.applies(state)), None)
    if found is None:
        known = ", ".join(repr(edge.decision) for edge in TRANSITIONS if edge.node == node)
        raise UsageError(
            f"The agent's node {node!r} cannot be left with the decision {state.get('decision')!r}.",
            hint=f"Set `decision` to one of {known}.",
        )
    return found


def router(node: str) -> Callable[[ManusState], Awaitable[str]]:
    """The function that LangGraph asks for the node after `node`.

    It is a coroutine because LangGraph sends plain functions through a thread.
    """

    async def route(state: ManusState) -> str:
        return next_node(node, state)

    route.__name__ = f"after_{node}"
    return route

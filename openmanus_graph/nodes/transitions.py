"""Transitions: where the agent's graph goes after each node, and what the coordinator decides at each stage.

The graph's edges, the tables in docs/agent.md and a test are made from these tables. Checkpoints of old threads hold
the names of stages and decisions: they never change.
"""

# LangGraph ships no types for its graphs.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START
from langgraph.types import Overwrite

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


FIRST_DECISION: Decision = "recall"
"""What counts as decided where nothing is: a request begins with it."""

TRANSITIONS = (
    Transition(START, KNOWLEDGE, why="a request comes in"),
    Transition(KNOWLEDGE, PLANNER, "plan", why="only in threads of earlier versions"),
    Transition(KNOWLEDGE, PLANNER, "replan", why="the same"),
    Transition(KNOWLEDGE, PLANNER, "propose", why="rules have made its plan of a template that has proved itself"),
    Transition(KNOWLEDGE, COORDINATOR, why="what is remembered is there"),
    Transition(COORDINATOR, END, "answer", why="it has answered, and no work was done"),
    Transition(COORDINATOR, REMEMBER, "conclude", why="it has answered from what came of the work"),
    Transition(COORDINATOR, CLARIFY, "ask", why="a person must answer a question first"),
    Transition(COORDINATOR, COORDINATOR, "look", why="its reply was answered at once, and it replies again"),
    Transition(COORDINATOR, PLANNER, "propose", why="it has made calls, or given a plan, which are to be checked"),
    Transition(COORDINATOR, PLANNER, "plan", why="the planner has a model of its own, which is to plan"),
    Transition(COORDINATOR, PLANNER, "replan", why="the same, after a failure"),
    Transition(COORDINATOR, DISPATCHER, "dispatch", why="there is a plan to execute"),
    Transition(COORDINATOR, REPORTER, "report", why="the answer is the reporter's to write"),
    Transition(COORDINATOR, REPORTER, "stop", why="a budget is used up, or going on is of no use"),
    Transition(CLARIFY, COORDINATOR, why="the person has answered"),
    Transition(PLANNER, REPORTER, "stop", why="a budget is used up, or the plan has nothing left to do"),
    Transition(PLANNER, COORDINATOR, "propose", why="what the coordinator gave has problems, which it is told"),
    Transition(PLANNER, PLANNER, has_problems=True, why="the planner's own plan has problems, and a try is left"),
    Transition(PLANNER, REVIEW, why="the plan is sound"),
    Transition(REVIEW, PLANNER, "replan", why="the person has sent the planner's plan back"),
    Transition(REVIEW, COORDINATOR, "propose", why="the person has sent the coordinator's plan back"),
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
    set_by: tuple[str, ...]
    """What sets it: nodes, or the input of the graph."""
    decisions: tuple[Decision, ...]
    """What the coordinator may decide."""
    why: str
    """What has happened, in words."""


INPUT = "input"
_REPLIED: tuple[Decision, ...] = (
    "answer",
    "conclude",
    "ask",
    "look",
    "propose",
    "plan",
    "replan",
    "report",
    "stop",
)

STAGES = (
    StageRow("new", (INPUT,), _REPLIED, "a request in words"),
    StageRow("planned", (INPUT,), ("dispatch",), "a request with its plan"),
    StageRow("again", (INPUT,), ("dispatch", *_REPLIED), "what an ended request left undone is to be tried again"),
    StageRow("clarified", (CLARIFY,), _REPLIED, "the person has answered its question"),
    StageRow("looked", (COORDINATOR,), _REPLIED, "its own reply was answered at once"),
    StageRow("refused", (PLANNER, REVIEW), _REPLIED, "what it gave has problems, or a person sent it back"),
    StageRow("dispatched", (DISPATCHER,), _REPLIED, "every subtask has ended"),
    StageRow("recalled", (KNOWLEDGE,), _REPLIED, "only in threads of earlier versions: what is remembered is there"),
)
"""Every stage."""


def begun(stage: Stage) -> dict[str, Any]:
    """The part of an input that says what the coordinator is to decide about; nothing of an earlier request counts."""
    return {**at_stage(stage), **decided(FIRST_DECISION)}


def anew(state: ManusState) -> dict[str, Any]:
    """The fields that a new request resets; the earlier ones stay in `earlier` and in the conversation.

    Behind a request that did not end, dispatches count on, or what its subtasks left would be taken for this one's.
    """
    unfinished = bool(state.get("request")) and not state.get("status")
    return {
        "round": state.get("round", 0) + unfinished,
        "request": (state.get("request") or 0) + 1,
        "results": Overwrite({}),
        "plan": {},
        "told": [],
        "made": 0,
        "calls": {},
        "clarifications": [],
        "question": "",
        "proposal": "",
        "problems": [],
        "plan_tries": 0,
        "replans": 0,
        "failed_round": 0,
        "replies": 0,
        "reason": "",
        "answer": "",
        "status": "",
    }


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

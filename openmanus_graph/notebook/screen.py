"""Screen: head, pictures of graph and plan, and the saved picture that a widget shows of a stepper."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast, get_args

from openmanus_graph.checkpoints.history.diff import state_as_json
from openmanus_graph.display_text import call_line, one_line
from openmanus_graph.drawing.diagram import Box, Diagram, State
from openmanus_graph.drawing.graph import graph_diagram
from openmanus_graph.drawing.plan import plan_diagram
from openmanus_graph.drawing.style import SIGNS, Theme
from openmanus_graph.drawing.svg import svg
from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.namespaces import plain_namespace
from openmanus_graph.notebook.panels import cut
from openmanus_graph.plan import Plan
from openmanus_graph.stepping.stepper import Stepper
from openmanus_graph.stepping.view import Branch, HistoryItem, Row

STRONGEST: tuple[State, ...] = ("running", "waiting", "next", "failed", "completed", "pending")
"""Of several states of one node, as its branches have them, the one that is drawn comes first."""
STATES: frozenset[str] = frozenset(get_args(State))
LONGEST_CALL = 120
"""Characters of a call in the list of branches."""


class Screen:
    """Reads a stepper; runs nothing."""

    def __init__(self, stepper: Stepper) -> None:
        """Look at a stepper.

        Args:
            stepper: It.
        """
        self._stepper = stepper
        self._graph = graph_diagram(stepper.app)
        self._keys = [box.key for box in _boxes(self._graph) if box.shape == "box"]
        self._plan: tuple[Plan, Diagram] | None = None
        self._planned_on = ""
        self._drawn: dict[str, tuple[Diagram, str]] = {}

    def now(self) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """All but the pictures and the panel, in JSON types.

        Returns:
            What stands above the pictures; and by picture what its boxes stand at, unless that is `pending`, and
            where a run is to stop.
        """
        subtasks = self._subtasks()
        stands = {"graph": self._node_stands(), "plan": self._plan_stands(subtasks)}
        return self._head(subtasks), {
            name: {"states": {key: state for key, state in states.items() if state != "pending"}, "stops": stops}
            for name, (states, stops) in stands.items()
        }

    def _head(self, subtasks: Mapping[str, str]) -> dict[str, Any]:
        stepper = self._stepper
        last = stepper.last
        return {
            "thread": stepper.thread_id,
            "threads": list(stepper.threads),
            "cursor": stepper.cursor,
            "status": stepper.status,
            "sign": SIGNS.get(cast("State", stepper.status), "") or "●",
            "granularity": stepper.granularity,
            "reason": last["reason"],
            "text": cut(last["text"]),
            "error": last["error"] and {**last["error"], "message": cut(last["error"]["message"])},
            "questions": [
                {**state_as_json(question), "question": cut(question["question"])} for question in stepper.questions
            ],
            "branches": [_branch(branch) for branch in stepper.branches] if stepper.cursor is None else [],
            "breakpoints": [str(known) for known in stepper.breakpoints],
            "done": sum(status in ("completed", "failed", "blocked", "skipped") for status in subtasks.values()),
            "subtasks": len(subtasks),
            "drawn_at": time.time() * 1000,
        }

    def graph(self) -> str:
        """The graph as SVG, with every node `pending`; `now()` says what they stand at."""
        return self._picture("graph", self._graph, self._keys)

    def plan(self) -> str:
        """The plan as SVG, with every subtask `pending`; empty without a plan."""
        planned = self._planned()
        if planned is None:
            return ""
        plan, diagram = planned
        return self._picture("plan", diagram, [str(subtask.id) for subtask in plan.subtasks])

    def _picture(self, name: str, diagram: Diagram, keys: Sequence[str]) -> str:
        """A picture that is drawn once: only the states of its boxes change, which do not move them."""
        if name not in self._drawn or self._drawn[name][0] is not diagram:
            self._drawn[name] = (diagram, svg(diagram.with_states(dict.fromkeys(keys, "pending")), theme="host"))
        return self._drawn[name][1]

    def still(self, theme: Theme = "auto") -> str:
        """Graph and plan side by side as one SVG, which a saved notebook keeps."""
        stepper = self._stepper
        graph, planned = self._graph.with_states(*self._node_stands()), self._planned()
        plan = None if planned is None else planned[1].with_states(*self._plan_stands(self._subtasks()))
        heading = f"{stepper.thread_id}: {stepper.status}"
        if plan is None:
            return svg(replace(graph, title=heading), theme=theme)
        boxes = [Box("", "Graph", inside=replace(graph, title="")), Box(" ", "Plan", inside=replace(plan, title=""))]
        return svg(Diagram(boxes, [], f"{heading}. {plan.title}", plan.description), theme=theme)

    def text(self) -> str:
        """The same in a few lines, for terminals."""
        stepper = self._stepper
        lines = [f"{stepper.thread_id}: {stepper.status}. {stepper.last['text']}"]
        lines += [
            "  ".join(f"{SIGNS.get(cast('State', status), '')} {key}" for key, status in stepper.subtasks.items())
        ]
        return "\n".join(line for line in lines if line)

    def target(self, picture: str, key: str) -> str:
        """Target of the box that a person points at, as `run_to` and breakpoints take it.

        Args:
            picture: `graph` or `plan`.
            key: The box's key.
        """
        if picture == "plan":
            return f"subtask:{key}"
        name = key.rpartition(":")[2]
        tools: Mapping[str, Any] = getattr(getattr(self._stepper.app, "builder", None), "tools", None) or {}
        return f"tool:{name}" if ":" in key and name in tools else name

    def _node_stands(self) -> tuple[dict[str, State], list[str]]:
        """States of the nodes, and the keys of those with a breakpoint."""
        states: dict[str, State] = dict.fromkeys(self._keys, "pending")
        for key, state in self._node_states():
            if STRONGEST.index(state) < STRONGEST.index(states[key]):
                states[key] = state
        error = self._stepper.error
        if error is not None and error["node"] and self._stepper.cursor is None:  # it is also what is next
            states |= dict.fromkeys(self._keys_of(error["node"], "*" if error["subtask"] else ""), "failed")
        stops = {str(known.target).removeprefix("tool:") for known in self._stepper.breakpoints}
        return states, [key for key in self._keys if key.rpartition(":")[2] in stops]

    def _node_states(self) -> Iterator[tuple[str, State]]:
        """Keys of nodes with their states, the same key possibly several times."""
        stepper = self._stepper
        for item, row in _steps(stepper):
            outer = outermost(item["namespace"])
            failed = row["status"] == "failed"
            for node in item["nodes"]:
                yield from _each(self._keys_of(node, outer), "failed" if failed else "completed")
            if outer and stepper.cursor is not None:  # it has not ended there, or it is among the steps itself
                yield from _each(self._keys_of(outer, ""), "next")
        if stepper.cursor is not None:
            for item in _after(stepper):
                for node in item["nodes"]:
                    yield from _each(self._keys_of(node, outermost(item["namespace"])), "next")
            return
        for branch in stepper.branches:
            outer, node = outermost(branch["namespace"]) or ("*" if branch["name"] else ""), self._node_of(branch)
            if node:
                yield from _each(self._keys_of(node, outer), branch["status"])
            if outer not in ("", "*") and branch["status"] in ("next", "running"):
                yield from _each(self._keys_of(outer, ""), "running")
            if outer == "*" and branch["status"] == "waiting":  # what is around it has ended, and begins again
                around = {key.partition(":")[0] for key in self._keys_of(node, "*")}
                yield from _each(sorted(around), "waiting")

    def _node_of(self, branch: Branch) -> str:
        """The node of a branch; of a direct call that asks a person it is the tool's."""
        plan = self._stepper.plan
        if branch["node"] or plan is None:
            return branch["node"]
        return next((str(subtask.tool or "") for subtask in plan.subtasks if subtask.id == branch["name"]), "")

    def _keys_of(self, node: str, outer: str) -> list[str]:
        """The boxes that a node has.

        Args:
            node: Its name.
            outer: The node of the outermost graph that it is inside of; `*`: any; empty: it is none's.
        """
        if not outer:
            return [node] if node in self._keys else []
        inside = [key for key in self._keys if key.endswith(f":{node}")]
        return [key for key in inside if outer == "*" or key.startswith(f"{outer}:")]

    def _planned(self) -> tuple[Plan, Diagram] | None:
        """Plan that is shown, and its picture before anything has run."""
        plan, thread = self._stepper.plan or self._given(), self._stepper.thread_id
        if plan is None:  # begun and not read yet, it is still the one that was given
            return self._plan if self._planned_on == thread else None
        if self._plan is None or (self._plan[0] is not plan and self._plan[0] != plan):
            self._plan = (plan, plan_diagram(plan))
        self._planned_on = thread
        return self._plan

    def _plan_stands(self, subtasks: Mapping[str, str]) -> tuple[dict[str, State], list[str]]:
        """States of the subtasks, and the ids of those with a breakpoint."""
        planned = self._planned()
        if planned is None:
            return {}, []
        states = {str(subtask.id): "pending" for subtask in planned[0].subtasks} | dict(subtasks)
        known: dict[str, State] = {key: cast("State", state) for key, state in states.items() if state in STATES}
        stops = [each.target.name for each in self._stepper.breakpoints if each.target.kind == "subtask"]
        return known, [name for name in stops if name in known]

    def _subtasks(self) -> dict[str, str]:
        """States of the subtasks at the cursor."""
        stepper = self._stepper
        if stepper.cursor is None or stepper.plan is None:
            return stepper.subtasks
        return _subtasks_then(stepper.plan, _steps(stepper))

    def _given(self) -> Plan | None:
        """The plan that the run is to begin with."""
        given = self._stepper.input
        wanted = cast("Mapping[str, Any]", given).get("plan") if isinstance(given, Mapping) else None
        try:
            return Plan.parse(cast("Any", wanted)) if isinstance(wanted, Plan | Mapping) else None
        except OpenManusGraphError:  # the first step says what is wrong with it
            return None


def _boxes(diagram: Diagram) -> Iterator[Box]:
    """All boxes, those inside of others among them."""
    for box in diagram.boxes:
        yield from box.members or (box,)
        if box.inside is not None:
            yield from _boxes(box.inside)


def _branch(branch: Branch) -> dict[str, Any]:
    call = branch.get("call")
    return {
        "name": branch["name"],
        "node": branch["node"],
        "status": branch["status"],
        "sign": SIGNS[branch["status"]],
        "call": one_line(call_line(call["tool"], call["args"]), LONGEST_CALL) if call is not None else "",
    }


def _each(keys: Sequence[str], state: State) -> Iterator[tuple[str, State]]:
    return ((key, state) for key in keys)


def outermost(namespace: str) -> str:
    """The node of the outermost graph that a namespace is inside of; empty for that graph itself."""
    return plain_namespace(namespace).partition("|")[0]


def _steps(stepper: Stepper) -> list[tuple[HistoryItem, Row]]:
    """The steps since the newest input, up to the cursor."""
    history = {point["number"]: point for point in stepper.history}
    begun = max(
        (key for key, point in history.items() if point["source"] == "input" and not point["namespace"]), default=0
    )
    until = stepper.cursor or max(history, default=0)
    return [(history[row["number"]], row) for row in stepper.table if row["number"] and begun <= row["number"] <= until]


def _after(stepper: Stepper) -> list[HistoryItem]:
    """The points right after the cursor."""
    history = stepper.history
    here = [point for point in history if point["number"] == stepper.cursor]
    return [
        point
        for at in here
        for point in history
        if point["parent"] == at["id"] and point["namespace"] == at["namespace"]
    ]


def _subtasks_then(plan: Plan, steps: Sequence[tuple[HistoryItem, Row]]) -> dict[str, str]:
    """States of subtasks after some steps."""
    states: dict[str, str] = {str(subtask.id): "pending" for subtask in plan.subtasks}
    for _, row in steps:
        if row["subtask"] in states:
            states[row["subtask"]] = "next" if row["status"] == "done" else row["status"]
    return states

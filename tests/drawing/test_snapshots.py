"""Snapshots: the pictures are the very same text as when somebody last looked at them.

After a change that is meant: `OPENMANUS_GRAPH_REWRITE=pictures pytest tests/drawing`, then look at what is new.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from openmanus_graph.drawing import svg_of
from openmanus_graph.drawing.diagram import State as NodeState
from openmanus_graph.drawing.gantt import gantt_svg
from openmanus_graph.drawing.graph import graph_diagram, graph_svg
from openmanus_graph.drawing.plan import plan_svg
from openmanus_graph.drawing.style import STATES
from openmanus_graph.drawing.svg import svg
from openmanus_graph.drawing.timeline import timeline_of
from tests.drawing.graphs import State, around, calls_from_a_dict
from tests.drawing.histories import FORKED
from tests.drawing.plans import plan_of
from tests.drawing.runs import ROWS, a_run, at

FOLDER = Path(__file__).with_name("pictures")


def plan_of_twenty() -> str:
    plan = plan_of(20)
    return plan_svg(plan, {f"s{index}": STATES[index % len(STATES)] for index in range(20)})


def gantt() -> str:
    waited = [
        at(20, "run_started"),
        at(20, "subtask_started", "e"),
        at(21, "subtask_waiting", "e"),
        at(900, "run_started"),
    ]
    rows = [*ROWS, type(ROWS[0])("e", "ask_human", ("a",))]
    return gantt_svg(timeline_of([*a_run(), *waited, at(901, "subtask_started", "e")], rows, title="A run"))


def conditions() -> str:
    graph: Any = StateGraph(State)
    for name in ("ask", "search", "grade", "answer"):
        graph.add_node(name, lambda state: state)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", lambda _: "", {"clear": "search", "unclear": "ask", "off topic": END})
    graph.add_edge("search", "grade")
    graph.add_conditional_edges(
        "grade", lambda _: "", {"good": "answer", "nothing found": "search", "too much": "search"}
    )
    graph.add_edge("answer", END)
    states: dict[str, NodeState] = {"ask": "completed", "search": "completed", "grade": "next"}
    return svg(graph_diagram(graph.compile()).with_states(states, ("answer",)))


PICTURES: dict[str, Callable[[], str]] = {
    "plan.svg": plan_of_twenty,
    "gantt.svg": gantt,
    "graph.svg": lambda: graph_svg(around(calls_from_a_dict), states={"outer:reader:read": "waiting"}),
    "conditions.svg": conditions,
    "history.svg": lambda: svg_of(FORKED),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was_when_last_looked_at(name: str) -> None:
    drawn = PICTURES[name]()
    path = FOLDER / name
    if os.environ.get("OPENMANUS_GRAPH_REWRITE") == "pictures":
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")

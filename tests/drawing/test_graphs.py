"""Graphs: any compiled graph is drawn with all the graphs inside of it."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.errors import InvalidUpdateError
from langgraph.graph import END, START, StateGraph

from openmanus_graph import Settings, build_manus_graph, build_plan_graph
from openmanus_graph.drawing import svg_of
from openmanus_graph.drawing.graph import graph_diagram, graph_mermaid, graph_svg, graph_text
from openmanus_graph.drawing.subgraphs import subgraphs_of
from tests.drawing.graphs import AGENTS, READER, WRITER, State, around, calls_from_a_dict, chain
from tests.drawing.svgs import box, keys, parsed


class Holder:
    def __init__(self) -> None:
        self.first = READER
        self.second = WRITER
        self.unused = chain("never")

    def node(self, state: State) -> Any:
        return self.second.invoke(self.first.invoke(state))

    def __call__(self, state: State) -> Any:
        return self.node(state) if state["x"] else self.first.invoke(state)


def closing_over() -> Any:
    first, more = READER, [WRITER]

    async def inner(state: State) -> Any:
        return await first.ainvoke(state)

    async def node(state: State) -> Any:
        return await more[0].ainvoke(await inner(state))

    return node


def with_both(state: State, first: Any, second: Any) -> Any:
    return second.invoke(first.invoke(state))


@pytest.mark.parametrize(
    "node",
    [
        calls_from_a_dict,
        Holder().node,
        closing_over(),
        functools.partial(with_both, first=READER, second=WRITER),
        READER | RunnableLambda(lambda state: state) | WRITER,
    ],
    ids=["dict", "method", "closure", "partial", "sequence"],
)
def test_all_graphs_that_a_node_runs_are_found(node: Any) -> None:
    assert [graph is READER or graph is WRITER for graph in subgraphs_of(node).values()] == [True, True]


def test_a_node_typed_at_a_prompt_shows_its_graph_too() -> None:
    typed: dict[str, Any] = {"inner": READER}
    exec("def node(state):\n    return inner.invoke(state)", typed)

    assert "outer:read" in keys(parsed(graph_svg(around(typed["node"]))))


def test_several_graphs_of_one_node_are_drawn_side_by_side() -> None:
    root = parsed(graph_svg(around(calls_from_a_dict), states={"outer:writer:check": "running"}))

    assert {"outer", "outer:reader", "outer:reader:read", "outer:writer", "outer:writer:check"} <= set(keys(root))
    assert box(root, "outer:writer:check").attrib["class"] == "b running"


def test_a_graph_that_runs_itself_is_drawn_once() -> None:
    found: dict[str, Any] = {}

    def again(state: State) -> Any:
        return found["app"].invoke(state)

    found["app"] = app = around(again)
    assert [key for key in keys(parsed(graph_svg(app))) if key == "outer"] == ["outer"]


def test_nodes_with_the_same_edges_are_one_block() -> None:
    graph: Any = StateGraph(State)
    tools = [f"tool{number}" for number in range(6)]
    for name in ("think", *tools):
        graph.add_node(name, lambda state: state)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", lambda _: "tool1", [*tools, END])
    for name in tools:
        graph.add_edge(name, "think")
    app = graph.compile()

    drawn = graph_diagram(app)
    assert [len(one.members) for one in drawn.boxes if one.members] == [6]
    assert len(drawn.links) == 4
    assert set(tools) < set(keys(parsed(graph_svg(app))))
    assert "think → __end__?, [tool0 and 5 more]?" in graph_text(app)
    assert "tool0<br/>tool1" in graph_mermaid(app)


def test_answers_of_a_condition_are_shown_all_of_them() -> None:
    graph: Any = StateGraph(State)
    for name in ("grade", "write", "search"):
        graph.add_node(name, lambda state: state)
    graph.add_edge(START, "grade")
    graph.add_conditional_edges("grade", lambda _: "no", {"good": "write", "bad": "search", "unsure": "search"})
    graph.add_conditional_edges("search", lambda _: "grade", ["grade", END])
    app = graph.compile()

    assert "grade → search? (bad, unsure), write? (good)" in graph_text(app)
    assert "search → __end__?, grade?" in graph_text(app)
    assert '-.->|"bad, unsure"| search' in graph_mermaid(app)
    assert "grade to search on bad, unsure" in graph_svg(app)


def test_a_graph_that_langgraph_cannot_draw_is_drawn_from_what_it_was_built_from() -> None:
    schema: Any = dict
    graph: Any = StateGraph(schema)
    for name in ("split", "left", "right", "join", "retry"):
        graph.add_node(name, lambda state: state)
    graph.add_node("jump", lambda state: state, destinations=("retry",))
    graph.add_edge(START, "split")
    graph.add_edge("split", "left")
    graph.add_edge("split", "right")
    graph.add_edge(["left", "right"], "join")
    graph.add_conditional_edges("join", lambda _: "ok", {"ok": "jump", "failed": "split"})
    app = graph.compile(interrupt_before=["join"])
    with pytest.raises(InvalidUpdateError):
        app.get_graph()

    assert graph_text(app).splitlines() == [
        "__start__ → split",
        "split → [left | right]",
        "left | right → join",
        "join → jump? (ok), split? (failed)",
        "retry → __end__",
        "jump → retry?",
    ]
    assert "pauses before" in graph_svg(app)


def test_where_a_graph_pauses_is_shown() -> None:
    graph: Any = StateGraph(State)
    graph.add_node("ask", lambda state: state)
    graph.add_edge(START, "ask")
    assert "pauses before" in graph_svg(graph.compile(interrupt_before=["ask"]))


def test_the_agent_is_drawn_with_its_subtasks_tools_and_agents() -> None:
    settings = Settings.model_construct()
    app = build_manus_graph("none/drawn", ["bash", "fetch_page"], agents=AGENTS, settings=settings).compile()
    found = set(keys(parsed(svg_of(app))))

    assert {"coordinator", "planner", "dispatcher", "dispatcher:executor", "dispatcher:fetch_page"} <= found
    assert {"dispatcher:agent_reader:read", "dispatcher:agent_writer:check"} <= found
    assert "dispatcher:executor" not in keys(parsed(graph_svg(app, xray=False)))


def test_a_graph_that_is_not_compiled_yet_is_drawn_too() -> None:
    assert "dispatcher" in keys(parsed(svg_of(build_plan_graph(["bash"], settings=Settings.model_construct()))))

"""Graphs for pictures: chains, and graphs whose nodes run others."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict):
    """State of every graph here."""

    x: int


def chain(*names: str) -> Any:
    """A graph of these nodes, one after the other."""
    graph: Any = StateGraph(State)
    for name in names:
        graph.add_node(name, lambda state: state)
    for before, after in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(before, after)
    return graph.compile()


def around(node: Any) -> Any:
    """A graph with this one node."""
    graph: Any = StateGraph(State)
    graph.add_node("outer", node)
    graph.add_edge(START, "outer")
    return graph.compile()


READER, WRITER = chain("read"), chain("write", "check")
AGENTS = {"reader": READER, "writer": WRITER}


def calls_from_a_dict(state: State) -> Any:
    """A node that runs graphs which only a dict outside of it names."""
    return [agent.invoke(state) for agent in AGENTS.values()]

"""Chains: graphs of nodes one after the other, and the config of a thread that runs one."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph


class Words(TypedDict, total=False):
    """A state that keeps what its nodes say."""

    task: str
    seen: Annotated[list[Any], lambda old, new: [*old, *new]]


def chain(schema: Any = Words, **nodes: Any) -> StateGraph[Any, Any, Any, Any]:
    """A graph of nodes one after the other."""
    graph = StateGraph(schema)
    before = START
    for name, node in nodes.items():
        graph.add_node(name, node)
        graph.add_edge(before, name)
        before = name
    graph.add_edge(before, END)
    return graph


def thread(name: str = "t", **configurable: Any) -> Any:
    """The config of a thread."""
    return {"configurable": {"thread_id": name, **configurable}}

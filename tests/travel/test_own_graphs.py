"""Points of graphs of the user's own: parallel nodes, subgraphs of both kinds, and tasks."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from openmanus_graph import ThreadSaver, fork_thread, make_durable
from openmanus_graph.checkpoints.history.checkpoint_ref import points_of
from openmanus_graph.graphs.durable import DurableGraph
from tests.engine.plans import thread

RAN: list[str] = []


class Words(TypedDict, total=False):
    """State of the graphs."""

    words: Annotated[list[str], operator.add]


def says(word: str) -> Any:
    """A node that adds a word."""

    def node(state: Words) -> Words:
        RAN.append(word)
        return {"words": [word]}

    return node


class Inner(TypedDict, total=False):
    """State of the subgraphs."""

    steps: Annotated[list[str], operator.add]


def inner(first: str, second: str, *, asks: bool, keeps: bool) -> Any:
    """A subgraph of two nodes, the second of which may ask a person."""

    def one(state: Inner) -> Inner:
        RAN.append(first)
        return {"steps": [first]}

    def two(state: Inner) -> Inner:
        said = interrupt("Which?") if asks else second
        RAN.append(second)
        return {"steps": [said]}

    graph = StateGraph(Inner)
    graph.add_node("one", one)
    graph.add_node("two", two)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", END)
    return graph.compile(checkpointer=keeps or None)


def outer() -> StateGraph[Any, Any, Any, Any]:
    """A node, then a plain one beside two with subgraphs, then one more."""
    stable, usual = inner("s1", "s2", asks=True, keeps=True), inner("u1", "u2", asks=False, keeps=False)

    async def with_stable(state: Words) -> Words:
        return {"words": (await stable.ainvoke({}))["steps"]}

    async def with_usual(state: Words) -> Words:
        return {"words": (await usual.ainvoke({}))["steps"]}

    graph = StateGraph(Words)
    graph.add_node("first", says("first"))
    graph.add_node("plain", says("plain"))
    graph.add_node("stable", with_stable)
    graph.add_node("usual", with_usual)
    graph.add_node("last", says("last"))
    graph.add_edge(START, "first")
    for name in ("plain", "stable", "usual"):
        graph.add_edge("first", name)
        graph.add_edge(name, "last")
    graph.add_edge("last", END)
    return graph


async def finish(app: DurableGraph, name: str, given: Any) -> Any:
    """Run a thread to its end, answering what it asks."""
    out = await app.ainvoke(given, thread(name))
    for question in await app.questions(name):
        out = await app.ainvoke(Command(resume={question["id"]: "s2"}), thread(name))
    return out


def again(namespace: str, step: int) -> set[str]:
    """What runs again after a point."""
    if namespace.startswith("stable"):
        return {-1: {"s1", "s2"}, 0: {"s1", "s2"}, 1: {"s2"}, 2: set[str]()}[step] | {"last"}
    if namespace.startswith("usual"):
        return {-1: {"u1", "u2"}, 0: {"u1", "u2"}, 1: {"u2"}, 2: set[str]()}[step] | {"last"}
    every = {"first", "plain", "s1", "s2", "u1", "u2", "last"}
    return {-1: every, 0: every, 1: every - {"first"}, 2: {"last"}, 3: set[str]()}[step]


async def test_subgraphs_beside_each_other(saver: ThreadSaver) -> None:
    app = make_durable(outer(), saver)
    first = await finish(app, "t", {"words": []})
    points = await points_of(saver, "t")
    assert len({point.namespace for point in points}) == 3
    for point in points:
        RAN.clear()
        fork = await fork_thread(saver, point.address, new_id=f"f{point.number}")
        out = await finish(app, fork.thread.thread_id, None)
        assert sorted(out["words"]) == sorted(first["words"]), point
        assert set(RAN) == again(point.namespace, point.step), point
        assert len(RAN) == len(set(RAN)), point


async def test_tasks_before_the_point_are_kept(saver: ThreadSaver) -> None:
    usual = inner("u1", "u2", asks=False, keeps=False)

    @task
    async def before(word: str) -> str:
        RAN.append(word)
        return word

    @task
    async def inside() -> list[str]:
        return (await usual.ainvoke({}))["steps"]

    @task
    async def after(words: list[str]) -> str:
        RAN.append("after")
        return " ".join(words)

    def flow(keeper: BaseCheckpointSaver[Any]) -> Any:
        @entrypoint(checkpointer=keeper)
        async def main(word: str) -> str:
            words = [await before(word), *await inside()]
            return await after(words)

        return main

    app = make_durable(flow(saver), saver)
    first = await app.ainvoke("before", thread())
    points = [point for point in await points_of(saver, "t") if point.namespace]
    assert [point.step for point in points] == [-1, 0, 1, 2]
    for point, runs in zip(points, (["u1", "u2"], ["u1", "u2"], ["u2"], []), strict=True):
        RAN.clear()
        fork = await fork_thread(saver, point.address, new_id=f"f{point.number}")
        assert await app.ainvoke(None, thread(fork.thread.thread_id)) == first
        assert [*runs, "after"] == RAN

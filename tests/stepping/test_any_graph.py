"""Any graph: LangGraph's own graphs are stepped too, and say how finely."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import TypedDict

from openmanus_graph import Stepper, ThreadSaver, build_plan_graph, make_durable
from openmanus_graph.errors import UsageError

pytestmark = pytest.mark.postgres


class Notes(TypedDict):
    words: Annotated[list[str], operator.add]


def graph(ask: bool = False, broken: list[bool] | None = None) -> StateGraph[Any, Any, Any, Any]:
    def first(state: Notes) -> dict[str, Any]:
        return {"words": ["first"]}

    async def left(state: Notes) -> dict[str, Any]:
        if broken and broken.pop():
            raise ValueError("no luck")
        return {"words": [interrupt("Which?") if ask else "left"]}

    def right(state: Notes) -> dict[str, Any]:
        return {"words": ["right"]}

    def last(state: Notes) -> dict[str, Any]:
        return {"words": ["last"]}

    built: StateGraph[Any, Any, Any, Any] = StateGraph(Notes)
    for node in (first, left, right, last):
        built.add_node(node.__name__, node)
    built.add_edge(START, "first")
    built.add_edge("first", "left")
    built.add_edge("first", "right")
    built.add_edge(["left", "right"], "last")
    built.add_edge("last", END)
    return built


@pytest.mark.parametrize("where", ["postgres", "durable", "memory"])
async def test_nodes_of_a_super_step_go_one_by_one(where: str, saver: ThreadSaver) -> None:
    if where == "durable":
        app: Any = make_durable(graph(), saver)
    else:
        app = graph().compile(checkpointer=saver if where == "postgres" else InMemorySaver())
    async with Stepper(app, input={"words": []}, thread_id="t") as stepper:
        assert stepper.granularity == "super-step"
        assert (await stepper.step())["standing"] == ["left", "right"]
        assert stepper.state["words"] == ["first"]
        assert (await stepper.step())["standing"] == ["right"]
        assert (await stepper.step())["standing"] == ["last"]
        assert stepper.state["words"] == ["first", "left", "right"]
        assert (await stepper.step())["reason"] == "finished"
        assert stepper.state["words"][-1] == "last"


async def test_breakpoints_and_targets_know_its_nodes(saver: ThreadSaver) -> None:
    async with Stepper(graph().compile(checkpointer=saver), input={"words": []}, thread_id="t") as stepper:
        stepper.breakpoints.add("right", when=lambda state: "first" in state["words"])
        assert (await stepper.run())["node"] == "right"
        assert (await stepper.run_to("last"))["reason"] == "reached"
        with pytest.raises(UsageError):
            stepper.breakpoints.add("lats")


@pytest.mark.parametrize("where", ["postgres", "memory"])
async def test_its_interrupts_take_answers(where: str, saver: ThreadSaver) -> None:
    app = graph(ask=True).compile(checkpointer=saver if where == "postgres" else InMemorySaver())
    async with Stepper(app, input={"words": []}, thread_id="t") as stepper:
        stop = await stepper.run()
        assert (stop["reason"], [one["question"] for one in stop["questions"]]) == ("waiting", ["Which?"])
        assert (await stepper.step())["reason"] == "waiting"
        stop = await stepper.answer("that")
        assert stop["standing"] == ["last"]
        await stepper.step()
        assert sorted(stepper.state["words"]) == ["first", "last", "right", "that"]


async def test_a_node_that_fails_can_be_run_again(saver: ThreadSaver) -> None:
    async with Stepper(graph(broken=[True]).compile(checkpointer=saver), input={"words": []}, thread_id="t") as stepper:
        await stepper.step()
        stop = await stepper.step()
        assert stop["reason"] == "error"
        assert stop["error"] is not None
        assert stop["error"]["node"] == "left"
        assert "no luck" in stop["error"]["message"]
        assert "rerun" in stop["error"]["can"]
        await stepper.rerun()
        assert (await stepper.run())["reason"] == "finished"
        assert stepper.state["words"] == ["first", "left", "right", "last"]


async def test_a_node_that_fails_is_run_again_with_another_input(saver: ThreadSaver) -> None:
    app = graph(broken=[True]).compile(checkpointer=saver)
    async with Stepper(app, input={"words": []}, thread_id="t") as stepper:
        stop = await stepper.run()
        assert stop["error"] is not None
        assert stop["error"]["node"] == "left"
        stop = await stepper.rerun(values={"words": ["other"]})
        assert (stop["error"], stop["node"], stepper.thread_id) == (None, "left", "t-2")
        assert (await stepper.run())["reason"] == "finished"
        assert stepper.state["words"] == ["other", "left", "right", "last"]


async def test_its_state_is_edited_in_a_fork(saver: ThreadSaver) -> None:
    async with Stepper(graph().compile(checkpointer=saver), input={"words": []}, thread_id="t") as stepper:
        await stepper.step()
        stop = await stepper.edit(values={"words": "no list"})
        assert stop["error"] is not None
        await stepper.edit(values={"words": ["other"]})
        assert (stepper.thread_id, stepper.state["words"]) == ("t-2", ["other"])
        await stepper.run()
        assert stepper.state["words"] == ["other", "left", "right", "last"]


async def test_without_forks_the_past_cannot_be_changed() -> None:
    async with Stepper(graph().compile(checkpointer=InMemorySaver()), input={"words": []}, thread_id="t") as stepper:
        await stepper.step()
        for verb in (stepper.back(), stepper.edit(values={"words": []})):
            stop = await verb
            assert stop["error"] is not None
            assert "open_checkpointer" in stop["error"]["hint"]


def test_a_graph_without_a_checkpointer_says_how_to_add_one() -> None:
    for app in (graph(), graph().compile(), build_plan_graph([]).compile()):
        with pytest.raises(UsageError) as refused:
            Stepper(app, thread_id="t")
        assert "open_checkpointer" in (refused.value.hint or "")

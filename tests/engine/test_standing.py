"""Standing: where a thread stands is told alike with its graph and from its rows, and as LangGraph itself goes on."""

from __future__ import annotations

import operator
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.errors import GraphDrained
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from openmanus_graph import Gate, ThreadSaver, ThreadUnreadableError, UsageError, build_plan_graph, get_thread
from openmanus_graph.checkpoints.forking.fork import fork_thread
from openmanus_graph.checkpoints.standing import Standing, standing_of
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.fault_points import watch
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.user.user_graph import make_durable
from tests.engine.plans import plan, subtask, thread

pytestmark = pytest.mark.postgres


class State(TypedDict, total=False):
    task: str
    seen: Annotated[list[str], operator.add]


class Cut(BaseException):
    """What cuts a run off, as a kill does."""


async def row(saver: ThreadSaver, name: str = "t") -> Thread:
    found = await get_thread(saver, name)
    assert found is not None
    return found


async def cut_at(boundary: str, app: DurableGraph, given: Any, name: str = "t", number: int = 1) -> bool:
    """Run a graph, and cut it off when it comes to a write for the so many-th time; whether it came there."""
    came = 0

    def watcher(passed: str) -> None:
        nonlocal came
        came += passed == boundary
        if passed == boundary and came == number:
            raise Cut

    watch(watcher)
    try:
        await app.ainvoke(given, thread(name))
    except Cut:
        pass
    finally:
        watch(None)
    return came >= number


async def both(saver: ThreadSaver, app: DurableGraph, name: str = "t") -> Standing:
    """The standing, which is the same with and without the graph."""
    known = await row(saver, name)
    with_graph, from_rows = await app.standing(known), await standing_of(saver, known)
    assert (with_graph.kind, with_graph.step) == (from_rows.kind, from_rows.step)
    assert set(with_graph.nodes) == set(from_rows.nodes)
    assert set(with_graph.recorded) == set(from_rows.recorded)
    return with_graph


def noting(name: str) -> Any:
    return lambda _: {"seen": [name]}


def chain(*names: str) -> StateGraph[Any, Any, Any, Any]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, noting(name))
    for before, after in zip((START, *names), (*names, END), strict=True):
        builder.add_edge(before, after)
    return builder


async def test_stored_writes_without_their_checkpoint_are_work(saver: ThreadSaver) -> None:
    app = make_durable(chain("only"), saver)
    assert await cut_at("before checkpoint ", app, {"task": "x", "seen": []}, number=3)
    snapshot = await app.snapshot("t")
    assert snapshot.next == (), "what was taken for the end"
    standing = await both(saver, app)
    assert (standing.kind, standing.nodes, standing.recorded) == ("has work", (), ("only",))
    assert "What only did is stored" in standing.text
    assert (await app.ainvoke(None, thread()))["seen"] == ["only"]
    assert (await both(saver, app)).kind == "ended"


async def test_an_input_outlives_a_kill_before_the_first_checkpoint(saver: ThreadSaver) -> None:
    app = make_durable(chain("a", "b"), saver)
    assert await cut_at("before checkpoint ", app, {"task": "kept", "seen": []})
    standing = await both(saver, app)
    assert (standing.kind, standing.begun, standing.input_due) == ("has work", False, True)
    out = await app.ainvoke(None, thread())
    assert (out["task"], out["seen"]) == ("kept", ["a", "b"])

    assert await cut_at("before checkpoint ", app, {"task": "second"})
    standing = await both(saver, app)
    assert (standing.kind, standing.begun, standing.input_due) == ("has work", True, True)
    out = await app.ainvoke(None, thread())
    assert (out["task"], out["seen"]) == ("second", ["a", "b", "a", "b"])
    assert not (await both(saver, app)).input_due


async def test_an_input_that_a_checkpoint_has_is_kept_nowhere_else(saver: ThreadSaver) -> None:
    await make_durable(chain("a"), saver).ainvoke({"task": "x", "seen": []}, thread())
    async with saver.connection() as connection:
        kept = await (await connection.execute("SELECT input FROM threads")).fetchone()
    assert kept == {"input": None}


async def test_a_fork_at_an_earlier_point_leaves_a_later_input_behind(saver: ThreadSaver) -> None:
    app = make_durable(chain("a", "b"), saver)
    await app.ainvoke({"task": "first", "seen": []}, thread())
    assert await cut_at("before checkpoint ", app, {"task": "second"})
    early = await fork_thread(saver, "t@3", new_id="early")
    whole = await fork_thread(saver, "t", new_id="whole")
    async with saver.connection() as connection:
        rows = await (await connection.execute("SELECT thread_id, input IS NOT NULL AS kept FROM threads")).fetchall()
    assert {row["thread_id"]: row["kept"] for row in rows} == {"t": True, "early": False, "whole": True}
    assert (await app.ainvoke(early.given, thread("early")))["task"] == "first"
    assert (await app.ainvoke(whole.given, thread("whole")))["task"] == "second"


async def test_a_question_waits_until_only_people_can_go_on(saver: ThreadSaver) -> None:
    gate = Gate()

    def asks(state: State) -> dict[str, Any]:
        return {"seen": [interrupt("Which?")]}

    def slow(state: State) -> dict[str, Any]:
        gate.request_drain("enough")
        return {"seen": ["slow"]}

    builder = StateGraph(State)
    builder.add_node("asks", asks)
    builder.add_node("slow", slow)
    builder.add_edge(START, "asks")
    builder.add_edge(START, "slow")
    app = make_durable(builder, saver)
    await app.ainvoke({"task": "x", "seen": []}, thread())
    standing = await both(saver, app)
    assert (standing.kind, standing.nodes, standing.recorded) == ("waits", ("asks",), ("slow",))
    assert [question["question"] for question in standing.questions] == ["Which?"]
    out = await app.ainvoke(Command(resume={standing.questions[0]["id"]: "this"}), thread())
    assert sorted(out["seen"]) == ["slow", "this"]
    assert (await both(saver, app)).kind == "ended"


async def test_a_damaged_and_an_empty_thread(saver: ThreadSaver) -> None:
    app = make_durable(chain("a"), saver)
    await cut_at("before checkpoint ", app, {"task": "x"})
    async with saver.connection() as connection:
        await connection.execute("UPDATE threads SET input = NULL")
    standing = await both(saver, app)
    assert standing.kind == "empty"
    with pytest.raises(UsageError, match="not even its input"):
        standing.refuse("t")
    await app.ainvoke({"task": "x", "seen": []}, thread("u"))
    async with saver.connection() as connection:
        await connection.execute("UPDATE checkpoint_blobs SET type = 'lost' WHERE thread_id = 'u' AND channel = 'seen'")
    standing = await standing_of(saver, await row(saver, "u"))
    assert standing.kind == "unreadable"
    with pytest.raises(ThreadUnreadableError):
        standing.refuse("u")


async def test_an_edited_plan_that_comes_after_the_last_step_is_executed(saver: ThreadSaver) -> None:
    """Killed when all subtasks have ended, before the step was complete, and resumed with one subtask more."""
    app = build_plan_graph(["planning"]).compile(checkpointer=saver)
    steps = {"command": "create", "plan_id": "p", "title": "t", "steps": ["one"]}
    one, two = subtask("one", "planning", args=steps), subtask("two", "planning", args={**steps, "plan_id": "q"})
    assert await cut_at("before checkpoint ", app, {"plan": plan(one)}, number=3)
    standing = await both(saver, app)
    assert (standing.kind, standing.nodes) == ("has work", ())
    out = await app.ainvoke({"plan": plan(one, two)}, thread())
    assert {name: result["status"] for name, result in out["results"].items()} == dict.fromkeys(
        ("one", "two"), "completed"
    )


@st.composite
def graphs(draw: st.DrawFn) -> StateGraph[Any, Any, Any, Any]:
    """Graphs of up to five nodes with edges, joins, deferred nodes, choices and sends, without circles."""
    size = draw(st.integers(2, 5))
    names = [f"n{number}" for number in range(size)]
    builder = StateGraph(State)
    for number, name in enumerate(names):
        builder.add_node(name, noting(name), defer=draw(st.booleans()) and number > 1)
    builder.add_edge(START, names[0])
    for number, name in enumerate(names[1:], 1):
        earlier = names[:number]
        kind = draw(st.sampled_from(["edge", "join", "choice", "send"]))
        if kind == "join" and number > 1:
            builder.add_edge(draw(st.lists(st.sampled_from(earlier), min_size=2, max_size=2, unique=True)), name)
        elif kind == "choice":
            taken = draw(st.booleans())
            source = draw(st.sampled_from(earlier))
            builder.add_conditional_edges(source, _chooses(f"to_{name}", name if taken else END), [name, END])
        elif kind == "send":
            source = draw(st.sampled_from(earlier))
            builder.add_conditional_edges(source, _sends(f"to_{name}", name), [name])
        else:
            builder.add_edge(draw(st.sampled_from(earlier)), name)
    return builder


def _chooses(label: str, target: str) -> Any:
    def choose(_: State) -> str:
        return target

    choose.__name__ = label
    return choose


def _sends(label: str, target: str) -> Any:
    def send(_: State) -> list[Send]:
        return [Send(target, {"seen": []})]

    send.__name__ = label
    return send


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(builder=graphs(), data=st.data())
async def test_it_is_told_alike_wherever_a_run_is_cut_off(
    saver: ThreadSaver, builder: StateGraph[Any, Any, Any, Any], data: st.DataObject
) -> None:
    app = make_durable(builder, saver)
    await saver.adelete_thread("calm")
    passed: list[str] = []
    watch(passed.append)
    calm = await app.ainvoke({"task": "x", "seen": []}, thread("calm"))
    watch(None)
    writes = [name for name in passed if name in ("before checkpoint ", "before writes ", "after writes ")]
    number = data.draw(st.integers(0, len(writes) - 1))
    await saver.adelete_thread("cut")
    came = 0

    def watcher(name: str) -> None:
        nonlocal came
        if name in ("before checkpoint ", "before writes ", "after writes "):
            came += 1
            if came == number + 1:
                raise Cut

    watch(watcher)
    try:
        await app.ainvoke({"task": "x", "seen": []}, thread("cut"))
    except Cut:
        pass
    finally:
        watch(None)
    for _ in range(40):
        standing = await both(saver, app, "cut")
        if not standing.goes_on:
            break
        gate = Gate()
        with suppress(GraphDrained):
            async for _ in app.astream(None, thread("cut"), control=gate, stream_mode="custom"):
                gate.request_drain("a step at a time")
    assert sorted((await app.snapshot("cut")).values["seen"]) == sorted(calm["seen"])

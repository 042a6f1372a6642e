"""LangGraph's ways: what a graph may rely on with LangGraph, it may rely on when it is made durable."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt

from openmanus_graph import ThreadBusyError, ThreadSaver, get_thread, make_durable, open_checkpointer
from openmanus_graph.checkpoints.threads import list_threads
from openmanus_graph.errors import ThreadVersionError, UnknownQuestionError, UsageError
from tests.chains import Words, chain, thread

pytestmark = pytest.mark.postgres


def say(word: str) -> Any:
    return lambda _: {"seen": [word]}


def asking(state: Words) -> Words:
    return {"seen": [interrupt("really?")]}


async def metadata(saver: ThreadSaver) -> list[dict[str, Any]]:
    return [dict(stored.metadata) async for stored in saver.alist(thread())]


async def test_metadata_of_checkpoints_is_langgraphs_own(saver: ThreadSaver) -> None:
    app = make_durable(chain(first=say("one"), second=asking), saver)
    await app.ainvoke({"task": "x", "seen": []}, thread())
    await app.ainvoke(Command(resume="yes"), thread())

    for stored in await metadata(saver):
        assert stored.keys() <= {"source", "step", "parents"}, stored


async def test_what_a_thread_began_with_holds_and_what_the_caller_says_wins(saver: ThreadSaver, tmp_path: Path) -> None:
    from openmanus_graph import tool_context

    seen: list[str] = []

    async def look(_: Words) -> Words:
        seen.append(tool_context().workspace.name)
        return {"seen": [interrupt("again?")]}

    app = make_durable(chain(look=look), saver)
    began: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "here")}}
    await app.ainvoke({"task": "x", "seen": []}, began)
    await app.ainvoke(Command(resume="yes"), thread())

    assert seen == ["here", "here"]


@pytest.mark.parametrize("mode", ["checkpoints", "debug"])
async def test_streamed_configs_are_json_and_travel(saver: ThreadSaver, mode: Any) -> None:
    inner = chain(inner_first=say("in"), inner_second=say("out")).compile()
    graph = StateGraph(Words)
    graph.add_node("first", say("one"))
    graph.add_node("inner", inner)
    graph.add_edge(START, "first")
    graph.add_edge("first", "inner")
    app = make_durable(graph, saver)
    configs: list[Any] = []
    async for namespace, chunk in app.astream({"seen": []}, thread(), stream_mode=mode, subgraphs=True):
        payload = chunk if mode == "checkpoints" else chunk.get("payload") if chunk["type"] == "checkpoint" else None
        if payload is not None:
            configs += [(namespace, payload["next"], payload["config"])]
            json.dumps([payload["config"], payload["parent_config"], payload["metadata"]])

    assert {bool(namespace) for namespace, _, _ in configs} == {True, False}
    plain = json.loads(
        json.dumps([config for namespace, nexts, config in configs if not namespace and "inner" in nexts])
    )
    assert (await app.aget_state(plain[0])).values["seen"] == ["one"]
    again = await app.ainvoke(None, plain[0])
    assert again["seen"][0] == "one" and again["seen"][-1] == "out"


@pytest.mark.parametrize("made", ["node", "called"])
async def test_a_subgraph_that_keeps_nothing_runs(saver: ThreadSaver, made: str) -> None:
    """LangGraph ends it with an AttributeError where each step is committed before the next."""
    ran: list[str] = []

    def think(_: Words) -> Words:
        ran.append("think")
        return {"seen": ["thought"]}

    inner = chain(think=think).compile(checkpointer=False)

    async def call(state: Words, config: RunnableConfig) -> Words:
        return {"seen": (await inner.ainvoke(state, config))["seen"]}

    def call_synchronously(state: Words) -> Words:
        return {"seen": inner.invoke({"seen": []})["seen"]}

    graph = StateGraph(Words)
    graph.add_node("inner", inner if made == "node" else call)
    graph.add_node("again", call_synchronously)
    graph.add_node("ask", asking)
    graph.add_edge(START, "inner")
    graph.add_edge("inner", "again")
    graph.add_edge("again", "ask")
    app = make_durable(graph, saver)
    await app.ainvoke({"seen": []}, thread())
    out = await app.ainvoke(Command(resume="yes"), thread())

    assert out["seen"] == ["thought", "thought", "yes"]
    assert ran == ["think", "think"]
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "completed"


@pytest.mark.parametrize("config", [None, {}, {"configurable": {}}, {"configurable": {"workspace": "there"}}])
async def test_a_config_without_a_thread_is_said_to_lack_it(saver: ThreadSaver, config: Any) -> None:
    app = make_durable(chain(first=say("one")), saver)
    with pytest.raises(ValueError, match="thread_id"):
        await app.ainvoke({"seen": []}, config)
    assert await list_threads(saver) == []


async def test_a_thread_that_is_bound_to_the_graph_is_its_thread(saver: ThreadSaver) -> None:
    app = make_durable(chain(first=say("one")), saver).with_config(thread("bound"))
    assert (await app.ainvoke({"seen": []}))["seen"] == ["one"]
    row = await get_thread(saver, "bound")
    assert row is not None and row.status == "completed"


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("inner", ["durable", "with its saver", "with another saver", "without a saver"])
async def test_a_graph_that_a_node_calls_keeps_its_questions(saver: ThreadSaver, inner: str, passes: bool) -> None:
    asks = StateGraph(Words)
    asks.add_node("one", lambda state: {"seen": ["1 " + interrupt("first?")]})
    asks.add_node("two", lambda state: {"seen": ["2 " + interrupt("second?")]})
    asks.add_edge(START, "one")
    asks.add_edge("one", "two")
    made: Any = {
        "durable": lambda: make_durable(asks, saver),
        "with its saver": lambda: asks.compile(checkpointer=saver),
        "with another saver": lambda: asks.compile(checkpointer=InMemorySaver()),
        "without a saver": asks.compile,
    }[inner]()

    async def call(_: Words, config: RunnableConfig) -> Words:
        out = await (made.ainvoke({"seen": []}, config) if passes else made.ainvoke({"seen": []}))
        return {"seen": out["seen"]}

    app = make_durable(chain(call=call), saver)
    out = await app.ainvoke({"seen": []}, thread())
    assert out["__interrupt__"][0].value == "first?"
    out = await app.ainvoke(Command(resume="yes"), thread())
    assert out["__interrupt__"][0].value == "second?"
    assert (await app.ainvoke(Command(resume="no"), thread()))["seen"] == ["1 yes", "2 no"]


def add_all(old: Any, writes: Sequence[Any]) -> Any:
    return [*old, *(word for write in writes for word in write)]


class Growing(TypedDict, total=False):
    seen: Annotated[list[str], DeltaChannel(add_all, snapshot_frequency=3)]


class Number(TypedDict, total=False):
    seen: Annotated[int, lambda old, new: old + new]


async def test_a_growing_list_may_become_an_ordinary_one(saver: ThreadSaver) -> None:
    def app(schema: Any) -> Any:
        graph = StateGraph(schema)
        graph.add_node("count", cast("Any", lambda state: {"seen": [str(len(state["seen"]))]}))
        graph.add_edge(START, "count")
        return make_durable(graph, saver)

    for _ in range(4):
        await app(Growing).ainvoke({"seen": ["in"]}, thread())
    before = (await app(Growing).snapshot("t")).values["seen"]
    assert len(before) == 8
    assert (await app(Words).snapshot("t")).values["seen"] == before
    assert (await app(Words).ainvoke({"seen": ["in"]}, thread()))["seen"] == [*before, "in", "9"]
    with pytest.raises(ThreadVersionError, match="seen"):
        await app(Number).ainvoke({"seen": 1}, thread())


def on_a_loop_of_its_own(url: str, use: Callable[[ThreadSaver], Any]) -> Any:
    """What `use` gives, called in this thread with a saver on the loop of another one."""
    loop = asyncio.new_event_loop()
    runner = threading.Thread(target=loop.run_forever)
    runner.start()

    async def opened() -> ThreadSaver:
        return await open_checkpointer(url)

    try:
        saver = asyncio.run_coroutine_threadsafe(opened(), loop).result()
        try:
            return use(saver)
        finally:
            asyncio.run_coroutine_threadsafe(saver.aclose(), loop).result()  # type: ignore[arg-type]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        runner.join()
        loop.close()


def test_a_call_from_another_thread_holds_the_thread_and_makes_its_row(database: str) -> None:
    def use(saver: ThreadSaver) -> None:
        refused: list[type] = []

        def call_again(_: Words) -> Words:
            try:
                make_durable(chain(first=say("one")), saver).invoke({"seen": []}, thread())
            except ThreadBusyError:
                refused.append(ThreadBusyError)
            return {"seen": ["called"]}

        app = make_durable(chain(first=call_again, second=asking), saver)
        out = app.invoke({"seen": []}, thread())
        assert out["__interrupt__"][0].value == "really?"
        assert refused == [ThreadBusyError]

        async def status() -> Any:
            row = await get_thread(saver, "t")
            return row and (row.status, bool(row.questions))

        def now() -> Any:
            return asyncio.run_coroutine_threadsafe(status(), saver.loop).result()

        assert now() == ("waiting", True)
        chunks = list(app.stream(Command(resume="yes"), thread(), stream_mode=["updates", "custom"]))
        assert ("updates", {"second": {"seen": ["yes"]}}) in chunks
        assert "run_started" not in [chunk["type"] for mode, chunk in chunks if mode == "custom"]
        assert now() == ("completed", False)

    on_a_loop_of_its_own(database, use)


def test_a_synchronous_stream_goes_on_as_it_is_asked_and_ends_when_it_is_left(database: str) -> None:
    def use(saver: ThreadSaver) -> None:
        app = make_durable(chain(first=say("one"), second=say("two")), saver)
        stream = app.stream({"seen": []}, thread(), stream_mode="updates")
        assert next(stream) == {"first": {"seen": ["one"]}}
        with pytest.raises(ThreadBusyError):
            app.invoke(None, thread())
        stream.close()  # type: ignore[attr-defined] - it is a generator
        assert app.invoke(None, thread())["seen"] == ["one", "two"]

    on_a_loop_of_its_own(database, use)


async def test_a_synchronous_call_on_the_savers_own_loop_is_refused_with_the_cure(saver: ThreadSaver) -> None:
    app = make_durable(chain(first=say("one")), saver)
    with pytest.raises(UsageError, match="event loop") as refusal:
        app.invoke({"seen": []}, thread())
    assert "await app.ainvoke" in str(refusal.value.hint)
    assert await get_thread(saver, "t") is None


def test_a_synchronous_call_without_a_loop_is_refused_with_the_cure(database: str) -> None:
    async def make() -> Any:
        async with open_checkpointer(database) as saver:
            return make_durable(chain(first=say("one")), saver)

    app = asyncio.run(make())
    with pytest.raises(UsageError, match="does not run any more"):
        app.invoke({"seen": []}, thread())


def asks_twice(fails: list[bool]) -> Callable[[Words], Words]:
    def ask(_: Words) -> Words:
        first = interrupt("first?")
        if fails:
            fails.pop()
            raise RuntimeError("the wire broke")
        return {"seen": [first, interrupt("second?")]}

    return ask


async def refused(app: Any, resume: Any) -> None:
    before = await app.questions("t")
    with pytest.raises(UnknownQuestionError):
        await app.ainvoke(Command(resume=resume), thread())
    assert await app.questions("t") == before


async def test_the_answer_to_an_answered_question_is_refused(saver: ThreadSaver) -> None:
    app = make_durable(chain(ask=asks_twice([]), then=asking), saver)
    out = await app.ainvoke({"seen": []}, thread())
    first = out["__interrupt__"][0].id
    out = await app.ainvoke(Command(resume={first: "one"}), thread())
    second = out["__interrupt__"][0].id
    await refused(app, {first: "one"})
    await refused(app, {first: "one", second: "two"})
    await app.ainvoke(Command(resume={second: "two"}), thread())
    await refused(app, {second: "two"})
    out = await app.ainvoke(Command(resume="three"), thread())
    assert out["seen"] == ["one", "two", "three"]
    await refused(app, "three")
    await refused(app, {first: "one"})


@pytest.mark.parametrize("inner", [False, True])
async def test_an_answer_that_a_failed_node_was_given_is_kept_and_not_taken_twice(
    saver: ThreadSaver, inner: bool
) -> None:
    """LangGraph shows the question again and gives the second answer to the next one."""
    graph = chain(ask=asks_twice([True]))
    app = make_durable(chain(inner=graph.compile()) if inner else graph, saver)
    out = await app.ainvoke({"seen": []}, thread())
    first = out["__interrupt__"][0].id
    with pytest.raises(RuntimeError, match="the wire broke"):
        await app.ainvoke(Command(resume="one"), thread())
    assert await app.questions("t") == []
    await refused(app, "one")
    await refused(app, {first: "one"})
    out = await app.ainvoke(None, thread())
    assert out["__interrupt__"][0].value == "second?"
    assert (await app.ainvoke(Command(resume="two"), thread()))["seen"] == ["one", "two"]


async def test_an_answer_is_not_given_to_a_question_that_was_never_shown(saver: ThreadSaver) -> None:
    broken = [True]

    def work(_: Words) -> Words:
        if broken:
            broken.pop()
            raise RuntimeError("the wire broke")
        return {"seen": [interrupt("delete everything?")]}

    app = make_durable(chain(ask=asking, work=work), saver)
    await app.ainvoke({"seen": []}, thread())
    with pytest.raises(RuntimeError):
        await app.ainvoke(Command(resume="yes"), thread())
    await refused(app, "yes")
    out = await app.ainvoke(None, thread())
    assert out["__interrupt__"][0].value == "delete everything?"


@pytest.mark.parametrize("place", ["graph", "subgraph", "call"])
async def test_any_value_goes_on_from_a_stop_without_a_question(saver: ThreadSaver, place: str) -> None:
    graph = chain(first=say("one"), ask=asking)
    built: Any = graph
    if place == "graph":
        built = graph.compile(interrupt_before=["ask"])
    elif place == "subgraph":
        built = chain(inner=graph.compile(interrupt_before=["ask"]))
    app = make_durable(built, saver)
    options: Any = {"interrupt_before": ["ask"]} if place == "call" else {}
    await app.ainvoke({"seen": []}, thread(), **options)
    out = await app.ainvoke(Command(resume="go on"), thread(), **options)
    assert out["__interrupt__"][0].value == "really?"
    out = await app.ainvoke(Command(resume="yes"), thread(), **options)
    assert out["seen"][-1] == "yes"


async def test_an_answer_at_a_named_checkpoint_is_for_what_was_asked_there(saver: ThreadSaver) -> None:
    app = make_durable(chain(ask=asking), saver)
    out = await app.ainvoke({"seen": []}, thread())
    asked = out["__interrupt__"][0].id
    there = (await app.aget_state(thread())).config
    assert (await app.ainvoke(Command(resume="yes"), thread()))["seen"] == ["yes"]
    assert (await app.ainvoke(Command(resume={asked: "no"}), there))["seen"] == ["yes"]  # as LangGraph has it
    with pytest.raises(UnknownQuestionError):
        await app.ainvoke(Command(resume={"0" * 32: "no"}), there)


async def test_of_two_runners_with_the_same_answer_one_is_refused(saver: ThreadSaver) -> None:
    """The second has looked at the open questions before the first one took its answer."""
    app = make_durable(chain(ask=asks_twice([])), saver)
    first = (await app.ainvoke({"seen": []}, thread()))["__interrupt__"][0].id
    looked = asyncio.Event()
    answered = asyncio.Event()

    late = make_durable(chain(ask=asks_twice([])), saver)
    questions = late.questions

    async def questions_and_wait(thread_id: str) -> Any:
        found = await questions(thread_id)
        if not looked.is_set():
            looked.set()
            await answered.wait()
        return found

    late.questions = questions_and_wait  # type: ignore[method-assign]
    second = asyncio.create_task(late.ainvoke(Command(resume={first: "again"}), thread()))
    await looked.wait()
    out = await app.ainvoke(Command(resume={first: "one"}), thread())
    assert out["__interrupt__"][0].value == "second?"
    answered.set()
    with pytest.raises(UnknownQuestionError):
        await second
    assert [question["question"] for question in await app.questions("t")] == ["second?"]
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"

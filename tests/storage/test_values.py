"""Values: what a state may hold comes back as it was; the rest is refused by its place before it is committed."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

from openmanus_graph import ThreadSaver, UsageError, get_thread, make_durable, stored_events
from openmanus_graph.checkpoints.serializer import PlainSerializer, StateSerializer
from openmanus_graph.errors import ForeignTypeError
from tests.storage.kept_values import (
    LONE,
    VALUES,
    Bolt,
    Graph,
    Order,
    Pair,
    Part,
    Shy,
    Size,
    State,
    Trip,
    Word,
    asking,
    order,
    same,
    thread,
)


@pytest.mark.parametrize("value", [*VALUES.values(), math.nan], ids=[*VALUES, "no number"])
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    serializer = StateSerializer()
    for given in (value, {"inside": [value]}):
        kind, data, changes = serializer.serialized(given)
        assert same(serializer.loads_typed((kind, data)), given)
        assert changes == []


def test_what_is_beside_the_fields_comes_back_too() -> None:
    serializer = StateSerializer()
    kept: Any = serializer.loads_typed(serializer.dumps_typed([order(), Trip(2)]))
    assert kept[0]._seen == 7
    assert kept[0].hidden == "abab"  # not validated a second time
    assert kept[0].model_fields_set == order().model_fields_set
    assert kept[1].beside == "worked out"
    assert kept[0].part == Bolt(the_count=1, thread="M9")


@pytest.mark.postgres
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "compiled with the saver"])
async def test_a_field_has_its_value_after_a_question(saver: ThreadSaver, durable: bool) -> None:
    """A field is read from the checkpoint, or beside it; a value that a task has written from what it wrote."""
    for number, (name, value) in enumerate({**VALUES, "no number": math.nan}.items()):
        graph = asking(value)
        app: Any = make_durable(graph, saver) if durable else graph.compile(checkpointer=saver)
        await app.ainvoke({"seen": 1}, thread(f"t{number}"))
        again: Any = make_durable(graph, saver) if durable else graph.compile(checkpointer=saver)
        out = await again.ainvoke(Command(resume="yes"), thread(f"t{number}"))
        assert same(out["seen"], ["yes", value]), name
        assert same((await again.aget_state(thread(f"t{number}"))).values["given"], value), name


@pytest.mark.postgres
async def test_a_thread_that_was_stuck_on_a_value_goes_on(saver: ThreadSaver) -> None:
    """The kind of fault that stood behind it: a write was stored that the next checkpoint could not hold."""
    ran: list[str] = []

    def first(_: Any) -> dict[str, Any]:
        ran.append("first")
        return {"given": f"{LONE}\0"}

    def second(state: Any) -> dict[str, Any]:
        ran.append("second")
        if len(ran) == 2:
            raise RuntimeError("down")
        return {"seen": state["given"]}

    graph: Graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    with pytest.raises(RuntimeError, match="down"):
        await make_durable(graph, saver).ainvoke({"given": f"in\0{LONE}"}, thread())
    out = await make_durable(graph, saver).ainvoke(None, thread())
    assert out["seen"] == f"{LONE}\0"
    assert ran == ["first", "second", "second"]


def socket_like() -> Any:
    return {"of": [object()]}


def endless() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "an object": (socket_like, r"'of\.0' of it is a builtins\.object"),
    "a function": (lambda: [math.sqrt], r"'0' of it is a builtins\.builtin_function_or_method"),
    "a class": (lambda: {"kind": Part}, r"'kind' of it is the class tests\.storage\.kept_values\.Part"),
    "what holds itself": (endless, "it is nested too deeply"),
    "what cannot be looked at": (lambda: [Shy()], r"'0' of it cannot be read \(OSError: not now\)"),
    "inside a model": (
        lambda: Order(part=Part(the_count=1), note=object()),
        r"'note' of it is a builtins\.object",
    ),
    "inside a message": (
        lambda: [ToolMessage("c", tool_call_id="1", artifact=object())],
        r"'0\.artifact' of it is a builtins\.object",
    ),
}


@pytest.mark.postgres
@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=list(REFUSED))
async def test_what_cannot_be_stored_is_refused_before_anything_is_committed(
    saver: ThreadSaver, make: Callable[[], Any], why: str
) -> None:
    ran: list[str] = []
    values: list[Any] = [make(), "corrected"]

    def first(_: Any) -> dict[str, Any]:
        ran.append("first")
        return {"seen": 1}

    def put(_: Any) -> dict[str, Any]:
        ran.append("put")
        return {"given": values.pop(0)}

    graph: Graph = StateGraph(State)
    graph.add_node("first", first)
    graph.add_node("put", put)
    graph.add_edge(START, "first")
    graph.add_edge("first", "put")
    with pytest.raises(
        ForeignTypeError, match=rf"^The field 'given' that the node 'put' wrote cannot be stored: {why}"
    ) as caught:
        await make_durable(graph, saver).ainvoke({"seen": 0}, thread())
    assert caught.value.hint
    async with saver.connection() as connection:
        found = await connection.execute("SELECT 1 FROM checkpoint_writes WHERE channel = 'given'")
        assert await found.fetchall() == []
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "stopped"
    assert (await make_durable(graph, saver).ainvoke(None, thread()))["given"] == "corrected"
    assert ran == ["first", "put", "put"]


@pytest.mark.postgres
async def test_the_place_is_named_wherever_a_value_comes_from(saver: ThreadSaver) -> None:
    def graph(node: Callable[[Any], Any], send: Any = None) -> Graph:
        made: Graph = StateGraph(State)
        made.add_node("work", node)
        if send is None:
            made.add_edge(START, "work")
        else:
            made.add_node("plan", lambda _: {"seen": 1})
            made.add_edge(START, "plan")
            made.add_conditional_edges("plan", lambda _: [Send("work", send)], ["work"])
        return made

    cases: list[tuple[Graph, Any, str]] = [
        (graph(lambda _: {}), {"given": object()}, r"^The input cannot be stored: 'given' of it"),
        (graph(lambda _: interrupt(object())), {"seen": 1}, r"^The question that the node 'work' asked cannot"),
        (graph(lambda _: {}, object()), {"seen": 1}, r"^The input of another node that the node 'plan' sent cannot be"),
        (graph(lambda _: {"given": object()}, {"seen": 1}), {"seen": 1}, r"'given' that the node 'work' wrote cannot"),
    ]
    for number, (made, given, why) in enumerate(cases):
        with pytest.raises(ForeignTypeError, match=why):
            await make_durable(made, saver).ainvoke(given, thread(f"t{number}"))


CHANGED: dict[str, tuple[Any, Any, str]] = {
    "an exception": ([ValueError("no")], ["ValueError('no')"], "at '0', the exception ValueError will come back as"),
    "an ordered dict": (OrderedDict(a=1), {"a": 1}, "collections.OrderedDict will come back as dict"),
    "counts": (Counter("aa"), {"a": 2}, "collections.Counter will come back as dict"),
    "text of a class": ({"a": Word("w")}, {"a": "w"}, "kept_values.Word will come back as str"),
}


@pytest.mark.postgres
@pytest.mark.parametrize(("value", "kept", "text"), CHANGED.values(), ids=list(CHANGED))
async def test_what_would_change_is_said_once_when_it_is_written(
    saver: ThreadSaver, value: Any, kept: Any, text: str
) -> None:
    graph = asking(value)
    told: list[Any] = []
    async for event in make_durable(graph, saver).astream({"seen": 1}, thread(), stream_mode="custom"):
        told += [event["text"]] if event["type"] == "warned" else []
    assert len(told) == 1
    assert told[0].startswith("The field 'given' that the node 'put' wrote changes when it is read again:")
    assert text in told[0]
    out = await make_durable(graph, saver).ainvoke(Command(resume=1), thread())
    assert same(out["given"], kept)
    kept_events = [event for event in await stored_events(saver, "t") if event.get("type") == "warned"]
    assert [event.get("text") for event in kept_events] == told


@pytest.mark.postgres
async def test_a_graph_without_events_has_it_in_the_log(saver: ThreadSaver, caplog: pytest.LogCaptureFixture) -> None:
    app = asking({"logged": Word("w")}).compile(checkpointer=saver)
    for number in range(2):
        await app.ainvoke({"seen": 1}, thread(f"t{number}"))
    told = [record.message for record in caplog.records if "changes when it is read again" in record.message]
    assert len([text for text in told if "at 'logged'" in text and "that the node 'put' wrote" in text]) == 1


@pytest.mark.postgres
async def test_text_of_a_message_is_text(saver: ThreadSaver) -> None:
    graph = asking(AIMessage("words").text)
    events = [one async for one in make_durable(graph, saver).astream({"seen": 1}, thread(), stream_mode="custom")]
    assert not [event for event in events if event["type"] == "warned"]
    assert (await make_durable(graph, saver).ainvoke(Command(resume=1), thread()))["given"] == "words"


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["a\0b", LONE, "x" * 3000], ids=["NUL", "half of a pair", "too long"])
async def test_a_thread_that_cannot_be_named_is_refused(saver: ThreadSaver, name: str) -> None:
    durable = make_durable(asking(1), saver)
    plain = asking(1).compile(checkpointer=saver)
    for call in (
        durable.ainvoke({"seen": 1}, thread(name)),
        plain.ainvoke({"seen": 1}, thread(name)),
        plain.aget_state(thread(name)),
        plain.aupdate_state(thread(name), {"seen": 1}),
    ):
        with pytest.raises(UsageError, match="cannot be a thread's id"):
            await call


@pytest.mark.postgres
async def test_a_name_that_postgres_does_not_take_is_said_in_words(saver: ThreadSaver) -> None:
    graph: Graph = StateGraph(State)
    graph.add_node("a\0b", lambda _: {"seen": 1})
    graph.add_edge(START, "a\0b")
    with pytest.raises(ForeignTypeError, match="Postgres does not take the names"):
        await make_durable(graph, saver).ainvoke({"seen": 1}, thread())


@pytest.mark.postgres
async def test_metadata_questions_and_errors_hold_what_json_does_not(saver: ThreadSaver) -> None:
    def fails(_: Any) -> dict[str, Any]:
        interrupt({"question": f"a\0{LONE}", "score": math.nan, "about": Part(the_count=1)})
        raise ValueError(f"no\0{LONE}")

    graph: Graph = StateGraph(State)
    graph.add_node("fails", fails)
    graph.add_edge(START, "fails")
    app = make_durable(graph, saver)
    await app.ainvoke({"seen": 1}, thread(metadata={"score": math.nan, "word": f"a\0{LONE}"}))
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"
    assert "count" in row.questions[0]["question"]
    with pytest.raises(ValueError, match="no"):
        await app.ainvoke(Command(resume=f"\0{LONE}"), thread())
    row = await get_thread(saver, "t")
    assert row is not None and (row.status, row.error) == ("stopped", "no\ufffdx\ufffdy")
    metadata: Any = (await app.aget_state(thread())).metadata
    assert (metadata["score"], metadata["word"]) == ("nan", "ax\ufffdy")


@pytest.mark.parametrize(
    "value",
    [
        order(),
        [Size.BIG],
        dt.date(2026, 1, 1),
        Pair(1),
        deque([1]),
        Path("x"),
        [AIMessage("a", response_metadata={"s": Size.BIG})],
    ],
    ids=["model", "enum", "date", "named tuple", "deque", "path", "message"],
)
def test_graphs_of_ours_take_plain_values_only(value: Any) -> None:
    with pytest.raises(ForeignTypeError, match="no built-in type and no message"):
        PlainSerializer().dumps_typed(value)

"""Durability: a graph that knows nothing of us keeps its steps, asks, drains and goes on by its thread id."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.errors import GraphDrained
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from openmanus_graph import (
    Gate,
    ThreadBusyError,
    ThreadSaver,
    ask,
    build_plan_graph,
    get_thread,
    open_checkpointer,
    run,
)
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.threads import store_answers
from openmanus_graph.graphs.builders import USER_BUILDER
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.tools.registry import builtin
from tests.chains import Words, chain, thread

pytestmark = pytest.mark.postgres


async def test_a_step_that_was_kept_does_not_run_again(saver: ThreadSaver) -> None:
    ran: list[str] = []

    def first(state: Words) -> dict[str, Any]:
        ran.append("first")
        return {"seen": [state.get("task")]}

    def second(_: Words) -> dict[str, Any]:
        ran.append("second")
        if ran.count("second") == 1:
            raise RuntimeError("the wire broke")
        return {"seen": ["done"]}

    app = make_durable(chain(first=first, second=second), saver)
    with pytest.raises(RuntimeError, match="the wire broke"):
        await app.ainvoke({"task": "x", "seen": []}, thread())
    row = await get_thread(saver, "t")
    assert row is not None and (row.status, row.error) == ("stopped", "the wire broke")
    again = make_durable(chain(first=first, second=second).compile(), saver)
    out = await again.ainvoke(None, thread())
    assert out["seen"] == ["x", "done"]
    assert ran == ["first", "second", "second"]
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "completed"


async def test_only_one_runner_has_the_thread(saver: ThreadSaver) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def wait(_: Words) -> dict[str, Any]:
        inside.set()
        await leave.wait()
        return {}

    app = make_durable(chain(wait=wait), saver)
    running = asyncio.create_task(app.ainvoke({"task": "x"}, thread()))
    await inside.wait()
    with pytest.raises(ThreadBusyError):
        await app.ainvoke({"task": "x"}, thread())
    leave.set()
    await running


async def test_a_drain_ends_it_after_the_step_in_flight(saver: ThreadSaver) -> None:
    gate = Gate()

    def first(_: Words) -> dict[str, Any]:
        gate.request_drain("enough")
        return {"seen": ["first"]}

    app = make_durable(chain(first=first, second=lambda _: {"seen": ["second"]}), saver)
    with pytest.raises(GraphDrained):
        async for _ in app.astream({"task": "x"}, thread(), control=gate):
            pass
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "paused"
    assert (await app.ainvoke(None, thread()))["seen"] == ["first", "second"]


@pytest.mark.parametrize(
    ("typed", "received"), [("yes", "yes"), ("42", 42), ('{"ok": true}', {"ok": True}), ('"42"', "42"), ("", "")]
)
async def test_an_interrupt_gets_what_the_person_typed(saver: ThreadSaver, typed: str, received: Any) -> None:
    app = make_durable(chain(asks=lambda _: {"seen": [interrupt({"kind": "approve", "draft": "x"})]}), saver)
    await app.ainvoke({"task": "x"}, thread())
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"
    question = row.questions[0]
    assert question["kind"] == "answer"
    assert question["question"] == '{"kind": "approve", "draft": "x"}'
    out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": typed}}), thread())
    assert out["seen"] == [received]


@pytest.mark.parametrize("resume", ["go on", {"approved": True, "why": "fine"}, [1, 2]])
async def test_python_resumes_it_as_langgraph_does(saver: ThreadSaver, resume: Any) -> None:
    app = make_durable(chain(asks=lambda _: {"seen": [interrupt("ok?")]}), saver)
    await app.ainvoke({"task": "x"}, thread())
    assert (await app.ainvoke(Command(resume=resume), thread()))["seen"] == [resume]


async def test_ask_takes_its_own_kind_only(saver: ThreadSaver) -> None:
    app = make_durable(chain(asks=lambda _: {"seen": [ask("Name?", subtask="")]}), saver)
    await app.ainvoke({"task": "x"}, thread())
    row = await get_thread(saver, "t")
    assert row is not None
    identity = row.questions[0]["id"]
    await app.ainvoke(Command(resume={identity: {"kind": "step", "value": "go"}}), thread())
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"
    identity = row.questions[0]["id"]
    out = await app.ainvoke(Command(resume={identity: {"kind": "answer", "value": "42"}}), thread())
    assert out["seen"] == ["42"]


async def test_an_answer_left_by_another_process_is_taken_up(saver: ThreadSaver) -> None:
    app = make_durable(chain(asks=lambda _: {"seen": [interrupt("ok?")]}), saver)
    await app.ainvoke({"task": "x"}, thread())
    row = await get_thread(saver, "t")
    assert row is not None
    await store_answers(saver, "t", {row.questions[0]["id"]: {"kind": "answer", "value": "true"}})
    assert (await app.ainvoke(None, thread()))["seen"] == [True]


async def test_two_questions_of_one_node_are_asked_one_after_the_other(saver: ThreadSaver) -> None:
    app = make_durable(chain(asks=lambda _: {"seen": [interrupt("one?"), interrupt("two?")]}), saver)
    await app.ainvoke({"task": "x"}, thread())
    for value, asked in (("a", "one?"), ("b", "two?")):
        row = await get_thread(saver, "t")
        assert row is not None and [one["question"] for one in row.questions] == [asked]
        answer = {row.questions[0]["id"]: {"kind": "answer", "value": value}}
        out = await app.ainvoke(Command(resume=answer), thread())
    assert out["seen"] == ["a", "b"]


async def test_its_own_checkpointer_is_replaced_and_named(saver: ThreadSaver) -> None:
    mine = InMemorySaver()
    compiled = chain(a=lambda _: {"seen": [1]}).compile(checkpointer=mine)
    app = make_durable(compiled, saver)
    await app.ainvoke({"task": "x"}, thread())
    assert getattr(app, "replaced", None) == "InMemorySaver"
    assert compiled.checkpointer is mine
    assert mine.get_tuple(thread()) is None
    assert (await app.snapshot("t")).values["seen"] == [1]


async def test_a_functional_graph_keeps_its_tasks(saver: ThreadSaver) -> None:
    ran: list[int] = []

    @task
    async def double(number: int) -> int:
        ran.append(number)
        return 2 * number

    @entrypoint()
    async def work(number: int, *, previous: int | None = None) -> dict[str, Any]:
        doubled = await double(number)
        return {"sum": doubled + int(interrupt("and?")), "previous": previous}

    app = make_durable(work, saver)
    assert app.get_input_jsonschema()["type"] == "integer"
    events = [event async for event in app.astream(21, thread(), stream_mode="custom")]
    assert [(one["node"], one["preview"]) for one in events if one["type"] == "node_finished"] == [
        ("double", "42"),
        ("work", ""),
    ]
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"
    out = await app.ainvoke(Command(resume={row.questions[0]["id"]: {"kind": "answer", "value": "8"}}), thread())
    assert out == {"sum": 50, "previous": None}
    assert ran == [21]
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "completed"


async def test_a_state_that_is_a_pydantic_model_works(saver: ThreadSaver) -> None:
    class Given(BaseModel):
        task: str
        size: int = 0

    def measure(state: Given) -> dict[str, Any]:
        return {"size": len(state.task)}

    graph = StateGraph(Given)
    graph.add_node("measure", measure)
    graph.add_edge(START, "measure")
    app = make_durable(graph, saver)
    assert await app.ainvoke({"task": "four"}, thread()) == {"task": "four", "size": 4}


async def test_its_nodes_tokens_and_words_are_events(saver: ThreadSaver) -> None:
    model = GenericFakeChatModel(messages=iter([AIMessage("one two")]))

    async def think(state: MessagesState) -> dict[str, Any]:
        get_stream_writer()({"at": "thinking"})
        return {"messages": [await model.ainvoke(state["messages"])]}

    inner = StateGraph(MessagesState)
    inner.add_node("think", think)
    inner.add_edge(START, "think")
    outer = StateGraph(MessagesState)
    outer.add_node("team", inner.compile())
    outer.add_edge(START, "team")
    app = make_durable(outer, saver)
    given = {"messages": [HumanMessage("hello")]}
    events = [event async for event in app.astream(given, thread(), stream_mode="custom")]
    told = [(event["type"], event.get("node")) for event in events if event["type"] != "model_tokens"]
    assert told == [
        ("node_started", "team"),
        ("node_started", "team/think"),
        ("node_progress", "team/think"),
        ("node_finished", "team/think"),
        ("node_finished", "team"),
    ]
    assert "".join(event["text"] for event in events if event["type"] == "model_tokens") == "one two"
    assert events[-1]["preview"] == "one two"
    assert {event["thread_id"] for event in events} == {"t"}
    stored = [event.get("type") for event in await stored_events(saver, "t")]
    assert stored == ["run_started", *(kind for kind, _ in told), "run_finished"]


async def test_other_streams_are_langgraphs_own(saver: ThreadSaver) -> None:
    graph = chain(a=lambda _: {"seen": [1]}, b=lambda _: {"seen": [2]})
    plain, durable = graph.compile(), make_durable(graph, saver)
    asked: list[Any] = [
        {},
        {"stream_mode": "values"},
        {"stream_mode": ["updates", "values"]},
        {"stream_mode": "updates", "subgraphs": True},
        {"stream_mode": "values", "version": "v2"},
    ]
    for number, options in enumerate(asked):
        expected = [chunk async for chunk in plain.astream({"task": "x"}, **options)]
        found = [chunk async for chunk in durable.astream({"task": "x"}, thread(str(number)), **options)]
        assert found == expected, options


async def test_failures_and_questions_are_events(saver: ThreadSaver) -> None:
    def fails(_: Words) -> dict[str, Any]:
        if interrupt("go on?") != "no":
            raise ValueError("bad luck")
        return {}

    app = make_durable(chain(fails=fails), saver)
    events = [event async for event in app.astream({"task": "x"}, thread(), stream_mode="custom")]
    assert [event["type"] for event in events] == ["node_started", "question_asked", "node_finished"]
    assert events[1]["question"]["question"] == "go on?"
    assert events[2]["status"] == "waiting"
    events.clear()
    with pytest.raises(ValueError, match="bad luck"):
        async for event in app.astream(Command(resume="yes"), thread(), stream_mode="custom"):
            events.append(event)
    assert [event["type"] for event in events] == ["node_started", "node_finished"]
    assert events[1]["status"] == "failed"
    assert "bad luck" in events[1]["error"]


async def test_a_conversation_goes_on_in_its_thread(saver: ThreadSaver) -> None:
    def reply(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"that makes {len(state['messages'])}")]}

    graph = StateGraph(MessagesState)
    graph.add_node("reply", reply)
    graph.add_edge(START, "reply")
    app = make_durable(graph, saver)
    for text, count in (("one", 1), ("two", 3)):
        out = await app.ainvoke({"messages": [HumanMessage(text)]}, thread())
        assert out["messages"][-1].content == f"that makes {count}"


async def test_tools_of_ours_have_a_workspace_that_lasts_as_the_thread_does(saver: ThreadSaver, tmp_path: Path) -> None:
    seen: list[Any] = []

    async def write(_: Words) -> dict[str, Any]:
        for command in ("cd /tmp; echo one > $OLDPWD/n.txt", "pwd"):  # one shell for the whole run
            seen.append(await builtin("bash").ainvoke({"command": command}))
        return {}

    async def look(_: Words) -> dict[str, Any]:
        return {"seen": [interrupt("go on?"), (await builtin("list_files").ainvoke({"pattern": "*"}))["files"]]}

    app = make_durable(chain(write=write, look=look), saver)
    await app.ainvoke({"task": "x"}, thread())
    assert [one["exit_code"] for one in seen] == [0, 0]
    assert seen[1]["stdout"] == "/tmp\n"
    row = await get_thread(saver, "t")
    assert row is not None and row.workspace == str(tmp_path / "openmanus-work" / "t")
    (tmp_path / "elsewhere").mkdir()
    with contextlib.chdir(tmp_path / "elsewhere"):
        out = await app.ainvoke(Command(resume="yes"), thread())
    assert out["seen"] == ["yes", ["n.txt"]]
    assert not (tmp_path / "elsewhere" / "openmanus-work").exists()


async def test_a_graph_without_our_tools_makes_no_folder(saver: ThreadSaver, tmp_path: Path) -> None:
    app = make_durable(chain(a=lambda _: {"seen": [1]}), saver)
    await app.ainvoke({"task": "x"}, thread())
    assert not (tmp_path / "openmanus-work").exists()


@pytest.mark.parametrize("limit", [{"max_concurrency": 2}, {"configurable": {"max_parallel": 2}}])
async def test_nodes_at_the_same_time_are_limited(saver: ThreadSaver, limit: dict[str, Any]) -> None:
    running: list[int] = [0, 0]

    async def work(_: Any) -> dict[str, Any]:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.02)
        running[0] -= 1
        return {"seen": [1]}

    graph = StateGraph(Words)
    graph.add_node("work", cast("Any", work))
    graph.add_conditional_edges(START, lambda _: [Send("work", {})] * 6, ["work"])
    app = make_durable(graph, saver)
    config = {**limit, "configurable": {"thread_id": "t", **limit.get("configurable", {})}}
    out = await app.ainvoke({"task": "x"}, cast("Any", config))
    assert len(out["seen"]) == 6
    assert running[1] == 2


async def test_a_graph_of_ours_that_a_user_made_keeps_its_own_ways(saver: ThreadSaver) -> None:
    given = {"subtasks": [{"id": "q", "tool": "ask_human", "args": {"inquire": "Name?"}}]}
    app = make_durable(build_plan_graph(["ask_human"]), saver, reference={"file": "/x.py", "attribute": "graph"})
    await app.ainvoke({"plan": given}, thread())
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.graph == {"builder": USER_BUILDER, "graph": {"file": "/x.py", "attribute": "graph"}}
    answer = {row.questions[0]["id"]: {"kind": "answer", "value": "42"}}
    out = await app.ainvoke(Command(resume=answer), thread())
    assert out["results"]["q"]["output"] == {"answer": "42"}


async def test_a_durable_graph_inside_one_of_a_users_own(saver: ThreadSaver) -> None:
    async def plan(_: Words) -> dict[str, Any]:
        given = {"subtasks": [{"id": "q", "tool": "ask_human", "args": {"inquire": "Name?"}}]}
        out = await build_plan_graph(["ask_human"]).compile().ainvoke({"plan": given})
        return {"seen": [out["results"]["q"]["output"]]}

    app = make_durable(chain(plan=plan), saver)
    await app.ainvoke({"task": "x"}, thread())
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"
    answer = {row.questions[0]["id"]: {"kind": "answer", "value": "Ada"}}
    out = await app.ainvoke(Command(resume=answer), thread())
    assert out["seen"] == [{"answer": "Ada"}]


async def test_questions_of_nodes_side_by_side_are_answered_one_by_one(saver: ThreadSaver) -> None:
    graph = StateGraph(Words)
    for name in ("a", "b"):
        graph.add_node(name, cast("Any", lambda _, name=name: {"seen": [(name, interrupt(name))]}))
        graph.add_edge(START, name)
    app = make_durable(graph, saver)
    await app.ainvoke({"task": "x"}, thread())
    asked = {one["question"]: one["id"] for one in await app.questions("t")}
    assert set(asked) == {"a", "b"}
    await app.ainvoke(Command(resume={asked["a"]: {"kind": "answer", "value": "1"}}), thread())
    row = await get_thread(saver, "t")
    assert row is not None and row.status == "waiting"
    assert [one["question"] for one in row.questions] == ["b"]
    out = await app.ainvoke(Command(resume={asked["b"]: {"kind": "answer", "value": "2"}}), thread())
    assert [list(one) for one in out["seen"]] == [["a", 1], ["b", 2]]


def test_a_script_runs_its_own_graph_as_a_thread(database: str) -> None:
    out = run(chain(asks=lambda _: {"seen": [interrupt("ok?")]}), {"task": "x"}, thread_id="t", url=database)
    assert out["__interrupt__"][0].value == "ok?"

    async def row() -> Any:
        async with open_checkpointer(database) as saver:
            return await get_thread(saver, "t")

    found = asyncio.run(row())
    assert (found.status, found.questions[0]["question"]) == ("waiting", "ok?")

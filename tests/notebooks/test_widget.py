"""The widget without a page: what it sends one, and what it does with what a page says."""

from __future__ import annotations

import asyncio
import base64
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.lib.pretty import pretty
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from openmanus_graph import Settings, Stepper, ThreadSaver, build_manus_graph, build_plan_graph
from openmanus_graph.context import tool_context
from openmanus_graph.errors import UsageError
from openmanus_graph.notebook.panels import TABS
from openmanus_graph.notebook.widget import StepperWidget
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.shown import chart

pytestmark = pytest.mark.postgres

HOSTILE = '</text><script>alert("1")</script>]]>\x07'
Show = Callable[..., Awaitable[StepperWidget]]


@tool
async def echo(text: str) -> str:
    """Give a text back."""
    return text


@tool
async def fail(text: str) -> str:
    """Do only what is agreed to."""
    if text == "Yes.":
        return text
    raise RuntimeError(text)


PLAN = {
    "goal": f"Two texts {HOSTILE}",
    "subtasks": [
        {"id": "a", "tool": "echo", "args": {"text": HOSTILE}},
        {"id": "b", "tool": "echo", "args": {"text": "second"}},
        {"id": "c", "tool": "echo", "args": {"text": "${a}, ${b}"}},
    ],
}


@pytest.fixture
async def show(saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Show]:
    """Opens a stepper on a plan and shows it; closes both in the end."""
    monkeypatch.chdir(tmp_path)
    opened: list[StepperWidget] = []

    async def make(plan: dict[str, Any] | None = None, app: Any = None, **options: Any) -> StepperWidget:
        app = app or build_plan_graph(tools=[echo, fail]).compile(checkpointer=saver)
        given = {"plan": PLAN if plan is None else plan}
        stepper = await Stepper(app, **{"input": given, "thread_id": "t", **options})
        opened.append(StepperWidget(stepper))
        return opened[-1]

    yield make
    for widget in opened:
        widget.close()
        await widget.stepper.close()


def say(widget: StepperWidget, **said: Any) -> None:
    """Be the page."""
    widget._handle_custom_msg(said, [])  # pyright: ignore[reportPrivateUsage] # what ipywidgets calls


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


def stands(widget: StepperWidget, picture: str = "plan") -> dict[str, str]:
    """What each box of a picture is to be shown at."""
    return dict.fromkeys(classes(getattr(widget, picture)), "pending") | widget.states[picture]["states"]


def classes(picture: str) -> dict[str, list[str]]:
    """The classes of each box in a picture, which must be sound XML."""
    boxes = ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}g")
    return {one.attrib["data-key"]: one.attrib["class"].split() for one in boxes if "data-key" in one.attrib}


async def test_the_page_follows_from_step_to_step(show: Show) -> None:
    widget = await show()
    assert widget.head["status"] == "new"
    assert stands(widget)["a"] == "pending"
    say(widget, do="step")
    await until(lambda: widget.head["reason"] == "step")
    assert [one["name"] for one in widget.head["branches"] if one["status"] == "next"] == ["a", "b"]
    say(widget, do="step", subtask="b")
    await until(lambda: stands(widget)["b"] == "completed")
    assert stands(widget)["a"] == "next"
    assert stands(widget, "graph")["dispatcher"] == "running"
    say(widget, do="run")
    await until(lambda: widget.head["status"] == "completed" and widget.head["done"] == 3)
    assert widget.head["subtasks"] == 3


async def test_pictures_are_sent_once_and_afterwards_only_what_changed(show: Show) -> None:
    widget = await show()
    sent: list[set[str]] = []
    widget.observe(lambda change: sent.append({change["name"]}), ["graph", "plan", "states"])
    say(widget, do="run")
    await until(lambda: widget.head["status"] == "completed")
    assert stands(widget) == dict.fromkeys("abc", "completed")
    assert set.union(*sent) == {"states"}


async def test_what_is_shown_is_the_kernels(show: Show) -> None:
    widget = await show()
    before = widget.plan
    update = {"content": {"data": {"method": "update", "state": {"plan": "<script>", "head": {}}, "buffer_paths": []}}}
    widget._handle_msg({**update, "buffers": []})  # pyright: ignore[reportPrivateUsage] # what a comm calls
    assert widget.plan == before
    assert widget.head["status"] == "new"


async def test_a_message_in_another_thread_is_done_in_the_steppers(show: Show) -> None:
    widget = await show()
    thread = threading.Thread(target=say, args=(widget,), kwargs={"do": "run"})
    thread.start()
    await until(lambda: widget.head["status"] == "completed")
    thread.join()


async def test_a_box_is_run_to_and_stopped_at(show: Show) -> None:
    widget = await show()
    say(widget, do="break", picture="plan", key="b")
    await until(lambda: widget.head["breakpoints"] == ["subtask:b"])
    assert widget.states["plan"]["stops"] == ["b"]
    say(widget, do="to", picture="plan", key="c")
    await until(lambda: widget.head["reason"] == "breakpoint")
    say(widget, do="break", place="subtask:b")
    say(widget, do="to", picture="graph", key="dispatcher:echo")
    await until(lambda: widget.head["reason"] == "reached")
    assert widget.head["breakpoints"] == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"do": "break", "place": "subtask:bb"}, "There is no subtask 'bb' to stop at."),
        ({"do": "dance"}, "There is nothing to do by the name of 'dance'."),
        ({"do": "goto", "point": "soon"}, "was not understood"),
        ({"do": "goto", "point": float("inf")}, "was not understood"),
        ({"do": "step", "sent": {}}, "was not understood"),
        ({"do": "edit", "what": "plan", "value": "[" * 5000}, "was not understood"),
        ({"do": "edit", "what": "plan", "value": "goal: [1"}, "The plan is no YAML"),
        ({"do": "edit", "what": "plan", "value": ""}, "The plan is empty."),
        ({"do": "edit", "what": "value", "path": "", "value": "1"}, "is no edit"),
    ],
)
async def test_what_makes_no_sense_is_told_and_changes_nothing(show: Show, said: dict[str, Any], told: str) -> None:
    widget = await show()
    say(widget, **said)
    await until(lambda: widget.head["notice"])
    assert told in widget.head["notice"]["message"]
    assert widget.head["status"] == "new"
    say(widget, do="step")
    await until(lambda: widget.head["reason"] == "step")
    assert widget.head["notice"] == {}


async def test_what_goes_wrong_in_a_verb_is_an_error_of_the_page(show: Show) -> None:
    widget = await show()
    say(widget, do="to", place="nowhere")
    await until(lambda: widget.head["error"])
    assert "'nowhere'" in widget.head["error"]["message"]


async def test_a_failed_subtask_is_run_again_with_another_input_in_a_fork(show: Show) -> None:
    widget = await show({"goal": "Fail", "subtasks": [{"id": "a", "tool": "fail", "args": {"text": "No."}}]})
    say(widget, do="run")
    await until(lambda: widget.head["error"])
    assert widget.head["error"]["can"] == ["rerun", "edit"]
    assert stands(widget)["a"] == "failed"
    say(widget, do="tab", tab="edit")
    await until(lambda: widget.panel.get("tab") == "edit")
    assert widget.panel["suggested"] == "subtask.args"
    assert widget.panel["values"]["subtask.args"] == '{"text": "No."}'
    say(widget, do="rerun", path="subtask.args", value='{"text": "Yes."}')
    await until(lambda: widget.head["status"] == "completed")
    assert widget.head["thread"] == "t-2"
    assert widget.stepper.state["results"]["a"]["output"] == "Yes."


async def test_every_tab_shows_something_and_texts_stay_texts(show: Show) -> None:
    widget = await show()
    say(widget, do="run")
    await until(lambda: widget.head["status"] == "completed")
    for tab in TABS:
        say(widget, do="tab", tab=tab)
        await until(lambda tab=tab: widget.panel.get("tab") == tab)
        assert "error" not in widget.panel
        assert "<script" not in widget.panel.get("svg", "")
    say(widget, do="tab", tab="calls")
    await until(lambda: widget.panel["tab"] == "calls")
    assert [one["result"] for one in widget.panel["entries"]][:2] == [HOSTILE, "second"]
    assert "<script" not in widget.plan + widget.graph + widget.still()["image/svg+xml"]


async def test_a_call_that_is_asked_about_is_among_the_calls_and_in_both_pictures(
    show: Show, saver: ThreadSaver
) -> None:
    policy = {"rules": [{"tool": "echo", "action": "ask", "reason": "texts are asked about"}]}
    app = build_plan_graph(tools=[echo], policy=policy).compile(checkpointer=saver)
    widget = await show({"goal": "Ask", "subtasks": [{"id": "a", "tool": "echo", "args": {"text": "x"}}]}, app=app)
    say(widget, do="run")
    await until(lambda: widget.head["reason"] == "waiting")
    assert stands(widget)["a"] == "waiting"
    assert stands(widget, "graph") | {"dispatcher": "waiting", "dispatcher:echo": "waiting"} == stands(widget, "graph")
    say(widget, do="tab", tab="calls")
    await until(lambda: widget.panel.get("tab") == "calls")
    assert [(one["tool"], one["status"], one["args"]) for one in widget.panel["entries"]] == [
        ("echo", "waiting", '{"text": "x"}')
    ]
    [question] = widget.head["questions"]
    say(widget, do="answer", question=question["id"], value='edit {"txt": "y"}')
    await until(lambda: widget.head["error"])
    assert "unknown argument 'txt'" in widget.head["error"]["message"]
    assert [one["id"] for one in widget.head["questions"]] == [question["id"]]
    say(widget, do="answer", question=question["id"], value='edit {"text": "y"}')
    await until(lambda: widget.head["status"] == "completed")
    assert widget.stepper.state["results"]["a"]["output"] == "y"
    say(widget, do="tab", tab="files")
    await until(lambda: widget.panel.get("tab") == "files")
    say(widget, do="tab", tab="calls")
    await until(lambda: widget.panel.get("tab") == "calls")
    assert [(one["status"], one["args"]) for one in widget.panel["entries"]] == [("completed", '{"text": "y"}')]


async def test_a_picture_that_a_step_made_is_shown_among_the_files(show: Show, saver: ThreadSaver) -> None:
    async def draw(path: str, colour: str) -> str:
        """Draw a chart."""
        chart(tool_context().workspace / path, colour=colour)
        return path

    drawing = StructuredTool.from_function(coroutine=draw, metadata={"effect": "write"})
    app = build_plan_graph(tools=[drawing]).compile(checkpointer=saver)
    steps = [{"id": key, "tool": "draw", "args": {"path": "a.png", "colour": key}} for key in ("red", "blue")]
    steps[1]["needs"] = ["red"]
    widget = await show({"goal": "Draw", "subtasks": steps}, app=app)
    say(widget, do="run")
    await until(lambda: widget.head["status"] == "completed")
    say(widget, do="tab", tab="files")
    await until(lambda: widget.panel.get("tab") == "files")

    before, last = widget.panel["files"]
    file = Path(widget.panel["folder"], "a.png").read_bytes()
    assert (before["file"], before["image"]) == ("a.png", None)  # it shows something else by now
    assert last["image"] == f"data:image/png;base64,{base64.b64encode(file).decode()}"


async def test_a_thread_that_somebody_else_holds_is_taken_up_once_it_is_free(show: Show) -> None:
    first = await show()
    await first.stepper.step()
    second = await show()
    assert "already running" in second.head["error"]["message"]
    second.take_over([first.stepper])
    await until(lambda: second.head["status"] == "standing")
    assert second.head["error"] is None
    say(second, do="run")
    await until(lambda: second.head["status"] == "completed")


async def test_what_roles_decide_without_words_is_among_the_messages(
    show: Show, saver: ThreadSaver, tmp_path: Path
) -> None:
    with ScriptedServer() as provider:
        settings = Settings.load(
            home=tmp_path, llm_model="openai/scripted", llm_base_url=provider.base_url, llm_api_key="sk-scripted"
        )
        allowed = {"rules": [{"tool": "echo", "action": "allow"}]}
        app = build_manus_graph(settings=settings, tools=[echo], policy=allowed).compile(checkpointer=saver)
        subtask = {"id": "a", "goal": "say it", "agent": "executor", "done_when": "It was said.", "tools": ["echo"]}
        provider.add(
            Reply(tool_calls=[ToolUse("plan", {"why": "It must be done."})]),
            Reply(tool_calls=[ToolUse("submit_plan", {"goal": "Say it", "subtasks": [subtask]})]),
            Reply(tool_calls=[ToolUse("echo", {"text": "said"})]),
            Reply(tool_calls=[ToolUse("terminate", {"status": "success", "answer": "Said."})]),
            Reply(tool_calls=[ToolUse("verdict", {"verified": True, "why": "It was heard."})]),
        )
        widget = await show(app=app, input={"task": "Say it."})
        say(widget, do="tab", tab="messages")
        say(widget, do="run")
        await until(lambda: widget.head["status"] == "completed")
        await until(lambda: any(one["text"] == "Said." for one in widget.panel["entries"]))
    told = [(one["who"], one["text"]) for one in widget.panel["entries"]]
    for one in [
        ("coordinator", "plan: It must be done."),
        ("planner", "Say it\na: say it"),
        ("executor of a", 'calls echo {"text": "said"}'),
        ("verifier of a", "verified: It was heard."),
        ("ai", "Said."),
    ]:
        assert one in told
    assert all(text for _, text in told)


async def test_a_look_back_shows_how_it_was_and_runs_nothing(show: Show) -> None:
    widget = await show()
    await widget.stepper.run()
    point = next(one["number"] for one in widget.stepper.history if one["subtask"] == "b" and one["nodes"])
    say(widget, do="goto", point=point)
    await until(lambda: widget.head["cursor"] == point)
    assert stands(widget)["b"] == "completed"
    assert stands(widget)["c"] == "pending"
    assert widget.head["branches"] == []
    say(widget, do="head")
    await until(lambda: widget.head["cursor"] is None)
    assert stands(widget)["c"] == "completed"


class Handle:
    """Where a picture that stays was displayed."""

    def __init__(self) -> None:
        self.kept: list[dict[str, str]] = []

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.kept.append(data)


@pytest.mark.parametrize("in_page", [True, False], ids=["a click", "a cell"])
async def test_the_picture_that_stays_follows_and_is_marked(show: Show, in_page: bool) -> None:
    widget, handle = await show(), Handle()
    widget.keep(handle)  # type: ignore[arg-type]
    if in_page:
        say(widget, do="run")
    else:
        await widget.stepper.run()
    await until(lambda: any("t: completed" in one["text/plain"] for one in handle.kept))
    picture = handle.kept[-1]["image/svg+xml"]
    assert widget.mark in ElementTree.fromstring(picture).attrib["class"]
    assert [name for name in "abc" if "completed" not in classes(picture)[name]] == []


async def test_long_texts_are_cut_and_long_histories_have_their_newest_points(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmanus_graph.notebook.panels.MOST", 5)
    widget = await show({"goal": "Fail", "subtasks": [{"id": "a", "tool": "fail", "args": {"text": "x" * 100_000}}]})
    say(widget, do="run")
    await until(lambda: widget.head["error"])
    assert len(widget.head["error"]["message"]) < 5_000
    assert len(widget.head["text"]) < 5_000
    say(widget, do="tab", tab="history")
    await until(lambda: widget.panel.get("tab") == "history")
    assert len(classes(widget.panel["svg"])) == 5
    assert widget.panel["left_out"] == len(widget.stepper.history) - 5


def polish(_: MessagesState) -> dict[str, Any]:
    return {"messages": ["done"]}


async def test_a_graph_that_knows_nothing_of_us_is_shown_with_what_is_inside_of_it(show: Show) -> None:
    inner: Any = StateGraph(MessagesState)
    inner.add_node("polish", polish)
    inner.add_edge(START, "polish")
    graph: Any = StateGraph(MessagesState)
    graph.add_node("write", inner.compile())
    graph.add_edge(START, "write")
    graph.add_edge("write", END)
    widget = await show(app=graph.compile(checkpointer=InMemorySaver()), input={"messages": ["begin"]})
    assert widget.head["granularity"] == "super-step"
    assert widget.plan == ""
    assert "write:polish" in stands(widget, "graph")
    say(widget, do="run")
    await until(lambda: widget.head["status"] == "completed")
    say(widget, do="tab", tab="messages")
    await until(lambda: widget.panel.get("tab") == "messages")
    assert [one["text"] for one in widget.panel["entries"]] == ["begin", "done"]
    say(widget, do="back")
    await until(lambda: widget.head["error"])
    assert "InMemorySaver" in widget.head["error"]["message"]


async def test_a_widget_that_was_closed_hears_and_shows_nothing(show: Show) -> None:
    widget = await show()
    widget.close()
    before = dict(widget.head)
    await widget.stepper.step()
    await asyncio.sleep(0.2)
    assert widget.head == before


async def test_a_cell_that_ends_with_a_verb_shows_a_line(show: Show) -> None:
    widget = await show()
    stop = await widget.stepper.step()
    assert pretty(stop) == stop["text"] == "'dispatcher' ran. Next: a echo, b echo."


def test_it_needs_a_loop() -> None:
    with pytest.raises(UsageError, match="running event loop"):
        StepperWidget(Stepper.__new__(Stepper))

"""Reports: one page with everything of a run, inert whatever the run met, and never too large."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph

from openmanus_graph import Settings, ThreadSaver, build_manus_graph, build_plan_graph, get_thread
from openmanus_graph.drawing import log, svg_of
from openmanus_graph.drawing.artefacts import artefacts_in
from openmanus_graph.drawing.record import Record, record_of
from openmanus_graph.drawing.report import report_html
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.drawing.svgs import keys, parsed
from tests.engine.plans import plan, subtask
from tests.engine.sample_tools import TOOLS

pytestmark = pytest.mark.postgres

EVIL = (
    "<script>fetch('http://evil.test/')</script><img src=http://evil.test/x onerror=alert(1)>\"'><svg onload=alert(1)>"
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Colours(TypedDict, total=False):
    colour: str
    found: list[str]


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.meta: dict[str, str] = {}
        self.text = ""
        self.texts: list[str] = []
        self.title = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        given = {key: value or "" for key, value in attrs}
        self.handlers += [key for key in given if key.startswith("on")]
        self.addresses += [given[key] for key in ("src", "href", "xlink:href", "action", "srcset") if key in given]
        if tag == "meta" and "http-equiv" in given:
            self.meta[given["http-equiv"]] = given["content"]

    def handle_data(self, data: str) -> None:
        self.title = self.title or (data if self.open[-1:] == ["title"] else "")
        self.text += data
        self.texts.append(data)


async def recorded(saver: ThreadSaver, tmp_path: Path, *subtasks: dict[str, Any]) -> Record:
    """A finished run of a plan."""
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = {"plan": plan(*subtasks), "workspace": str(tmp_path)}
    await app.ainvoke(given, {"configurable": {"thread_id": "t"}})
    thread = await get_thread(saver, "t")
    assert thread is not None
    return await record_of(saver, thread, whole=True)


async def test_a_report_has_the_plan_the_timeline_the_outputs_and_the_files(saver: ThreadSaver, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# What was found")
    (tmp_path / "dot.png").write_bytes(PIXEL)
    steps = [subtask("a", args={"text": "found it"}), subtask("b", "fail", ["a"]), subtask("c", needs=["b"])]
    record = await recorded(saver, tmp_path, *steps)
    page = Page(report_html(record))

    assert page.tags.count("svg") == 2
    for part in ("Plan", "Timeline", "Subtasks", "Artefacts", "found it", "no luck", "blocked", "# What was found"):
        assert part in page.text
    assert [address[:22] for address in page.addresses] == ["data:image/png;base64,"]
    assert keys(parsed(svg_of(record))) == ["a", "b", "c"]
    assert record.states == {"a": "completed", "b": "failed", "c": "blocked"}
    assert record.timeline.critical == ("a", "b")


async def test_what_a_run_met_is_inert_in_its_report(saver: ThreadSaver, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(EVIL)
    (tmp_path / "<img src=x onerror=alert(1)>.txt").write_text("x")
    (tmp_path / "fake.png").write_text(EVIL)
    steps = [subtask("a", args={"text": EVIL}), subtask("b", "fail", args={"message": EVIL})]
    page = Page(report_html(await recorded(saver, tmp_path, *steps)))

    assert set(page.tags) & {"script", "iframe", "object", "embed", "link", "form", "base", "img"} == set()
    assert page.handlers == []
    assert page.addresses == []
    assert EVIL in page.text
    policy = page.meta["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy


async def test_what_can_no_longer_start_is_blocked_although_the_plan_still_waits(
    saver: ThreadSaver, tmp_path: Path
) -> None:
    ask = subtask("ask", "ask_human", args={"inquire": "Which?"})
    steps = [subtask("b", needs=["a"]), subtask("a", "fail"), ask, subtask("c", needs=["b", "ask"])]
    record = await recorded(saver, tmp_path, *steps, subtask("d", needs=["ask"]))

    assert record.states == {"a": "failed", "b": "blocked", "ask": "waiting", "c": "blocked", "d": "pending"}
    assert record.timeline.states == record.states


async def test_what_models_used_is_in_the_report_to_the_token(saver: ThreadSaver, tmp_path: Path) -> None:
    work = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"], "needs": ["say"], "done_when": "It is."}
    say = {"id": "say", "tool": "bash", "args": {"command": "printf a"}}
    with ScriptedServer() as provider:
        provider.add(
            Reply(tool_calls=[ToolUse("plan", {"why": "It must be done."})], usage=(1000, 20)),
            Reply(tool_calls=[ToolUse("submit_plan", {"goal": "it", "subtasks": [say, work]})], usage=(2000, 30)),
            Reply("Done: <b>it</b>.", tool_calls=[ToolUse("terminate", {"status": "success"})], usage=(3000, 40)),
            Reply(tool_calls=[ToolUse("verdict", {"verified": True, "why": "Seen."})], usage=(500, 5)),
        )
        settings = Settings.load(
            llm_model="openai/gpt-4o-mini", llm_base_url=provider.base_url, llm_api_key="sk-x", home=tmp_path / "home"
        )
        app = build_manus_graph(settings=settings).compile(checkpointer=saver)
        task = "Find out what it costs and " + "say it in many words, " * 20
        out = await app.ainvoke({"task": task, "workspace": str(tmp_path)}, {"configurable": {"thread_id": "t"}})
    assert out["status"] == "completed"
    thread = await get_thread(saver, "t")
    assert thread is not None
    record = await record_of(saver, thread, whole=True)
    page = Page(report_html(record))

    cost = sum(one.usage["cost_usd"] or 0.0 for one in record.spent)
    assert "In all 4 6,500 0 95 " in " ".join(page.texts)
    assert f"4 model calls, 6,595 tokens, ${cost:.4f}" in page.text
    assert "2 model calls, 3,545 tokens" in page.text
    assert "coordinator replied without words" in page.text
    assert "executor said" in page.text
    assert "checked: passed" in page.text
    assert page.title.endswith("say it in many words…")


async def test_a_graph_of_ones_own_is_told_by_its_nodes_and_its_state(saver: ThreadSaver) -> None:
    def boom(state: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(f"no <{state['colour']}>")

    graph: Any = StateGraph(Colours)
    graph.add_node("fetch", lambda state: {"found": ["one", "two\nlines"]})
    graph.add_node("boom", boom)
    for before, after in pairwise((START, "fetch", "boom", END)):
        graph.add_edge(before, after)
    app = make_durable(graph, saver)
    with pytest.raises(Exception, match="no <red>"):
        await app.ainvoke({"colour": "red"}, {"configurable": {"thread_id": "t"}})
    thread = await get_thread(saver, "t")
    assert thread is not None
    page = Page(report_html(await record_of(saver, thread, whole=True)))

    for part in ("What ended it", "fetch completed", "boom failed", "no <red>", "State", "colour: red", "two\n"):
        assert part in page.text
    assert page.tags.count("svg") == 1
    assert "Coordinator" not in page.text


async def test_a_long_run_makes_no_endless_report(
    saver: ThreadSaver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [subtask("long", args={"text": "x" * 50_000}), *(subtask(f"s{number}") for number in range(40))]
    record = await recorded(saver, tmp_path, *steps)
    said: Any = {"type": "model_finished", "subtask": "long", "role": "executor", "text": "y" * 9000}
    many = [{**said, "id": f"m{number}", "time": record.events[0].get("time")} for number in range(3000)]
    noisy = Record(**{**vars(record), "events": [*record.events, *many], "left_out": 12345})
    monkeypatch.setattr(log, "MOST_LOG", 200_000)

    text = report_html(noisy)
    assert len(text) < 500_000
    assert "more characters" in text
    assert "12,345 older events left out" in text
    assert "more.</p>" in text


async def test_a_message_that_a_resume_repeated_is_told_once(saver: ThreadSaver, tmp_path: Path) -> None:
    record = await recorded(saver, tmp_path, subtask("a"))
    said: Any = {
        "type": "model_finished",
        "id": "m",
        "subtask": "a",
        "role": "executor",
        "time": "2026-03-01T09:00:00+00:00",
    }
    again = Record(**{**vars(record), "events": [*record.events, {**said, "text": "first"}, {**said, "text": "last"}]})

    page = Page(report_html(again))
    assert "first" not in page.text
    assert "last" in page.text


def test_only_files_of_the_workspace_are_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    workspace = tmp_path / "work"
    (workspace / ".openmanus").mkdir(parents=True)
    (workspace / ".openmanus" / "undo").write_text("inside of the engine")
    (workspace / "link").symlink_to(tmp_path / "secret")
    (workspace / "real.txt").write_text("real")
    (workspace / "binary").write_bytes(b"\x00\xff")

    found, more = artefacts_in(str(workspace))
    assert [(one.path, one.text) for one in found] == [("binary", None), ("real.txt", "real")]
    assert more == 0
    assert artefacts_in(str(tmp_path / "gone")) == ([], 0)

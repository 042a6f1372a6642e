"""Pages: a report in a real browser: inert, readable in both themes, on a phone and on paper."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Plan
from openmanus_graph.checkpoints.progress import SubtaskProgress
from openmanus_graph.checkpoints.standing import Standing
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.checkpoints.usage import Spent
from openmanus_graph.drawing.record import Record
from openmanus_graph.drawing.report import report_html
from openmanus_graph.events import Usage
from openmanus_graph.questions import Question
from tests.browser import browser_page, chromium
from tests.conftest import Require
from tests.drawing.runs import at, done

pytestmark = pytest.mark.browser

EVIL = "<script>document.title='owned'</script><img src=http://evil.test/x onerror=document.title='owned'>"
LONG = "https://very-long.test/" + "without-any-space/" * 30

CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    return .2126 * r + .7152 * g + .0722 * b }
  const parts = c => c.match(/[\\d.]+/g).map(Number)
  const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor)
    if (c.length < 4 || c[3] > 0) return c } return [255, 255, 255] }
  const found = []
  for (const e of document.body.querySelectorAll('*:not(svg *)')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.getClientRects().length) continue
    const [a, b] = [parts(getComputedStyle(e).color), behind(e)].map(c => light(c.slice(0, 3)))
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05)
    if (ratio < 4.5) found.push([e.tagName, e.className, e.textContent.slice(0, 40), ratio])
  }
  return found
}"""


def a_record(folder: Path) -> Record:
    """A thread that met whatever it should not have, and still waits."""
    steps: list[dict[str, Any]] = [
        {"id": "a" * 64, "tool": "bash", "args": {"command": f"echo {EVIL}\n{LONG}"}, "goal": f"{EVIL} {LONG}"},
        {"id": "b", "tool": "bash", "args": {"command": "true"}, "needs": ["a" * 64], "goal": "שלום"},
        {"id": "c", "tool": "ask_human", "args": {"inquire": "Which?"}},
    ]
    plan = Plan.from_dict({"goal": f"{LONG} {EVIL}", "subtasks": steps})
    states: list[Any] = ["failed", "blocked", "waiting"]
    progress = [SubtaskProgress(one, state, None) for one, state in zip(plan.subtasks, states, strict=True)]
    events = [
        at(0, "run_started"),
        at(0, "subtask_started", "a" * 64),
        at(1, "model_finished", "a" * 64, id="m", role="executor", text=EVIL + LONG),
        done(2, "a" * 64, "failed", error=LONG, id="f"),
        at(2, "subtask_waiting", "c", id="w", question={"question": EVIL}),
    ]
    usage = Usage(calls=3, input_tokens=1_234_567, output_tokens=9, cached_tokens=0, cost_usd=1.5, cache_hits=0)
    (folder / "notes.txt").write_text(EVIL + LONG)
    now = datetime(2026, 3, 1, 9, tzinfo=UTC)
    question: Any = {"id": "q", "question": EVIL + LONG, "subtask": "c", "kind": "answer"}
    thread = Thread(
        thread_id="t",
        graph={},
        title=f"{LONG} {EVIL}"[:120],
        plan=None,
        plan_file=None,
        settings={},
        sandbox="auto",
        workspace=str(folder),
        status="waiting",
        progress={},
        questions=[Question(**question)],
        error=EVIL,
        created_at=now,
        updated_at=now,
        finished_at=None,
        runner=None,
        runner_since=None,
    )
    spent = [Spent("executor", "a" * 64, LONG, usage, 2.0)]
    return Record(thread, plan, progress, spent, Standing("ended", values={"task": EVIL}), events, 0, now.timestamp())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_report_can_be_read_and_cannot_act(tmp_path: Path, require: Require, scheme: Any, width: int) -> None:
    require(chromium() is not None, "There is no Chromium", "apt-get install chromium")
    files = tmp_path / "files"
    files.mkdir()
    path = tmp_path / "report.html"
    path.write_text(report_html(a_record(files)), encoding="utf-8")
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with browser_page(tmp_path / "profile", **options) as tab:
        tab.page.goto(path.as_uri())
        assert tab.page.title() != "owned"
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        tab.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.page.evaluate(CONTRAST) == []
        paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(13, 17, 23)")
        assert tab.asked == [path.as_uri()]
        assert tab.errors == []


def test_a_printed_report_is_whole_and_on_white(tmp_path: Path, require: Require) -> None:
    require(chromium() is not None, "There is no Chromium", "apt-get install chromium")
    path = tmp_path / "report.html"
    path.write_text(report_html(a_record(tmp_path)), encoding="utf-8")
    with browser_page(tmp_path / "profile", color_scheme="dark", viewport={"width": 800, "height": 1000}) as tab:
        tab.page.goto(path.as_uri())
        tab.page.emulate_media(media="print")
        assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        hidden = "[...document.querySelectorAll('details pre')].filter(one => !one.checkVisibility()).length"
        assert tab.page.evaluate(hidden) == 0
        shown = "[...document.querySelectorAll('svg,pre,.wide')]"
        cut = f"{shown}.filter(one => one.scrollHeight > one.clientHeight + 2).length"
        assert tab.page.evaluate(cut) == 0
        wide = "Math.max(...[...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().right))"
        assert tab.page.evaluate(wide) <= 800

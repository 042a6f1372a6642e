"""Sites: a person allows the actions of a request on one site as a whole, and on no other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_manus_graph, find_thread
from openmanus_graph.approval import approval_of
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.questions import answers_for
from openmanus_graph.tools.browser.site import origin_of
from openmanus_graph.tools.browser_use import browser_use
from tests.chromium.pages import PAGES
from tests.chromium.runs import AGENT, WORKER, act
from tests.chromium.site import Answer, Site
from tests.engine.plans import plan, thread
from tests.ledger.model import TurnsModel

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("chromium")]

SAVES = """<!doctype html><title>Saves</title><button onclick="fetch('/saved', {method: 'POST'})">Save</button>
<form action="$TO/saved"><button>Send</button></form>"""
FRAME = '<iframe src="$TO/inner"></iframe>'
ANSWERING = (
    WORKER.replace(
        "        await run",
        """        await run
        app = build_manus_graph(TurnsModel(turns=json.loads(turns)), tools=[browser_use], settings=settings)
        app = app.compile(checkpointer=saver)
        answer = Command(resume=answers_for(await app.questions("t"), ["yes for this site"]))
        await app.ainvoke(answer, {"configurable": {"thread_id": "t"}})""",
    )
    .replace("from tests", "from openmanus_graph.questions import answers_for\nfrom tests")
    .replace("import asyncio", "from langgraph.types import Command\nimport asyncio")
)
"""A process that lets an agent work until it asks, and answers it."""
OTHER = plan({"id": "agent", "goal": "save more", "agent": "executor", "tools": ["browser_use"]})
SECOND = plan(
    {"id": "agent", "goal": "save", "agent": "executor", "tools": ["browser_use"]},
    {"id": "more", "goal": "save more", "agent": "executor", "tools": ["browser_use"], "needs": ["agent"]},
)


@pytest.fixture
async def pages() -> AsyncIterator[Site]:
    made = Site(PAGES)
    await made.start()
    made.pages |= {"/saves": SAVES.replace("$TO", ""), "/saved": Answer("saved", 204)}
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def app_of(saver: ThreadSaver, turns: list[Any], home: Path, *sites: Site, **settings: Any) -> Any:
    given = Settings(allow_hosts=tuple(site.host for site in sites), home=home, **settings)
    return build_manus_graph(TurnsModel(turns=turns), tools=[browser_use], settings=given).compile(checkpointer=saver)


def save(ref: str = "x1") -> list[Any]:
    return act("click_element", ref=ref)


async def test_a_yes_for_the_site_is_for_all_its_calls_of_the_request(
    saver: ThreadSaver, pages: Site, tmp_path: Path
) -> None:
    other = Site({"/saves": pages.pages["/saves"], "/saved": Answer("", 204), "/inner": "inside"})
    await other.start()
    turns = [act("go_to_url", url=f"{pages.url}/saves"), save(), save(), act("go_to_url", url=f"{other.url}/saves")]
    app = app_of(saver, [*turns, save("x3")], tmp_path / "home", pages, other)
    try:
        await app.ainvoke({"plan": SECOND}, thread())
        (question,) = await app.questions("t")
        assert question["site"] == pages.url
        assert f"'yes for this site' allows such calls on {pages.url}" in question["reason"]
        await app.ainvoke(Command(resume=answers_for([question], ["yes for this site"])), thread())
        assert len(pages.requests("/saved")) == 2
        (question,) = await app.questions("t")
        assert question["site"] == other.url
        assert (await find_thread(saver, "t")).allowed_sites == [pages.url]
        allowed = [event for event in await stored_events(saver, "t") if event.get("type") == "site_allowed"]
        assert [(event.get("subtask"), event.get("text")) for event in allowed] == [("agent", pages.url)]

        await app.ainvoke(Command(resume=answers_for([question], ["yes"])), thread())  # and then the other subtask asks
        assert len(other.requests("/saved")) == 1
        assert len(pages.requests("/saved")) == 4
        (question,) = await app.questions("t")
        assert question["site"] == other.url
        await app.ainvoke(Command(resume=answers_for([question], ["no"])), thread())
        assert len(other.requests("/saved")) == 1

        await app.ainvoke({"plan": OTHER}, thread())  # another request
        assert (await find_thread(saver, "t")).allowed_sites == []
        (question,) = await app.questions("t")
        assert question["site"] == pages.url
        assert len(pages.requests("/saved")) == 4
    finally:
        other.stop()


async def test_where_an_action_may_reach_another_site_each_one_is_asked_about(
    saver: ThreadSaver, pages: Site, tmp_path: Path
) -> None:
    other = Site({"/inner": PAGES["/inner"], "/saved": Answer("", 204)})
    await other.start()
    pages.pages["/saves"] = (SAVES + FRAME).replace("$TO", other.url)
    turns = [act("go_to_url", url=f"{pages.url}/saves"), save(), save("x2"), act("send_keys", keys="Enter")]
    turns += [act("dialog", accept=True), act("upload_file", ref="x1", path="a.txt")]
    app = app_of(saver, turns, tmp_path / "home", pages, other)
    sites: list[Any] = []
    try:
        await app.ainvoke({"plan": AGENT}, thread())
        for answer in ("yes for this site", "no", "no", "no", "no"):
            questions = await app.questions("t")
            sites += [question.get("site") for question in questions]
            if not questions:
                break
            await app.ainvoke(Command(resume=answers_for(questions, [answer])), thread())
    finally:
        other.stop()
    assert sites == [pages.url, None, None, None]
    assert not other.requests("/saved")


async def test_a_rule_of_ones_own_asks_about_each_call(saver: ThreadSaver, pages: Site, tmp_path: Path) -> None:
    policy = {"rules": [{"tool": "browser_use", "args": {"action": "click_element"}, "action": "ask"}]}
    turns = [act("go_to_url", url=f"{pages.url}/saves"), save()]
    app = app_of(saver, turns, tmp_path / "home", pages, policy=policy)
    await app.ainvoke({"plan": AGENT}, thread())
    (question,) = await app.questions("t")
    assert "site" not in question
    with pytest.raises(UnknownQuestionError, match="has no site"):
        answers_for([question], ["yes for this site"])


@pytest.mark.kill
async def test_after_a_kill_the_site_is_still_allowed(
    database: str, saver: ThreadSaver, pages: Site, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    turns = [act("go_to_url", url=f"{pages.url}/saves"), save(), act("open_tab", url=f"{pages.url}/late")]
    turns += [act("switch_tab", tab_id=1), act("snapshot"), save("x1-2")]
    pages.pages["/late"] = lambda _: Answer("late", wait_s=0 if len(pages.requests("/late")) > 1 else 120)
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ANSWERING, database, json.dumps(turns), pages.host, str(home), json.dumps(AGENT),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    while not pages.requests("/late"):
        assert started.returncode is None
        await asyncio.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    await started.wait()
    before = len(pages.requests("/saved"))

    app = app_of(saver, turns, home, pages)
    out = await app.ainvoke(None, thread())

    assert not await app.questions("t")
    assert out["results"]["agent"]["status"] == "completed"
    assert (before, len(pages.requests("/saved"))) == (1, 2)


def test_a_site_is_scheme_host_and_port() -> None:
    told = ["https://Shop.example/x", "https://shop.example:443", "http://shop.example:8080/", "http://[::1]:1/"]
    assert [origin_of(url) for url in told] == [
        "https://shop.example", "https://shop.example", "http://shop.example:8080", "http://[::1]:1",
    ]  # fmt: skip
    assert not any(map(origin_of, ("about:blank", "http://a:b/", "data:,x", "blob:https://a.example/1")))


@pytest.mark.parametrize("text", ["yes for this site", "YES, site", "site", "ok for the site for the rest of this run"])
def test_a_yes_for_the_site_is_read_from_words_and_from_a_mapping(text: str) -> None:
    asked = {"tool": "browser_use", "site": "https://shop.example"}
    given = approval_of(text, asked)
    assert (bool(given), given.covers, given.plain()) == (True, "site", {"action": "approve", "covers": "site"})
    assert approval_of(given.plain(), asked) == given
    for wrong in ({"action": "approve", "covers": "world"}, {"action": "reject", "covers": "site"}):
        with pytest.raises(UnknownQuestionError):
            approval_of(wrong, asked)
    assert (approval_of("yes").covers, approval_of("yes").plain()) == ("call", {"action": "approve"})

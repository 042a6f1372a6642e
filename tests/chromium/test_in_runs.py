"""The browser in runs: who is asked about which action, what the ledger has, and what a kill leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langgraph.types import Command
from pydantic import SecretStr

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_manus_graph,
    delete_thread,
    find_thread,
    list_effects,
    open_checkpointer,
)
from openmanus_graph.checkpoints.encryption.cipher import cipher_of
from openmanus_graph.checkpoints.forking.fork import fork_thread
from openmanus_graph.checkpoints.history.history import thread_history
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.errors import EncryptionKeyError
from openmanus_graph.files.picture import picture_in
from openmanus_graph.nodes.dispatching.closing import Closing
from openmanus_graph.nodes.material.newest_output import LEFT_OUT, newest_only
from openmanus_graph.questions import answers_for
from openmanus_graph.sandbox.tree import TreeProcess, tree_below
from openmanus_graph.testing import ScriptedServer, ToolUse
from openmanus_graph.tools.browser.arguments import effect_of_action
from openmanus_graph.tools.browser.saved_state import (
    LARGEST,
    MOST_STATES,
    SavedState,
    SavedTab,
    StatePlace,
    load,
    save,
    state_file,
    state_folder,
)
from openmanus_graph.tools.browser.session import BrowserSession, ThreadBrowser
from openmanus_graph.tools.browser_use import browser_use
from openmanus_graph.tools.rebuild import available_tools
from tests.agent.replies import calls, done
from tests.agent.shown import pictures
from tests.chromium.pages import PAGES
from tests.chromium.runs import AGENT, WORKER, act
from tests.chromium.site import Answer, Site
from tests.engine.plans import thread
from tests.ledger.model import TurnsModel

NAME, SAVE = "e1", "x8"
"""Refs in the page `/form`, which are given in the page's order."""


@pytest.fixture
async def pages() -> AsyncIterator[Site]:
    made = Site(PAGES)
    await made.start()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def app_of(saver: ThreadSaver, turns: list[Any], site: Site, home: Path) -> tuple[Any, TurnsModel]:
    model = TurnsModel(turns=turns)
    settings = Settings(allow_hosts=(site.host,), home=home)
    return build_manus_graph(model, tools=[browser_use], settings=settings).compile(checkpointer=saver), model


def form(site: Site) -> list[Any]:
    return [act("go_to_url", url=f"{site.url}/form"), act("input_text", ref=NAME, text="Ada")]


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
async def test_a_form_waits_half_filled_in_until_a_person_agrees(
    saver: ThreadSaver, pages: Site, tmp_path: Path
) -> None:
    app, model = app_of(saver, [*form(pages), act("click_element", ref=SAVE)], pages, tmp_path / "home")
    await app.ainvoke({"plan": AGENT}, thread())
    (question,) = await app.questions("t")
    assert (question["kind"], question["args"]) == ("approve", {"action": "click_element", "ref": SAVE})
    assert not pages.requests("/echo")
    assert not await list_effects(saver, "t")

    out = await app.ainvoke(Command(resume=answers_for([question], ["yes"])), thread())

    assert out["results"]["agent"]["status"] == "completed"
    assert [asked.query["name"] for asked in pages.requests("/echo")] == ["Ada"]
    assert len(pages.requests("/form")) == 1
    (effect,) = await list_effects(saver, "t")
    assert (effect.tool, effect.status) == ("browser_use", "done")
    assert json.loads(effect.as_json()["args"]) == {"action": "click_element", "ref": SAVE}
    shown = [json.loads(text) for text in model.told[-3:]]
    assert [page["snapshot"] == LEFT_OUT for page in shown] == [True, True, False]
    assert shown[-1]["title"] == "Sent"


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
async def test_an_agent_that_sees_is_shown_the_screenshots_that_it_takes(
    saver: ThreadSaver, pages: Site, tmp_path: Path
) -> None:
    with ScriptedServer() as provider:
        chosen = {"llm_model": "openai/scripted", "llm_base_url": provider.base_url, "llm_api_key": "sk-scripted"}
        given: dict[str, Any] = {**chosen, "models": {"executor": {"images": True}}, "home": tmp_path / "home"}
        settings = Settings.load(allow_hosts=[pages.host], **given)
        app = build_manus_graph(tools=[browser_use], settings=settings).compile(checkpointer=saver)
        open_page = ToolUse("browser_use", {"action": "go_to_url", "url": f"{pages.url}/form"})
        provider.add(calls(open_page), calls(ToolUse("browser_use", {"action": "screenshot"})), *done("Seen."))
        out = await app.ainvoke({"plan": AGENT, "workspace": str(tmp_path / "ws")}, thread())

    assert out["results"]["agent"]["status"] == "completed"
    opened, seen = provider.requests[1].messages, provider.requests[2].messages
    assert pictures(opened) == []
    (picture,) = pictures(seen)
    shot = picture_in(tmp_path / "ws", "screenshots/screenshot-1.png")
    assert picture.size == (shot.width, shot.height)


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
async def test_a_form_stays_filled_in_while_the_database_fails(saver: ThreadSaver, pages: Site, tmp_path: Path) -> None:
    app, _ = app_of(saver, [*form(pages), act("click_element", ref=SAVE)], pages, tmp_path / "home")
    await app.ainvoke({"plan": AGENT}, thread())
    answer = Command(resume=answers_for(await app.questions("t"), ["yes"]))
    async with saver.pool.connection() as connection:
        await connection.execute("ALTER TABLE durations RENAME TO away")
    with pytest.raises(Exception, match="durations"):
        await app.ainvoke(answer, thread())
    async with saver.pool.connection() as connection:
        await connection.execute("ALTER TABLE away RENAME TO durations")

    out = await app.ainvoke(answer, thread())

    assert out["results"]["agent"]["status"] == "completed"
    assert [asked.query["name"] for asked in pages.requests("/echo")] == ["Ada"]
    assert len(pages.requests("/form")) == 1


@pytest.mark.browser
@pytest.mark.kill
@pytest.mark.usefixtures("chromium")
async def test_after_a_kill_the_browser_is_opened_from_what_was_saved(
    database: str, saver: ThreadSaver, pages: Site, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    turns = [act("go_to_url", url=f"{pages.url}/stored"), act("refresh")]
    turns += [act("open_tab", url=f"{pages.url}/late"), act("switch_tab", tab_id=1)]
    pages.pages["/late"] = lambda _: Answer("late", wait_s=0 if len(pages.requests("/late")) > 1 else 120)
    top = Path(__file__).parents[2]
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, database, json.dumps(turns), pages.host, str(home), json.dumps(AGENT),
        env={**os.environ, "PYTHONPATH": str(top)},
    )  # fmt: skip
    while not pages.requests("/late"):
        assert started.returncode is None
        await asyncio.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    await started.wait()
    app, model = app_of(saver, turns, pages, home)
    out = await app.ainvoke(None, thread())

    assert out["results"]["agent"]["status"] == "completed"
    told = "\n".join(model.told)
    assert "refs of before are void" in told
    assert "seen=1 / local / session" in told
    kept = list(home.glob("browser/*/*.json"))
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}


COUNTED = """<!doctype html><title>Counted</title><p></p><script>
localStorage.n = 1 + Number(localStorage.n || 0); document.querySelector('p').textContent = 'loads ' + localStorage.n;
</script>"""


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
async def test_a_fork_has_the_browser_as_it_was_at_its_point(saver: ThreadSaver, pages: Site, tmp_path: Path) -> None:
    pages.pages["/counted"] = COUNTED
    home = tmp_path / "home"
    saver.home = home
    turns = [act("go_to_url", url=f"{pages.url}/counted"), act("refresh"), act("snapshot"), act("refresh")]
    app, model = app_of(saver, turns, pages, home)
    await app.ainvoke({"plan": AGENT}, thread())
    assert [json.loads(text)["snapshot"] for text in model.told if "loads 3" in text] == ["loads 3"]
    called = [moment.point for moment in await thread_history(saver, "t") if "browser_use" in moment.nodes]
    assert len(called) == 4

    fork = await fork_thread(saver, f"t@{called[2].number}", new_id="fork")

    app, model = app_of(saver, turns, pages, home)
    await app.ainvoke(fork.given, thread("fork"))
    # Loaded twice when the point was saved, once when it was opened again, and once by the action.
    assert [json.loads(text)["snapshot"] for text in model.told if "void" in text] == ["loads 4"]
    files = [path.stem.split("-") for path in state_folder(home, "fork").iterdir()]
    assert sorted(after == "copied" for _, after, _ in files) == [False, True, True, True]
    assert {path.stat().st_mode & 0o777 for path in home.glob("browser/*/*")} == {0o600}
    await delete_thread(saver, await find_thread(saver, "fork"))
    assert not state_folder(home, "fork").exists()


def test_of_many_states_the_newest_are_kept(tmp_path: Path) -> None:
    names = [f"{number:032x}" for number in range(MOST_STATES + 5)]
    for number, name in enumerate(names):
        place = StatePlace(tmp_path / "b" / "t", "s", name, tuple(reversed(names[:number])))
        save(place.path, SavedState([SavedTab(f"https://example.com/{number}")]))
        os.utime(place.path, (number, number))
        place.remove_old()
        assert place.found() == place.path
    assert len(list((tmp_path / "b" / "t").iterdir())) == MOST_STATES
    for at in (len(names), 10):  # the next call, and one of an earlier point whose newest files are gone or came later
        earlier = tuple(reversed(names[:at]))
        found = StatePlace(tmp_path / "b" / "t", "s", "f" * 32, earlier[1:]).found()
        assert found is not None
        assert found.stem.endswith(earlier[0])
    assert StatePlace(tmp_path / "b" / "t", "s", "f" * 32, (names[1], names[0])).found() is None


@pytest.mark.parametrize(
    ("args", "effect"),
    [
        ({"action": "go_to_url", "url": "https://example.com"}, "read"),
        ({"action": "click_element", "ref": "e12"}, "read"),
        ({"action": "click_element", "ref": "e12-3"}, "read"),
        ({"action": "click_element", "index": 12}, "read"),
        ({"action": "click_element", "ref": "x12"}, "external"),
        ({"action": "click_element", "ref": "e12 x"}, "external"),
        ({"action": "click_element", "x": 1, "y": 2}, "external"),
        ({"action": "click_element"}, "external"),
        ({"action": "select_dropdown_option", "ref": "e12", "text": "red"}, "read"),
        ({"action": "select_dropdown_option", "ref": "x12", "text": "red"}, "external"),
        ({"action": "select_dropdown_option", "index": "x12", "text": "red"}, "external"),
        ({"action": "select_dropdown_option", "text": "red"}, "external"),
        ({"action": "refresh"}, "read"),
        ({"action": "go_back"}, "read"),
        ({"action": "input_text", "ref": "e1", "text": "a"}, "read"),
        ({"action": "send_keys", "keys": "Tab Shift+Tab PageDown"}, "read"),
        ({"action": "send_keys", "keys": "Enter"}, "external"),
        ({"action": "send_keys", "keys": "Control+Enter"}, "external"),
        ({"action": "send_keys", "keys": "words"}, "external"),
        ({"action": "dialog", "accept": False}, "read"),
        ({"action": "dialog", "accept": True}, "external"),
        ({"action": "upload_file", "ref": "e1", "path": "a"}, "external"),
        ({}, "external"),
    ],
)
def test_the_effect_follows_from_the_arguments_alone(args: dict[str, Any], effect: str) -> None:
    assert effect_of_action(args) == effect


def test_only_the_newest_snapshot_is_sent() -> None:
    def told(text: str, name: str = "browser_use") -> ToolMessage:
        return ToolMessage(text, tool_call_id="c", name=name)

    first, second = json.dumps({"title": "A", "snapshot": "one"}), json.dumps({"title": "B", "snapshot": "two"})
    third = json.dumps({"title": "B", "snapshot": ""})
    given = [told(first), told("Error: no"), told(second), told(third), told("x", "bash")]
    sent = newest_only(given, {"browser_use": browser_use})
    assert [str(message.content) for message in sent] == [
        json.dumps({"title": "A", "snapshot": LEFT_OUT}),
        *(str(message.content) for message in given[1:]),
    ]


def test_it_is_not_offered_without_a_chromium(tmp_path: Path) -> None:
    assert "browser_use" not in available_tools([], Settings(chromium=tmp_path / "none"))


@pytest.mark.parametrize("way", ["process", "store", "graph", "LangGraph's call"])
async def test_what_a_browser_kept_goes_with_its_thread(
    way: str, database: str, pages: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENMANUS_GRAPH_HOME", str(tmp_path / ("home" if way == "process" else "elsewhere")))
    settings = Settings(home=tmp_path / "home")
    async with open_checkpointer(database, settings=None if way in ("process", "graph") else settings) as saver:
        app, _ = app_of(saver, [], pages, tmp_path / "home")
        await app.ainvoke({"plan": AGENT}, thread())
        path = state_file(tmp_path / "home", "t", "s")
        save(path, SavedState([SavedTab("https://example.com")]))
        assert load(path) == SavedState([SavedTab("https://example.com")])
        if way == "LangGraph's call":
            await saver.adelete_thread("t")
        else:
            await delete_thread(saver, await find_thread(saver, "t"), settings=settings if way == "graph" else None)
        assert not path.parent.exists()


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
async def test_what_a_browser_kept_is_encrypted_as_its_thread_is(database: str, pages: Site, tmp_path: Path) -> None:
    keys = [new_key(), new_key()]
    settings = Settings(home=tmp_path / "home", encryption_key=SecretStr(keys[0]))
    async with open_checkpointer(database, settings=settings) as saver:
        turns = [act("go_to_url", url=f"{pages.url}/stored"), act("refresh")]
        app, model = app_of(saver, turns, pages, tmp_path / "home")
        out = await app.ainvoke({"plan": AGENT}, thread())
    assert out["results"]["agent"]["status"] == "completed"
    assert "seen=1 / local / session" in "\n".join(model.told)
    _, path = sorted((tmp_path / "home").glob("browser/*/*.json"), key=lambda path: path.stat().st_mtime_ns)
    assert not [word for word in (b"seen", b"stored", b"local", b"127.0.0.1") if word in path.read_bytes()]
    own, other = (cipher_of(Settings(encryption_key=SecretStr(key))) for key in keys)
    state = load(path, own)
    assert state is not None
    assert [tab.url for tab in state.tabs] == [f"{pages.url}/stored"]
    for cipher, why in ((other, "and .* has "), (None, "is not set")):
        with pytest.raises(EncryptionKeyError, match=why):
            load(path, cipher)
    path.rename(moved := path.with_name("other.json"))
    assert load(moved, own) is None


class Lasting:
    """A session that outlasts a question."""

    lasts = True
    closed = False

    async def aclose(self) -> None:
        self.closed = True


def test_what_stays_open_for_a_person_is_closed_with_the_loop_at_the_latest() -> None:
    subtask, shared, other = Lasting(), Lasting(), Lasting()

    async def main() -> None:
        closing = Closing("t")
        sessions = closing.sessions_of("s")
        await sessions.get("browser", lambda: opened(subtask))
        await closing.shared.get("browser", lambda: opened(shared))
        closing.suspend("s", sessions)
        await closing.wait()
        again = Closing("t")
        assert await again.sessions_of("s").get("browser", lambda: opened(other)) is subtask
        assert await again.shared.get("browser", lambda: opened(other)) is shared
        kept = again.sessions_of("s2")
        await kept.get("browser", lambda: opened(subtask))
        again.suspend("s2", kept)
        await again.wait()
        assert not subtask.closed

    async def opened(session: Lasting) -> Lasting:
        return session

    asyncio.run(main())
    assert (subtask.closed, shared.closed, other.closed) == (True, True, False)


def test_one_that_does_not_close_keeps_no_other_open(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Lasting):
        async def aclose(self) -> None:
            raise OSError("stuck")

    shared = Lasting()

    async def opened(session: Lasting) -> Lasting:
        return session

    async def main() -> None:
        closing = Closing("t")
        sessions = closing.sessions_of("s")
        await sessions.get("browser", lambda: opened(Stuck()))
        await closing.shared.get("browser", lambda: opened(shared))
        closing.suspend("s", sessions)
        await closing.wait()

    asyncio.run(main())
    assert shared.closed
    assert "A tool's session did not close: stuck" in caplog.text


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
def test_a_browser_that_stays_open_for_a_person_ends_with_the_loop(tmp_path: Path) -> None:
    async def main() -> tuple[Path, list[TreeProcess]]:
        closing = Closing("t")
        thread_browser, sessions = ThreadBrowser(Settings()), closing.sessions_of("s")

        async def shared() -> ThreadBrowser:
            return thread_browser

        async def session() -> BrowserSession:
            return BrowserSession(
                await closing.shared.get("browser", shared), StatePlace(tmp_path / "b" / "t", "s"), tmp_path
            )

        await (await sessions.get("browser", session)).ready()
        closing.suspend("s", sessions)
        await closing.wait()
        process = await thread_browser.process()
        assert process.alive
        return process.folder, tree_below(os.getpid())

    before = {process.pid for process in tree_below(os.getpid())}
    folder, tree = asyncio.run(main())
    opened = [process for process in tree if process.pid not in before]
    assert len(opened) > 4
    deadline = time.monotonic() + 60
    while any(process.running() for process in opened) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [process for process in opened if process.running()]
    assert not folder.exists()


def test_a_state_that_is_too_large_is_saved_without_its_storage(tmp_path: Path) -> None:
    path = tmp_path / "browser" / "t" / "s.json"
    large = {"origin": "https://a", "localStorage": [], "indexedDB": ["x" * LARGEST]}
    assert not save(path, SavedState([SavedTab("https://a", 5)], 0, {"cookies": [1], "origins": [large]}))
    found = load(path)
    assert found is not None
    assert found.storage == {"cookies": [1], "origins": [{"origin": "https://a", "localStorage": []}]}
    assert found.tabs == [SavedTab("https://a", 5)]
    path.write_text("{")
    assert load(path) is None

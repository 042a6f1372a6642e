"""Plug-ins besides agents and tools: search engines, event sinks, memory stores and embedders are found and used."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

from openmanus_graph import Settings, ThreadSaver, get_thread, stored_events
from openmanus_graph import event_sinks as sinks
from openmanus_graph.errors import SettingsError, ToolError
from openmanus_graph.event_sinks import EventSinks
from openmanus_graph.events import Event
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.loading.plugins import find_event_sinks, installed_plugins
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.plugins import embedder
from openmanus_graph.memory.protocols import Embedder, EpisodicMemory
from openmanus_graph.scope import Scope
from openmanus_graph.tools.web.address import resolve
from openmanus_graph.tools.web.engines import Query, engines_of
from openmanus_graph.tools.web_search import Cache, search
from tests.distributions import install

CODE = """
from openmanus_graph.tools.web.engines import Hit

class Library:
    name = "library"
    own_host = None

    async def search(self, query, downloader):
        return [Hit(f"{query.text} in the library", "https://example.com/", "A book.")]

class Brave(Library):
    name = "brave"

class Nameless:
    async def search(self, query, downloader):
        return []

seen = []

def sink(event):
    seen.append(event["type"])

async def later(event):
    seen.append(f"later {event['type']}")

class Collector:
    def __call__(self, event):
        seen.append(f"collected {event['type']}")

def broken(event):
    raise RuntimeError("the disk\\nis full")

class Episodes:
    def __init__(self):
        self.kept = []

    async def remember(self, episode):
        self.kept.append(episode)

    async def recall(self, task, *, limit=3, not_thread=""):
        return self.kept[:limit]

class Letters:
    name = "letters-1"
    dimensions = 2

    async def embed(self, texts):
        return [[float(len(text)), float(text.count("e"))] for text in texts]

def nothing():
    return 7
"""

pytestmark = pytest.mark.usefixtures("site")


def bring(folder: Path, module: str, group: str, points: str) -> None:
    install(folder, module, f"[openmanus_graph.{group}]\n{points.replace('here', module)}\n", CODE)


def names(environment: dict[str, str], **settings: Any) -> list[str]:
    return [engine.name for engine in engines_of(Settings(**settings), environment)]


async def test_a_search_engine_is_asked(tmp_path: Path) -> None:
    bring(tmp_path, "engines_a", "search_engines", "library = here:Library\nbrave = here:Brave")

    assert names({"TAVILY_API_KEY": "t"}) == ["tavily", "brave", "library", "duckduckgo"]
    assert names({}, search_engines=("library",)) == ["library"]
    with pytest.raises(ToolError, match="The engines are searxng, tavily, brave, library, duckduckgo"):
        names({}, search_engines=("google",))
    found = engines_of(Settings(search_engines=("library",)), {})
    name, hits = await search(Query("whales"), found, (), cache=Cache(), resolver=resolve)
    assert (name, hits[0].title) == ("library", "whales in the library")


def test_a_search_engine_that_is_none_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bring(tmp_path, "engines_b", "search_engines", "nameless = here:Nameless\nseven = here:nothing")

    assert names({}) == names({}) == ["duckduckgo"]
    assert caplog.messages == [
        "The search engine plug-in 'nameless' of engines_b 1.2 is left out: a Nameless is no Engine",
        "The search engine plug-in 'seven' of engines_b 1.2 is left out: a int is no Engine",
    ]


def graph() -> StateGraph[Any, Any, Any, Any]:
    def reply(state: MessagesState) -> dict[str, Any]:
        return {"messages": state["messages"][:0]}

    builder = StateGraph(MessagesState)
    builder.add_node("reply", reply)
    builder.add_edge(START, "reply")
    return builder


@pytest.mark.postgres
async def test_event_sinks_receive_the_events_of_a_run_and_a_broken_one_stops_nothing(
    tmp_path: Path, saver: ThreadSaver, caplog: pytest.LogCaptureFixture
) -> None:
    bring(
        tmp_path,
        "sinks_a",
        "event_sinks",
        "sink = here:sink\nlater = here:later\nclass = here:Collector\nbroken = here:broken\nseven = here:nothing",
    )
    app = make_durable(graph(), saver)

    await app.ainvoke({"messages": "hello"}, {"configurable": {"thread_id": "t"}})

    stored = [event.get("type") for event in await stored_events(saver, "t")]
    seen: list[str] = sys.modules["sinks_a"].seen  # pyright: ignore[reportAttributeAccessIssue] # made above
    assert stored == ["run_started", "node_started", "node_finished", "run_finished"]
    assert [line for line in seen if " " not in line] == stored
    assert [line for line in seen if line.startswith("later ")] == [f"later {kind}" for kind in stored]
    assert [line for line in seen if line.startswith("collected ")] == [f"collected {kind}" for kind in stored]
    assert caplog.messages == [
        "The event sink plug-in 'seven' of sinks_a 1.2 is left out: it is no function of one event but a int",
        "The event sink 'broken' is left out of the run of thread 't': RuntimeError: the disk is full",
    ]
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "completed"


def test_what_is_no_event_sink_is_left_out(tmp_path: Path) -> None:
    bring(tmp_path, "sinks_b", "event_sinks", "a = here:sink\nb = here:seen\nc = here:Episodes")

    assert list(find_event_sinks()) == ["a"]


def event(number: int) -> Event:
    return Event(type="warned", id=str(number), data={"n": [number]})


async def test_a_sink_has_events_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[Event] = []

    def changes(given: Event) -> None:
        assert "data" in given
        given["data"]["n"].append("changed")

    given = event(1)
    handed = EventSinks("t", {"changes": changes, "keeps": taken.append})
    handed.add(given)
    await handed.close()
    handed.add(event(2))

    assert [given, *taken] == [event(1), event(1)]
    assert caplog.messages == []


@pytest.mark.parametrize("blocks", [True, False])
async def test_a_sink_that_hangs_holds_up_neither_the_run_nor_its_end(
    blocks: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sinks, "CLOSE_SECONDS", 0.2)
    monkeypatch.setattr(sinks, "MOST_WAITING", 4)
    go_on, entered = threading.Event(), threading.Event()

    def hangs(_: Event) -> None:
        entered.set()
        go_on.wait(60)

    taken: list[Event] = []
    handed = EventSinks("t", {"hangs": hangs, "works": taken.append})
    handed.add(event(0))
    assert await asyncio.to_thread(entered.wait, 30)
    for number in range(1, 8 if blocks else 3):
        handed.add(event(number))
        while len(taken) <= number:
            await asyncio.sleep(0)
    await handed.close()
    go_on.set()

    assert [given.get("id") for given in taken] == [str(number) for number in range(8 if blocks else 3)]
    why = "4 events wait for it" if blocks else "it did not take the last events within 0.2 s"
    assert caplog.messages == [f"The event sink 'hangs' is left out of the run of thread 't': {why}"]


async def test_a_memory_store_is_used_by_its_name(tmp_path: Path) -> None:
    bring(tmp_path, "stores_a", "stores", "books = here:Episodes\nnone = here:Letters")
    memory = Memory()
    scope = Scope("t", Settings(memory_store="books"), None)

    episodes = memory.episodes(scope)

    assert isinstance(episodes, EpisodicMemory)
    assert type(episodes).__name__ == "Episodes"
    assert memory.episodes(scope) is episodes
    with pytest.raises(SettingsError, match=r"the memory store 'book'\. Did you mean 'books'\?"):
        Memory().episodes(Scope("t", Settings(memory_store="book"), None))


async def test_an_embedder_is_found_by_its_name(tmp_path: Path) -> None:
    bring(tmp_path, "embedders_a", "embedders", "letters = here:Letters\nnone = here:Episodes")

    found = embedder("letters")

    assert isinstance(found, Embedder)
    assert (found.name, found.dimensions) == ("letters-1", 2)
    assert await found.embed(["tree", "book"]) == [[4.0, 2.0], [4.0, 0.0]]
    with pytest.raises(SettingsError, match="The installed ones are: letters"):
        embedder("words")


@pytest.mark.postgres
def test_doctor_lists_every_group(tmp_path: Path, site: Path, database: str) -> None:
    points = "\n".join(
        f"[openmanus_graph.{group}]\n{name} = {module}"
        for group, name, module in (
            ("tools", "gone", "not_there_at_all:tool"),
            ("search_engines", "library", "all_a:Library"),
            ("event_sinks", "sink", "all_a:sink"),
            ("stores", "books", "all_a:Episodes"),
            ("embedders", "letters", "all_a:Letters"),
        )
    )
    install(tmp_path, "all_a", points, CODE)
    assert [(found.kind, found.name, found.problem) for found in installed_plugins()] == [
        ("tool", "gone", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("search engine", "library", None),
        ("event sink", "sink", None),
        ("store", "books", None),
        ("embedder", "letters", None),
    ]

    environment = {**os.environ, "PYTHONPATH": str(site), "DATABASE_URL": database}
    command = [sys.executable, "-m", "openmanus_graph", "doctor"]
    for options in ([], ["--json"]):
        done = subprocess.run([*command, *options], check=True, env=environment, capture_output=True, text=True)
        if options:
            listed = json.loads(done.stdout)["plugins"]
            assert {plugin["distribution"] for plugin in listed} == {"all_a 1.2"}
            assert len(listed) == 5
        else:
            assert "✓ search engine library: all_a 1.2\n" in done.stdout
            assert "✗ tool gone: all_a 1.2; ModuleNotFoundError: No module named 'not_there_at_all'\n" in done.stdout

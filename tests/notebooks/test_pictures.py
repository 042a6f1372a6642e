"""Pictures: what a cell shows is drawn offline, for graphs, plans, threads and their histories."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from IPython.core.interactiveshell import InteractiveShell
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from openmanus_graph import Plan, Settings, Thread, build_manus_graph, build_plan_graph
from openmanus_graph.drawing.plan import plan_diagram
from openmanus_graph.drawing.timeline import Timeline, TimelineRow
from openmanus_graph.drawing.tree import HistoryNode, HistoryTree

PLAN = {
    "goal": "Tidy up",
    "subtasks": [
        {"id": "look", "tool": "bash", "args": {"command": "ls"}},
        {"id": "sort", "tool": "bash", "args": {"command": "ls"}, "needs": ["look"]},
    ],
}


class State(TypedDict, total=False):
    text: str


def keep(state: State) -> State:
    return state


def graph() -> StateGraph[Any, Any, Any, Any]:
    built: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    built.add_node("read", keep)
    built.add_node("write", keep)
    built.add_edge(START, "read")
    built.add_edge("read", "write")
    built.add_edge("write", END)
    return built


def thread(**fields: Any) -> Thread:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    given: dict[str, Any] = {
        "thread_id": "tidy",
        "graph": {},
        "title": "Tidy up",
        "plan": PLAN,
        "plan_file": None,
        "settings": {},
        "sandbox": "auto",
        "workspace": None,
        "status": "waiting",
        "progress": {"done": 1, "total": 2},
        "questions": [],
        "error": None,
        "created_at": now,
        "updated_at": now,
        "finished_at": None,
        "runner": None,
        "runner_since": None,
    }
    return Thread(**{**given, **fields})


THINGS: dict[str, tuple[Callable[[], Any], str]] = {
    "a graph that is not compiled": (graph, "read → write"),
    "LangGraph's compiled graph": (lambda: graph().compile(), "read → write"),
    "the plan graph": (lambda: build_plan_graph(["bash"]), "dispatcher"),
    "a durable graph": (lambda: build_plan_graph(["bash"]).compile(), "dispatcher"),
    "the agent": (
        lambda: build_manus_graph("openai/none", ["bash"], agents={}, settings=Settings.model_construct()).compile(),
        "coordinator",
    ),
    "a plan": (lambda: Plan.from_dict(PLAN), "sort (bash)  ← look"),
    "a thread with a plan": (thread, "tidy: waiting, 1 of 2"),
    "a thread without one": (lambda: thread(plan=None, progress={}, status="stopped"), "tidy: stopped"),
    "a timeline": (lambda: Timeline((TimelineRow("look", "bash"),), "Tidy up"), "look"),
    "a history": (lambda: HistoryTree([HistoryNode("1", None, "the input")]), "the input"),
    "a diagram": (lambda: plan_diagram(Plan.from_dict(PLAN)), "2 subtasks"),
}


@pytest.fixture
def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nobody can be reached."""

    def refuse(*whom: Any, **_: Any) -> None:
        raise AssertionError(f"{whom} was to be reached")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def shown(shell: InteractiveShell, thing: Any) -> dict[str, str]:
    """What a cell would show, by media type."""
    formatter: Any = shell.display_formatter
    return formatter.format(thing)[0]


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize("name", THINGS)
def test_has_a_picture(name: str, shell: InteractiveShell) -> None:
    make, text = THINGS[name]

    bundle = shown(shell, make())

    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert text in bundle["text/plain"]
    picture = bundle["image/svg+xml"]
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "prefers-color-scheme:dark" in picture
    assert picture.count("http") == 1  # the name of SVG itself


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_can_be_chosen(theme: str, shell: InteractiveShell) -> None:
    shell.run_line_magic("config", f'Pictures.theme = "{theme}"')

    picture = shown(shell, Plan.from_dict(PLAN))["image/svg+xml"]

    assert "prefers-color-scheme" not in picture
    assert ("#0d1117" in picture) == (theme == "dark")


@pytest.mark.usefixtures("unplugged")
def test_a_graph_is_drawn_as_far_as_it_goes(shell: InteractiveShell) -> None:
    built: StateGraph[Any, Any, Any, Any] = StateGraph(State)
    assert "none" in shown(shell, built)["text/plain"]
    built.add_node("read", keep)
    built.add_node("write", keep)
    built.add_edge("read", "write")
    built.add_conditional_edges("write", lambda _: END, ["read", END])

    bundle = shown(shell, built)

    assert "START" in bundle["text/plain"]  # says what is missing
    assert all(f'data-key="{node}"' in bundle["image/svg+xml"] for node in ("read", "write"))


def test_loading_again_changes_nothing_and_unloading_takes_it_back(shell: InteractiveShell) -> None:
    before = len(shell.configurables)
    shell.run_line_magic("reload_ext", "openmanus_graph")
    assert len(shell.configurables) == before
    assert "image/svg+xml" in shown(shell, Plan.from_dict(PLAN))

    shell.run_line_magic("unload_ext", "openmanus_graph")

    assert list(shown(shell, Plan.from_dict(PLAN))) == ["text/plain"]
    assert len(shell.configurables) == before - 1


def test_loading_is_quick() -> None:
    program = """
import sys
from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "openmanus_graph")
print(*sorted({"langgraph", "litellm", "pydantic", "psycopg"} & set(sys.modules)))
"""

    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert ran.stdout.split() == []

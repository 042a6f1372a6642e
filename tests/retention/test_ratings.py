"""Ratings: each belongs to one request, and goes where its thread goes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from openmanus_graph.testing import Reply, ScriptedServer
from tests.cli.conftest import MakeProgram, Program

pytestmark = pytest.mark.postgres


@pytest.fixture
def agent(program_in: MakeProgram, database: str) -> Iterator[Program]:
    """An agent that answers at once."""
    with ScriptedServer(lambda _: Reply("Hello to you.")) as provider:
        yield program_in(DATABASE_URL=database, **provider.environment)


def ratings(program: Program, thread: str) -> list[dict[str, Any]]:
    return json.loads(program("threads", "show", thread, "--json")[0])["ratings"]


def test_a_rating_is_of_the_last_request_and_the_last_word_counts(agent: Program) -> None:
    agent("run", "hello", "--thread", "t", "-q")
    agent("threads", "rate", "t", "bad", "too", "short")
    agent("run", "--thread", "t", "and hello again", "-q")
    agent("threads", "rate", "t", "bad")
    agent("threads", "rate", "t", "good", "it", "greets")

    first, second = {"request": 1, "good": False, "why": "too short"}, {"request": 2, "good": True, "why": "it greets"}
    assert ratings(agent, "t") == [first, second]
    shown = agent("threads", "show", "t")[0]
    assert "rated:     request 1 bad: too short\nrated:     request 2 good: it greets\n" in shown

    agent("threads", "export", "t", "t.thread")
    agent("threads", "rerun", "t", "--as", "copy", "--no-run")
    assert ratings(agent, "copy") == [first, second]
    points = json.loads(agent("threads", "history", "t", "--json")[0])["points"]
    begun = [point["number"] for point in points if point["source"] == "input"][1]
    for point in range(begun, points[-1]["number"] + 1):
        agent("threads", "rerun", f"t@{point}", "--as", f"fork-{point}", "--no-run")
    kept = [ratings(agent, f"fork-{point}") for point in range(begun, points[-1]["number"] + 1)]
    assert kept[0] == [first], "the second request is done again"
    assert kept[-1] == [first, second], "it is over"
    assert all(one in ([first], [first, second]) for one in kept)
    agent("threads", "delete", "t", "--yes")
    agent("threads", "import", "t.thread", "--as", "back")
    assert ratings(agent, "back") == [first, second]


OWN = """
from typing import Any
from typing_extensions import TypedDict
from langgraph.graph import StateGraph

class State(TypedDict, total=False):
    request: float
    stage: str
    round: str
    status: int

def node(state: State) -> dict[str, Any]:
    return {"request": 1.5, "stage": "first", "round": "the last", "status": 7}

graph = StateGraph(State).add_node("node", node).add_node("more", node)
graph = graph.add_edge("__start__", "node").add_edge("node", "more")
"""


def test_a_graph_that_calls_its_own_fields_as_the_agent_does_is_rated_and_forked(agent: Program) -> None:
    (agent.folder / "own.py").write_text(OWN)
    agent("run", "--graph", "own.py:graph", "--thread", "t", "-q", "--input", '{"request": 1.5}')
    agent("threads", "rate", "t", "good")

    assert ratings(agent, "t") == [{"request": 1, "good": True, "why": ""}]
    agent("threads", "rerun", "t@2", "--as", "fork", "--no-run")
    agent("threads", "rerun", "t@3", "--as", "later", "--no-run")
    _, err = agent("threads", "export", "t", "t.jsonl", "--format", "sft", code=2)
    assert "1 thread in which no agent worked" in err

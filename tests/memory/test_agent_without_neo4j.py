"""Agent without its Neo4j: its run goes on with one warning, and what it taught reaches the server once it is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver, fault_points
from openmanus_graph.config.settings import account_name
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.memory.procedural.neo4j_templates import Neo4jTemplates
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.memory.ways import copying, run, without_driver
from tests.neo4j_server import Neo4jServer

pytestmark = pytest.mark.programs


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.chdir(tmp_path)
    with ScriptedServer() as server:
        yield server


async def waiting(saver: ThreadSaver) -> int:
    """How many lessons wait for the server."""
    return await WaitingLessons(saver, account_name()).count()


async def warmed(neo4j: Neo4jServer) -> None:
    """Have the server make its first write, which may take longer than a run waits for."""
    other = Neo4jTemplates(neo4j.uri, "somebody else", password=neo4j.password, limit_s=300.0)
    await other.remember(copying(), run())


async def ask(saver: ThreadSaver, provider: ScriptedServer, name: str, **settings: Any) -> tuple[str, list[str]]:
    """Have three steps done in a thread; its status and its warnings."""
    chosen = Settings.load(
        llm_model="openai/scripted", llm_base_url=provider.base_url, llm_api_key="sk-scripted", **settings
    )
    steps = [{"id": f"s{n}", "tool": "bash", "args": {"command": f"echo {n}"}} for n in range(3)]
    plan = {"goal": "count", "subtasks": steps}
    provider.add(Reply(tool_calls=[ToolUse("submit_plan", plan)]), Reply("Done."))
    app = build_manus_graph(settings=chosen).compile(checkpointer=saver)
    out = await app.ainvoke({"task": "Count the sheep on the hill"}, {"configurable": {"thread_id": name}})
    async with saver.connection() as connection:
        found = await connection.execute(
            "SELECT event->>'text' AS text FROM events WHERE thread_id = %s AND type = 'warned'", (name,)
        )
        rows = await found.fetchall()
    return out["status"], [str(row["text"]) for row in rows]


@pytest.mark.chaos
async def test_a_run_goes_on_without_its_templates_and_uses_them_once_they_are_back(
    neo4j: Neo4jServer, saver: ThreadSaver, provider: ScriptedServer
) -> None:
    place = {"neo4j_uri": neo4j.uri, "neo4j_password": neo4j.password}
    neo4j.stop()
    try:
        status, warnings = await ask(saver, provider, "down", **place)
    finally:
        neo4j.start()
    assert status == "completed"
    (warning,) = warnings
    assert warning.startswith(f"No Neo4j answers at {neo4j.uri!r}")
    assert warning.endswith("The run goes on without templates.")
    assert await waiting(saver) == 1

    again = Neo4jTemplates(neo4j.uri, account_name(), password=neo4j.password, limit_s=300.0)
    assert await again.templates() == []  # its first answer may take longer than a run waits for
    await warmed(neo4j)

    assert await ask(saver, provider, "up", **place) == ("completed", [])
    (known,) = await again.templates()
    assert (known.runs, known.worked, known.template.task) == (2, 2, "Count the sheep on the hill")
    assert await waiting(saver) == 0


@pytest.mark.chaos
async def test_a_server_that_goes_away_during_a_run_gets_its_lesson_later(
    neo4j: Neo4jServer, saver: ThreadSaver, provider: ScriptedServer
) -> None:
    place = {"neo4j_uri": neo4j.uri, "neo4j_password": neo4j.password}
    again = Neo4jTemplates(neo4j.uri, account_name(), password=neo4j.password, limit_s=300.0)
    assert await again.templates() == []
    fault_points.watch(lambda name: neo4j.kill() if name == "before waiting lesson" else None)
    try:
        status, warnings = await ask(saver, provider, "during", **place)
    finally:
        fault_points.watch(None)
        neo4j.start()
    assert status == "completed"
    (warning,) = warnings
    assert warning.startswith(f"No Neo4j answers at {neo4j.uri!r}")
    assert warning.endswith("The way it was done waits, and is stored by a later run.")
    assert await waiting(saver) == 1

    assert await again.templates() == []
    await warmed(neo4j)
    assert (await ask(saver, provider, "after", **place))[0] == "completed"
    (known,) = await again.templates()
    assert (known.runs, known.worked, await waiting(saver)) == (2, 2, 0)


async def test_without_the_driver_a_run_goes_on_and_says_how_to_install_it(
    saver: ThreadSaver, provider: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_driver(monkeypatch)
    status, warnings = await ask(saver, provider, "bare", neo4j_uri="bolt://localhost:7687")

    assert status == "completed"
    (warning,) = warnings
    assert "the package 'neo4j' is not installed" in warning
    assert "openmanus-graph[neo4j]" in warning
    assert await waiting(saver) == 1


async def test_a_silent_server_is_waited_for_once(saver: ThreadSaver, provider: ScriptedServer, silent: str) -> None:
    status, warnings = await ask(saver, provider, "silent", neo4j_uri=silent)

    assert status == "completed"
    (warning,) = warnings
    assert warning.startswith(f"No Neo4j answers at {silent!r}: no answer in 5 s. ")
    assert warning.endswith("The run goes on without templates.")
    status, warnings = await ask(saver, provider, "silent still", neo4j_uri=silent)
    assert (status, len(warnings)) == ("completed", 1)
    assert "within the last minute" in warnings[0]
    assert await waiting(saver) == 2


async def test_wrong_credentials_and_addresses_are_a_warning_too(
    neo4j: Neo4jServer, saver: ThreadSaver, provider: ScriptedServer
) -> None:
    wrong = await ask(saver, provider, "wrong", neo4j_uri=neo4j.uri, neo4j_password="not-it")
    odd = await ask(saver, provider, "odd", neo4j_uri="localhost:7687")

    assert wrong[0] == odd[0] == "completed"
    assert len(wrong[1]) == len(odd[1]) == 1
    assert "does not let the user 'neo4j' in" in wrong[1][0]
    assert "not-it" not in wrong[1][0]
    assert "NEO4J_URI cannot be 'localhost:7687'" in odd[1][0]
    assert await waiting(saver) == 2


@pytest.mark.parametrize("uri", ["localhost:7687", "bolt://localhost:7687"])
async def test_a_given_plan_teaches_later_too(
    saver: ThreadSaver, provider: ScriptedServer, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """Its run asks memory for nothing, and so hears at the end that an address is none or the driver is missing."""
    without_driver(monkeypatch)
    chosen = Settings.load(
        llm_model="openai/scripted", llm_base_url=provider.base_url, llm_api_key="sk-scripted", neo4j_uri=uri
    )
    provider.add(Reply("Done."))
    steps = [{"id": f"s{n}", "tool": "bash", "args": {"command": f"echo {n}"}} for n in range(3)]
    app = build_manus_graph(settings=chosen).compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "given"}}
    given = {"plan": {"goal": "Count the sheep", "subtasks": steps}}
    warnings = [
        str(event["text"])
        async for event in app.astream(given, config, stream_mode="custom")
        if event["type"] == "warned"
    ]

    assert [text.endswith("The way it was done waits, and is stored by a later run.") for text in warnings] == [True]
    assert await waiting(saver) == 1

"""Lesson commands: the program counts what waits for Neo4j, brings it there, and forgets it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from openmanus_graph import open_checkpointer
from openmanus_graph.memory.procedural.lesson import Lesson
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
from tests.cli.conftest import PATIENCE_S, MakeProgram, Program, program_in
from tests.memory.ways import copying, run, searching
from tests.neo4j_server import Neo4jServer

__all__ = ["program_in"]

pytestmark = [pytest.mark.postgres, pytest.mark.programs]
NOWHERE = "bolt://127.0.0.1:1"


def in_outbox(database: str, use: Callable[[WaitingLessons], Awaitable[Any]]) -> Any:
    async def go() -> Any:
        async with open_checkpointer(database) as saver:
            return await use(WaitingLessons(saver, "me"))

    return asyncio.run(go())


def put(database: str, *threads: str) -> None:
    """Let a run of each thread wait, the first done in a way of its own."""

    async def each(lessons: WaitingLessons) -> None:
        for number, thread in enumerate(threads):
            way = copying() if number else searching()
            await lessons.put(Lesson(run(number, thread=thread), way.key, way))

    in_outbox(database, each)


def waiting(database: str) -> int:
    return int(in_outbox(database, lambda lessons: lessons.count()))


@pytest.fixture
def program(program_in: MakeProgram, database: str) -> Program:
    return program_in(DATABASE_URL=database, OPENMANUS_GRAPH_OWNER="me", OPENMANUS_GRAPH_VECTOR_INDEX="none")


def test_the_status_counts_what_waits_and_says_what_to_do(program: Program, database: str) -> None:
    assert "Neo4j" not in program("memory", "status")[0]
    put(database, "a", "b")
    assert "Waiting for Neo4j: 2 lessons of runs; set NEO4J_URI to where it answers\n" in program("memory", "status")[0]

    program.environment |= {"NEO4J_URI": NOWHERE, "NEO4J_PASSWORD": "hidden-word"}
    assert "Waiting for Neo4j: 2 lessons of runs; bring them there with: " in program("memory", "status")[0]
    out, err = program("memory", "status", "--deliver")
    assert "Waiting for Neo4j: 2 lessons" in out
    assert f"Warning: No Neo4j answers at '{NOWHERE}'" in err
    out, _ = program("memory", "status", "--deliver", "--json")
    found = json.loads(out)
    assert found["lessons_waiting"] == 2
    assert found["lessons_error"].startswith(f"No Neo4j answers at '{NOWHERE}'")
    assert "hidden-word" not in out + err


def test_what_waits_is_forgotten_with_its_thread_and_its_owner(program: Program, database: str) -> None:
    put(database, "a", "b", "c")
    program("memory", "forget", "--owner", "you", "--yes")
    out, _ = program("memory", "forget", "--thread", "a", "--yes", "--json")
    assert (json.loads(out)["templates"], waiting(database)) == (1, 2)
    out, _ = program("memory", "forget", "--thread", "b", "--yes", "--json")
    assert (json.loads(out)["templates"], waiting(database)) == (0, 1), "another thread has done it so as well"
    in_outbox(database, lambda lessons: lessons.put(Lesson(run(9, thread="by rules"), "gone")))
    out, _ = program("memory", "forget", "--owner", "me", "--yes", "--json")
    assert (json.loads(out)["templates"], waiting(database)) == (1, 0)

    put(database, "a", "b")
    out, _ = program("memory", "forget", "--everywhere", "--matching", "whales", "--yes", "--json")
    assert (json.loads(out)["templates"], waiting(database)) == (0, 2), "that was the value of a parameter"
    out, _ = program("memory", "forget", "--everywhere", "--matching", "report", "--yes", "--json")
    assert (json.loads(out)["templates"], waiting(database)) == (1, 1)


def test_what_waits_goes_although_the_server_does_not_answer(program: Program, database: str) -> None:
    put(database, "a", "b")
    program.environment |= {"NEO4J_URI": NOWHERE}
    _, err = program("memory", "forget", "--thread", "a", "--yes", code=1)

    assert "No Neo4j answers" in err
    assert waiting(database) == 1


def test_what_waits_is_brought_to_the_server_and_rated_there(
    program: Program, database: str, neo4j: Neo4jServer
) -> None:
    put(database, "a", "b", "c")
    program.environment |= {"NEO4J_URI": neo4j.uri, "NEO4J_PASSWORD": neo4j.password}
    assert "Waiting" not in program("memory", "status", "--deliver")[0]

    found = json.loads(program("memory", "templates", "list", "--json")[0])
    assert {one["key"]: one["runs"] for one in found} == {searching().key: 1, copying().key: 2}
    put(database, "a", "b", "c")
    program("memory", "forget", "--thread", "b", "--yes")
    found = json.loads(program("memory", "templates", "list", "--json")[0])
    assert {one["key"]: one["runs"] for one in found} == {searching().key: 1, copying().key: 1}
    put(database, "a", "b", "c")
    program("memory", "forget", "--owner", "me", "--yes")
    assert program("memory", "templates", "list", "--json")[0] == "[]\n"
    assert waiting(database) == 0


@pytest.mark.chaos
def test_a_run_of_a_template_counts_also_where_the_server_dies_meanwhile(
    program: Program, database: str, neo4j: Neo4jServer
) -> None:
    program.environment |= {"NEO4J_URI": neo4j.uri, "NEO4J_PASSWORD": neo4j.password}
    wait = "touch began; until [ -e go ]; do sleep 0.1; done"
    plan = program.plan(*({"id": name, "tool": "bash", "args": {"command": wait}} for name in ("a", "b", "c")))
    out, _ = program("memory", "templates", "import", plan, "--json")
    key = str(json.loads(out)["key"])
    (program.folder / "ws").mkdir()
    options = ("--workspace", "ws", "--thread", "t", "--sandbox", "none")
    process = program.start("memory", "templates", "run", key, *options)
    limit = time.monotonic() + PATIENCE_S
    while not (program.folder / "ws" / "began").exists():
        assert time.monotonic() < limit
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    neo4j.kill()
    try:
        (program.folder / "ws" / "go").touch()
        _, err = process.communicate(timeout=PATIENCE_S)
    finally:
        neo4j.start()
    assert process.returncode == 0, err
    assert "The run waits, and counts once it answers." in err
    assert waiting(database) == 1
    assert program("threads", "rate", "t", "bad")[1].startswith("Rated. See what it changes with:")

    (one,) = json.loads(program("memory", "templates", "list", "--json")[0])
    assert (one["key"], one["runs"], one["worked"]) == (key, 2, 1)

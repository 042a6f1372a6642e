"""Removal: what is forgotten everywhere is in no store and no file any more, but where a store cannot help it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.memory.removal import Remover
from openmanus_graph.memory.semantic.choice import FOLDER
from openmanus_graph.memory.semantic.passage import Passage
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.passages import Passages, Selection
from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.replies import plans
from tests.bytes_in_files import files_holding
from tests.cli.conftest import MakeProgram, Program, program_in
from tests.conftest import Require
from tests.engine.plans import subtask
from tests.memory.conftest import NO_CHROMA
from tests.neo4j_server import Neo4jServer

__all__ = ["program_in"]

pytestmark = pytest.mark.postgres

MARKER = "zqxmarker7431"
"""A word that nothing else has."""
ELSEWHERE = "Left as it is: recordings, exports, logs and backups that are files elsewhere; cached replies of "


@pytest.fixture
def program(program_in: MakeProgram, database: str) -> Program:
    return program_in(DATABASE_URL=database, OPENMANUS_GRAPH_OWNER="me", OPENMANUS_GRAPH_VECTOR_INDEX="none")


def ran(program: Program, name: str, command: str = "echo blue > a.txt", *options: str, goal: str = "a test") -> None:
    content = {"goal": goal, "subtasks": [subtask("a", "bash", args={"command": command})]}
    (program.folder / "plan.yaml").write_text(yaml.safe_dump(content))
    program("run", "--plan", "plan.yaml", "--thread", name, "--quiet", "--sandbox", "none", *options)
    (program.folder / "plan.yaml").unlink()


def imported(program: Program, goal: str, *options: str) -> None:
    steps = [subtask(name, "bash", args={"command": f"echo {goal} {name}"}) for name in ("a", "b")]
    (program.folder / "way.yaml").write_text(yaml.safe_dump({"goal": goal, "subtasks": steps}))
    program("memory", "templates", "import", "way.yaml", *options)
    (program.folder / "way.yaml").unlink()


def threads(program: Program) -> set[str]:
    return {thread["thread_id"] for thread in json.loads(program("threads", "list", "--json")[0])}


def templates(program: Program, *options: str) -> list[str]:
    return [one["task"] for one in json.loads(program("memory", "templates", "list", "--json", *options)[0])]


def remembered(database: str, thread: str, task: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO openmanus_graph.episodes (thread_id, request, task, outcome) VALUES (%s, 9, %s, 'completed')",
            (thread, task),
        )


def test_all_of_an_owner_goes_and_nothing_of_another(program: Program, database: str) -> None:
    (program.folder / "guide.md").write_text("Whales sing.\n")
    for owner in ("me", "anna"):
        program("memory", "add", "guide.md", "--owner", owner)
        imported(program, f"Sing for {owner}", "--owner", owner)
        ran(program, f"of-{owner}", "true", "--owner", owner)
        remembered(database, f"of-{owner}", "Sing")
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO openmanus_graph.threads (thread_id, graph) VALUES ('old', '{}')")
        connection.execute(
            "INSERT INTO openmanus_graph.tool_results (owner, key, output, expires_at)"
            " SELECT owner, 'k', '1', 'infinity' FROM unnest('{me,anna}'::text[]) AS o (owner)"
        )
    remembered(database, "old", "Sing")

    _, err = program("memory", "forget", "--owner", "anna", code=130)
    assert "Forget 1 passage, 1 episode and 1 template, all of anna?" in err
    assert program("memory", "forget", "--owner", "anna", "--yes")[1] == (
        "Forgot 1 passage, 1 episode and 1 template.\n"
    )
    assert templates(program, "--owner", "anna") == []
    assert templates(program) == ["Sing for me"]
    assert program("memory", "status")[0].startswith("me: 1 passage")
    assert program("memory", "status", "--owner", "anna")[0].startswith("anna: 0 passages")
    with psycopg.connect(database) as connection:
        left = connection.execute("SELECT thread_id FROM openmanus_graph.episodes ORDER BY 1").fetchall()
        results = connection.execute("SELECT owner FROM openmanus_graph.tool_results").fetchall()
    assert left == [("of-me",), ("old",)], "what has no owner is not hers"
    assert results == [("me",)]
    assert threads(program) == {"of-me", "of-anna", "old"}
    gone = json.loads(program("memory", "forget", "--owner", "anna", "--everywhere", "--yes", "--json")[0])
    assert (gone["threads"], threads(program)) == (1, {"of-me", "old"})


async def test_threads_that_fit_go_with_all_there_is_of_them(program: Program, saver: ThreadSaver) -> None:
    (program.folder / "own").mkdir()
    ran(program, "one", goal="Sing of whales")
    ran(program, "two", goal="Sing of eels")
    ran(program, "three", "true", "--workspace", "own", "--record", "kept.jsonl", goal="Sing of whales")
    imported(program, "Listen to whales")
    imported(program, "Listen to eels")
    await Passages(saver, "me").add([Passage("note", 0, "Blue.", {}, "one"), Passage("note", 1, "Red.", {}, "two")])

    _, err = program("memory", "forget", "--matching", "whale", "--everywhere", code=130)
    assert "Forget 0 passages, 0 episodes, 1 template and 2 threads (one, three, each with its workspace" in err
    assert threads(program) == {"one", "two", "three"}
    _, err = program("memory", "forget", "--matching", "whale", "--everywhere", "--yes")
    assert err.startswith("Forgot 1 passage, 0 episodes, 1 template and 2 threads.\n")
    own, record = program.folder / "own", program.folder / "kept.jsonl"
    assert f"the recording '{record}'; the folder '{own}'; recordings, exports" in err
    assert (own.exists(), (program.folder / "openmanus-work" / "one").exists()) == (True, False)
    assert (program.folder / "openmanus-work" / "two" / "a.txt").read_text() == "blue\n"
    assert (threads(program), templates(program)) == ({"two"}, ["Listen to eels"])
    assert [passage.text async for passage in Passages(saver, "me").every()] == ["Red."]
    async with saver.connection() as connection:
        rows = await (await connection.execute("SELECT DISTINCT thread_id FROM events")).fetchall()
    assert [row["thread_id"] for row in rows] == ["two"]
    assert program("memory", "forget", "--matching", "whale", "--everywhere")[1].startswith("Forgot 0 passages")


def test_a_folder_that_another_thread_has_stays(program: Program) -> None:
    ran(program, "one")
    folder = program.folder / "openmanus-work" / "one"
    ran(program, "two", "true", "--workspace", str(folder))
    _, err = program("memory", "forget", "--thread", "one", "--everywhere", "--yes")
    assert f"the folder '{folder}'" in err
    assert (folder / "a.txt").exists()

    ran(program, "three")
    ran(program, "four", "true", "--workspace", str(program.folder / "openmanus-work" / "three"))
    ran(program, "five", "true", "--workspace", str(program.folder / "openmanus-work" / "my-files"))
    program("memory", "forget", "--owner", "me", "--everywhere", "--yes")
    assert sorted(path.name for path in (program.folder / "openmanus-work").iterdir()) == ["my-files", "one"]


def test_a_folder_that_another_thread_has_by_another_name_stays(program: Program) -> None:
    ran(program, "one")
    folder = program.folder / "openmanus-work" / "one"
    (program.folder / "below").mkdir()
    ran(program, "two", "true", "--workspace", f"{program.folder}/below/../openmanus-work/one")
    assert f"the folder '{folder}'" in program("memory", "forget", "--thread", "one", "--everywhere", "--yes")[1]
    assert (folder / "a.txt").exists()


def test_a_folder_that_was_there_before_its_thread_stays(program: Program) -> None:
    folder = program.folder / "openmanus-work" / "report"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    ran(program, "report")
    ran(program, "report")
    _, err = program("memory", "forget", "--thread", "report", "--everywhere", "--yes")
    assert f"the folder '{folder}'" in err
    assert (folder / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("option", ["--thread", "--matching", "--source", "--owner"])
def test_an_option_without_a_value_forgets_nothing(program: Program, option: str) -> None:
    ran(program, "one")
    words = ["memory", "forget", "--owner", "me", "--everywhere", "--yes", option, ""]
    assert f"What {option} means is empty" in program(*words, code=2)[1]
    assert threads(program) == {"one"}


async def test_a_thread_that_goes_on_while_somebody_is_asked_stays(program: Program, saver: ThreadSaver) -> None:
    ran(program, "one")
    ran(program, "two")
    settings = Settings.load(owner="me", vector_index="none")
    remover = Remover(PassageMemory(saver, settings), saver, settings)
    meant = await remover.plan(Selection(before=datetime(2999, 1, 1, tzinfo=UTC)), everywhere=True)
    async with saver.connection() as connection:
        await connection.execute("UPDATE threads SET updated_at = clock_timestamp() WHERE thread_id = 'one'")
    done = await remover.carry_out(meant)
    assert done.gone.threads == 1
    assert done.left == ("the thread 'one', which has gone on meanwhile",)
    assert threads(program) == {"one"}
    assert (program.folder / "openmanus-work" / "one" / "a.txt").exists()


def test_threads_of_nobody_and_of_others_stay_unless_one_is_named(program: Program, database: str) -> None:
    ran(program, "one")
    ran(program, "hers", "true", "--owner", "anna")
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE openmanus_graph.threads SET owner = '' WHERE thread_id = 'one'")
    _, err = program("memory", "forget", "--before", "2999-01-01", "--everywhere", "--yes")
    assert "the thread 'one', which has no owner: name it with --thread; " in err
    program("memory", "forget", "--thread", "hers", "--everywhere", "--yes")
    assert threads(program) == {"one", "hers"}
    assert "has no owner" not in program("memory", "forget", "--owner", "me", "--everywhere", "--yes")[1]
    assert threads(program) == {"one", "hers"}
    program("memory", "forget", "--thread", "one", "--everywhere", "--yes")
    assert threads(program) == {"hers"}
    program("memory", "forget", "--before", "2020-01-01", "--everywhere", "--yes", "--owner", "anna")
    assert threads(program) == {"hers"}
    assert "no source" in program("memory", "forget", "--source", "a", "--everywhere", "--yes", code=2)[1]
    assert "Say what to forget" in program("memory", "forget", "--everywhere", "--yes", code=2)[1]


async def test_while_one_of_them_runs_nothing_goes(program: Program, saver: ThreadSaver) -> None:
    ran(program, "one")
    ran(program, "two")
    await Passages(saver, "me").add([Passage("note", 0, "Blue.")])
    async with saver.pool.connection() as connection, connection.transaction():
        # Held as a runner holds it.
        await connection.execute("UPDATE threads SET status = 'running' WHERE thread_id = 'two'")
    async with saver.pool.connection() as connection:
        await connection.execute("SELECT pg_advisory_lock(runner_key('two'))")
        try:
            command = ("memory", "forget", "--owner", "me", "--everywhere", "--yes")
            _, err = await asyncio.to_thread(lambda: program(*command, code=2))
        finally:
            await connection.execute("SELECT pg_advisory_unlock(runner_key('two'))")
    assert "Nothing was removed: of the threads that fit, somebody runs 'two'." in err
    assert threads(program) == {"one", "two"}
    assert [passage.text async for passage in Passages(saver, "me").every()] == ["Blue."]


# ---------------------------------------------------------------- the bytes


def script(body: dict[str, Any]) -> Reply:
    """An agent that writes the word into files, and says it."""
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    if "delegate" in names and body["messages"][-1]["role"] != "tool":
        return plans(
            *({"id": f"s{n}", "tool": "bash", "args": {"command": f"echo {MARKER} > {n}.txt"}} for n in range(3)),
        )
    return Reply(f"It says {MARKER}.")


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    with ScriptedServer(script) as server:
        yield server


def stored(program: Program) -> None:
    """Bring the word into everything that stores something."""
    program("run", f"Write {MARKER} into three files", "--thread", "told", "--quiet", "--sandbox", "none")
    (program.folder / "guide.md").write_text(f"Nobody knows what {MARKER} is.\n")
    program("memory", "add", "guide.md")
    (program.folder / "guide.md").unlink()
    imported(program, f"Write {MARKER} down")


def where(database: str) -> Path:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return Path(str(row[0]))


def test_forgotten_everywhere_is_in_no_file_of_postgres_and_chroma(
    program_in: MakeProgram, database: str, provider: ScriptedServer, require: Require
) -> None:
    require(*NO_CHROMA)
    program = program_in(
        DATABASE_URL=database,
        **provider.environment,
        OPENMANUS_GRAPH_OWNER="me",
        OPENMANUS_GRAPH_EMBEDDER="hashing",
        OPENMANUS_GRAPH_VECTOR_INDEX="chroma",
    )
    stored(program)
    with psycopg.connect(database) as connection:
        episodes = connection.execute("SELECT task FROM openmanus_graph.episodes").fetchall()
    assert [MARKER in task for (task,) in episodes] == [True]
    assert any(name.startswith("base/") for name in files_holding(where(database), MARKER))
    assert (program.folder / "unused" / FOLDER).exists()
    assert files_holding(program.folder / "unused", MARKER) == [], "Chroma has keys and vectors, and no text"
    assert files_holding(program.folder / "openmanus-work", MARKER) != []

    _, err = program("memory", "forget", "--matching", MARKER, "--everywhere", "--yes")
    assert "and 1 thread.\n" in err
    assert ELSEWHERE in err

    assert files_holding(program.folder, MARKER) == []
    assert json.loads(program("memory", "search", MARKER, "--kind", "all", "--json")[0]) == []
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("VACUUM FULL")
    left = files_holding(where(database), MARKER)
    # The log of writes has it until its files are reused; Postgres knows no way to remove single records of it.
    assert [name for name in left if not name.startswith("pg_wal/")] == []


@pytest.mark.programs
@pytest.mark.chaos
def test_forgotten_everywhere_is_found_in_no_node_of_neo4j(
    program_in: MakeProgram, database: str, provider: ScriptedServer, neo4j: Neo4jServer
) -> None:
    program = program_in(
        DATABASE_URL=database,
        **provider.environment,
        OPENMANUS_GRAPH_OWNER="me",
        OPENMANUS_GRAPH_VECTOR_INDEX="none",
        NEO4J_URI=neo4j.uri,
        NEO4J_PASSWORD=neo4j.password,
    )
    imported(program, f"Write {MARKER} down")
    del program.environment["NEO4J_URI"]
    imported(program, f"Write {MARKER} elsewhere")  # from before there was a Neo4j
    program.environment["NEO4J_URI"] = neo4j.uri
    program("run", f"Write {MARKER} into three files", "--thread", "told", "--quiet", "--sandbox", "none")
    assert any(MARKER in task for task in templates(program))

    program("memory", "forget", "--matching", MARKER, "--everywhere", "--yes")

    assert templates(program) == []
    del program.environment["NEO4J_URI"]
    assert templates(program) == []
    # The server keeps its log of transactions for days, and the bytes of nodes until it reuses them.
    neo4j.stop()
    try:
        left = files_holding(neo4j.home, MARKER)
        assert {name.split("/")[1] for name in left} <= {"transactions", "databases"}
        assert any(name.startswith("data/transactions/") for name in left)
    finally:
        neo4j.start()

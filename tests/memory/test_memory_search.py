"""Search at the command line: passages, past requests and templates, with place, time and how well each fits."""

from __future__ import annotations

import json

import psycopg
import pytest

from openmanus_graph import ThreadSaver
from openmanus_graph.memory.episodic import PostgresEpisodes
from openmanus_graph.memory.procedural.ranking import searched
from tests.cli.conftest import MakeProgram, Program, program_in
from tests.memory.conftest import NOW, MakeTemplates
from tests.memory.ways import copying, run, searching

__all__ = ["program_in"]

pytestmark = pytest.mark.postgres


@pytest.fixture
def program(program_in: MakeProgram, database: str) -> Program:
    """The program with a passage, two past requests and a template about whales."""
    made = program_in(
        DATABASE_URL=database,
        OPENMANUS_GRAPH_OWNER="me",
        OPENMANUS_GRAPH_VECTOR_INDEX="none",
    )
    (made.folder / "guide.md").write_text("Whales sing.\n")
    made("memory", "add", "guide.md")
    with psycopg.connect(database) as connection:
        connection.execute("SET search_path = openmanus_graph")
        for owner, name in (("me", "mine"), ("anna", "hers"), ("", "old")):
            connection.execute("INSERT INTO threads (thread_id, graph, owner) VALUES (%s, '{}', %s)", (name, owner))
            connection.execute(
                "INSERT INTO episodes (thread_id, request, task, outcome, answer)"
                " VALUES (%s, 2, 'Say how long whales sing', 'completed', 'Half an hour.')",
                (name,),
            )
    return made


@pytest.fixture
async def learned(saver: ThreadSaver, templates: MakeTemplates) -> MakeTemplates:
    await templates().remember(copying(), run())
    await templates().remember(searching(), run(2, succeeded=False))
    return templates


async def test_templates_are_found_by_their_words_in_either_store(learned: MakeTemplates) -> None:
    known = await learned().templates()
    found = searched("count words", known, 5)
    assert found[0].template.key == copying().key
    assert found[0].likeness == 1.0
    assert searched("nothing of that xylophone", known, 5) == []
    assert searched("", known, 5) == []
    assert searched("count words", known, 0) == []
    assert all(one.used_at is not None and abs(one.used_at - NOW) < 10**6 for one in known)


async def test_past_requests_are_found_by_their_answers_too(program: Program, saver: ThreadSaver) -> None:
    mine = PostgresEpisodes(saver, "me")
    found = await mine.search("whales for half an hour")
    assert {hit.episode["thread_id"] for hit in found} == {"mine", "old"}
    assert [hit.score for hit in found] == [1.0, 1.0]
    assert [hit.score for hit in await mine.search("whales and xylophones", limit=1)] == [0.5]
    for nothing in ("", "the", "&|!", "xylophone", "\0\ud800"):
        assert await mine.search(nothing) == []


def test_each_kind_is_told_with_its_place(program: Program) -> None:
    assert [hit["kind"] for hit in json.loads(program("memory", "search", "whales", "--json")[0])] == ["passage"]
    out, _ = program("memory", "search", "whales", "--kind", "episodes")
    assert "mine  request 2  (score 1.00, completed, " in out
    assert "    Say how long whales sing\n" in out
    assert "hers" not in out
    assert program("memory", "search", "whales", "--kind", "templates")[0] == "Nothing is found.\n"

    (program.folder / "way.yaml").write_text(
        "goal: Write down the song of a whale\nsubtasks:\n"
        "  - {id: one, tool: bash, args: {command: echo whale}}\n"
        "  - {id: two, tool: bash, args: {command: echo song}, needs: [one]}\n"
    )
    program("memory", "templates", "import", "way.yaml")
    out, _ = program("memory", "search", "whale", "--kind", "templates")
    assert "  template  (score 1.00, worked 1 of 1, last used " in out
    found = json.loads(program("memory", "search", "whale", "sing", "--kind", "all", "--json")[0])
    assert [hit["kind"] for hit in found] == ["passage", "episode", "episode", "template"]
    assert all(hit["score"] > 0 for hit in found)
    assert len(json.loads(program("memory", "search", "whale", "--kind", "all", "--limit", "1", "--json")[0])) == 3


def test_of_all_kinds_those_that_answer_are_told(program: Program) -> None:
    program.environment["NEO4J_URI"] = "bolt://127.0.0.1:9"
    out, err = program("memory", "search", "whales", "--kind", "all")
    assert "mine  request 2" in out
    assert "Warning: No Neo4j answers at" in err
    assert "No Neo4j answers at" in program("memory", "search", "whales", "--kind", "templates", code=1)[1]

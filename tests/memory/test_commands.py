"""memory add, search, show, delete, export, import and forget, as a user calls them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from openmanus_graph.memory.semantic.choice import FOLDER
from tests.cli.conftest import MakeProgram, Program, program_in
from tests.conftest import Require
from tests.engine.plans import subtask
from tests.memory.conftest import NO_CHROMA

__all__ = ["program_in"]

pytestmark = pytest.mark.postgres

HASHING = {"OPENMANUS_GRAPH_EMBEDDER": "hashing"}
GUIDE = "# Guide\n\nWhales sing for half an hour.\n\n## Food\n\nThey eat krill and small fish.\n"


@pytest.fixture
def program(program_in: MakeProgram, database: str) -> Program:
    """The program on the test's database, with pgvector: it starts in half the time."""
    made = program_in(
        DATABASE_URL=database, **HASHING, OPENMANUS_GRAPH_OWNER="me", OPENMANUS_GRAPH_VECTOR_INDEX="pgvector"
    )
    (made.folder / "guide.md").write_text(GUIDE)
    return made


def keys(program: Program, *words: str) -> list[str]:
    return [hit["key"] for hit in json.loads(program("memory", "search", *words, "--json")[0])]


def test_what_is_added_is_found_shown_and_removed(program: Program) -> None:
    assert program("memory", "status")[0].startswith("me: 0 passages from 0 sources\nIndex: pgvector in the database")
    assert program("memory", "search", "krill")[0] == "Nothing is found.\n"
    assert program("memory", "add", "guide.md")[0] == "Read 1 source: 2 new passages.\n"
    assert program("memory", "add", "guide.md")[0] == "Read 1 source: 0 new passages.\n"
    out, err = program("memory", "search", "What", "do", "whales", "sing?")
    assert err == ""
    first = out.splitlines()[0]
    assert re.fullmatch(rf"[0-9a-f]{{12}}  {program.folder}/guide\.md  \(score 1\.00, words .*nearness .*\)", first)

    [key, *_] = keys(program, "krill")
    out, _ = program("memory", "show", key[:10])
    assert "guide.md > Guide > Food\n\nThey eat krill and small fish." in out
    assert json.loads(program("memory", "show", key, "--json")[0])["position"] == 1
    program("memory", "delete", key, code=130)  # nobody is there to say yes
    assert program("memory", "delete", key, "--yes")[1] == "Removed 1 passage.\n"
    assert key not in keys(program, "krill")
    _, err = program("memory", "show", key, code=2)
    assert f"No passage begins with '{key}'." in err
    assert json.loads(program("memory", "status", "--json")[0])["waiting"] == 0


def test_owners_are_apart(program: Program) -> None:
    program("memory", "add", "guide.md")
    program("memory", "add", "guide.md", "--owner", "anna")

    assert program("memory", "status")[0].startswith("me: 2 passages")
    program("memory", "forget", "--matching", "krill", "--yes", "--owner", "anna")
    assert program("memory", "status", "--owner", "anna")[0].startswith("anna: 1 passage from 1 source")
    assert program("memory", "status")[0].startswith("me: 2 passages")
    assert json.loads(program("memory", "search", "krill", "--owner", "bernd", "--json")[0]) == []


def test_memory_moves_as_a_file(program: Program) -> None:
    program("memory", "add", "guide.md")
    assert program("memory", "export", "memory.jsonl")[1] == "Exported 2 passages to memory.jsonl.\n"
    _, err = program("memory", "export", "memory.jsonl", code=2)
    assert "There is already a file" in err
    assert (program.folder / "memory.jsonl").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in program.folder.glob(".*.part")] == []
    assert program("memory", "import", "memory.jsonl")[1] == "Imported 0 new passages of 2.\n"
    assert program("memory", "import", "memory.jsonl", "--owner", "anna")[1] == "Imported 2 new passages of 2.\n"
    assert json.loads(program("memory", "search", "krill", "--owner", "anna", "--json")[0])[0]["position"] == 1

    whole = (program.folder / "memory.jsonl").read_text()
    for broken, why in (
        (whole[:-5], "its end is missing"),
        (whole[:-1], "its end is missing"),
        (whole + "{}", "is no passage"),
        (whole.replace("krill", "krill" * 300_000), "is no passage"),
        ("\n".join(whole.split("\n")[:1] + whole.split("\n")[2:]), "its end is missing"),
        (whole.replace('"position": 1', '"position": -1'), "line 3 is no passage"),
        (whole.replace('"meta"', '"more": 1, "meta"'), "line 2 is no passage"),
        (whole.replace('"version": 1', '"version": 2'), "its version is 2, and 1 can be read"),
        ("{}", "it does not begin with what it is"),
        ("", "it does not begin with what it is"),
    ):
        (program.folder / "broken.jsonl").write_text(broken)
        _, err = program("memory", "import", "broken.jsonl", "--owner", "bernd", code=2)
        assert why in err
    (program.folder / "broken.jsonl").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in program("memory", "import", "broken.jsonl", code=2)[1]
    assert program("memory", "status", "--owner", "bernd")[0].startswith("bernd: 0 passages")


def test_forgetting_says_what_goes_first(program: Program) -> None:
    (program.folder / "other.txt").write_text("Aardvarks dig.")
    program("memory", "add", "guide.md", "other.txt")

    _, err = program("memory", "forget", code=2)
    assert "Say what to forget: --thread, --before, --matching, --source or --owner." in err
    _, err = program("memory", "forget", "--before", "yesterday", code=2)
    assert "'yesterday' is no date; give such as 2026-11-30." in err
    _, err = program("memory", "forget", "--source", "other.txt", code=130)
    assert "Forget 1 passage and 0 episodes?" in err
    assert program("memory", "forget", "--before", "2020-01-01", "--yes")[1] == "Forgot 0 passages and 0 episodes.\n"
    assert program("memory", "forget", "--matching", "quantum")[1] == "Forgot 0 passages and 0 episodes.\n"
    assert program("memory", "forget", "--source", "other.txt", "--yes")[1] == "Forgot 1 passage and 0 episodes.\n"
    gone = json.loads(program("memory", "forget", "--before", "2999-01-01", "--yes", "--json")[0])
    assert gone == {"passages": 2, "episodes": 0, "templates": 0}


def test_episodes_of_a_thread_are_forgotten_with_it(program: Program, database: str) -> None:
    plan = program.plan(subtask("a", "bash", args={"command": "echo blue"}))
    program("run", "--plan", plan, "--thread", "one", "--quiet", "--sandbox", "none")
    program("run", "--plan", plan, "--thread", "two", "--quiet", "--sandbox", "none")
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT owner FROM openmanus_graph.threads").fetchall() == [("me",), ("me",)]
        connection.execute(
            "INSERT INTO openmanus_graph.episodes (thread_id, request, task, outcome)"
            " SELECT thread_id, 1, 'Sing of ' || thread_id, 'completed' FROM openmanus_graph.threads"
        )
    assert program("memory", "forget", "--thread", "one", "--yes", "--owner", "anna")[1] == (
        "Forgot 0 passages and 0 episodes.\n"
    )
    assert "Forget 0 passages and 1 episode?" in program("memory", "forget", "--thread", "one", code=130)[1]
    assert program("memory", "forget", "--thread", "one", "--yes")[1] == "Forgot 0 passages and 1 episode.\n"
    assert program("memory", "forget", "--matching", "sing two", "--yes")[1] == "Forgot 0 passages and 1 episode.\n"


def test_a_thread_stays_with_its_owner(program: Program) -> None:
    plan = program.plan(subtask("a", "bash", args={"command": "echo blue"}))
    program("run", "--plan", plan, "--thread", "one", "--quiet", "--sandbox", "none", "--owner", "anna")

    assert json.loads(program("threads", "show", "one", "--json")[0])["owner"] == "anna"
    program("run", "--plan", plan, "--thread", "one", "--quiet", "--sandbox", "none")
    assert json.loads(program("threads", "show", "one", "--json")[0])["owner"] == "anna"
    program("threads", "export", "one", "one.thread")
    program("threads", "import", "one.thread", "--as", "two")
    assert json.loads(program("threads", "show", "two", "--json")[0])["owner"] == ""


def test_bad_places_are_explained(program: Program) -> None:
    (program.folder / "binary").write_bytes(b"\0\1\2")
    assert "There is no file" in program("memory", "add", "none", code=2)[1]
    assert "is binary, not text" in program("memory", "add", "binary", code=1)[1]
    _, err = program("memory", "add", "http://127.0.0.1:9/", code=2)
    assert "which tools may not reach" in err
    (program.folder / "folder").mkdir()
    (program.folder / "folder" / "a.txt").write_bytes(b"\0")
    out, err = program("memory", "add", "folder")
    assert out == "Read 0 sources: 0 new passages.\n"
    assert err.startswith("Left out ")


def test_an_index_that_is_down_is_one_warning(program_in: MakeProgram, database: str, require: Require) -> None:
    require(*NO_CHROMA)
    program = program_in(DATABASE_URL=database, **HASHING, CHROMA_URL="http://127.0.0.1:9")
    (program.folder / "guide.md").write_text(GUIDE)
    out, err = program("memory", "add", "guide.md")
    assert out == "Read 1 source: 2 new passages.\n"
    assert err.count("Warning:") == 1
    assert "2 passages wait for the index, and are found by words meanwhile." in err
    out, err = program("memory", "search", "krill")
    assert "They eat krill" in out
    assert err.count("Warning:") == 1
    out, _ = program("memory", "status")
    assert "Waiting for the index: 2 passages" in out

    program = program_in(DATABASE_URL=database, **HASHING)
    program("memory", "status", "--deliver")
    found: list[dict[str, Any]] = [{}]
    deadline = time.monotonic() + 120
    while found[0].get("nearness") is None and time.monotonic() < deadline:  # a busy machine may open it late
        found = json.loads(program("memory", "search", "krill", "--json")[0])
    assert found[0]["nearness"] > 0.1


def test_wrong_settings_are_explained(program_in: MakeProgram, database: str, require: Require) -> None:
    require(*NO_CHROMA)
    program = program_in(DATABASE_URL=database, **HASHING, CHROMA_URL="ftp://host")
    assert "cannot be 'ftp://host'" in program("memory", "status")[1]
    headers = {"OPENMANUS_GRAPH_CHROMA_HEADERS": '{"Authorization": "NOT_SET"}'}
    program = program_in(DATABASE_URL=database, **HASHING, CHROMA_URL="http://127.0.0.1:9", **headers)
    assert "The header 'Authorization' of the Chroma server is in 'NOT_SET'" in program("memory", "status")[1]
    program = program_in(DATABASE_URL=database, **HASHING, OPENMANUS_GRAPH_VECTOR_INDEX="redis")
    assert "'vector_index' cannot be 'redis'" in program("memory", "status", code=2)[1]
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_EMBEDDER="none")
    assert "No installed package brings the embedder 'none'" in program("memory", "status")[1]


def test_by_default_the_index_is_a_folder_in_the_data_folder(
    program_in: MakeProgram, database: str, require: Require, tmp_path: Path
) -> None:
    require(*NO_CHROMA)
    program = program_in(DATABASE_URL=database, **HASHING)
    (program.folder / "guide.md").write_text(GUIDE)
    program("memory", "add", "guide.md")

    assert f"Index: Chroma in '{tmp_path}/unused/{FOLDER}', vectors by hashing-1-1024" in program("memory", "status")[0]
    assert json.loads(program("memory", "search", "krill", "--json")[0])[0]["nearness"] > 0.1

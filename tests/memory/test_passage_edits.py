"""Edits of passages: what a person corrected is found as it is now, and stays while its source says what it said."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.errors import UsageError
from openmanus_graph.memory.ingest.ingest import ingest
from openmanus_graph.memory.semantic.passage import Passage, StoredPassage
from openmanus_graph.memory.semantic.passage_file import read_passages, write_passages
from openmanus_graph.memory.semantic.passage_memory import PassageMemory
from openmanus_graph.memory.semantic.passages import MOST_CHARACTERS, Added, Passages
from tests.cli.conftest import MakeProgram, Program, program_in

__all__ = ["program_in"]

pytestmark = pytest.mark.postgres

WRONG = "A hotel may cost 120 euros a night."
RIGHT = "Lodging is paid for up to 140 francs."
OTHER = "The dishwasher is emptied in the morning."
GUIDE = f"# Travel\n\n{WRONG}\n\n# Kitchen\n\n{OTHER}\n"


@pytest.fixture
async def memory(saver: ThreadSaver, memory_settings: Settings) -> AsyncIterator[PassageMemory]:
    made = PassageMemory(saver, memory_settings)
    yield made
    await made.aclose()


@pytest.fixture
def mine(saver: ThreadSaver) -> Passages:
    return Passages(saver, "me")


async def stored(passages: Passages, text: str) -> StoredPassage:
    await passages.add([Passage("a.md", 0, text), Passage("a.md", 1, OTHER)])
    (found,) = [one async for one in passages.every() if one.text == text]
    return found


async def texts(passages: Passages) -> list[str]:
    return [one.text async for one in passages.every()]


async def test_an_edit_is_found_by_its_words_and_meaning_and_not_by_the_old_ones(memory: PassageMemory) -> None:
    passage = await stored(memory.passages, WRONG)
    await memory.deliver()
    (before,) = (await memory.search("hotel euros", limit=1)).hits
    assert before.nearness is not None

    made = await memory.edit(passage, RIGHT)
    assert (await memory.deliver()).delivered == 1

    hits = {hit.passage.text: hit for hit in (await memory.search("lodging in francs")).hits}
    assert made.key == passage.key
    assert hits[RIGHT].coverage > 0.5
    assert (hits[RIGHT].nearness or 0) > 0.2
    old = {hit.passage.text: hit for hit in (await memory.search("hotel euros night")).hits}
    assert all(hit.coverage == 0 for hit in old.values())
    # The vector is the new text's: the old words are as near as those of another matter.
    assert RIGHT not in old or (old[RIGHT].nearness or 0) < before.nearness / 2
    assert "Source: a.md, edited by hand (" in (await memory.recall("up to how many francs is lodging paid for"))[0]


async def test_an_edit_stays_while_its_source_says_what_it_said(mine: Passages) -> None:
    await mine.edit(await stored(mine, WRONG), RIGHT)

    again = [Passage("a.md", 0, OTHER), Passage("a.md", 1, WRONG, {"title": "new"})]
    assert await mine.add(again, replace_sources=["a.md"]) == Added(0, 0, kept_edits=1)
    edited = [one async for one in mine.every() if one.edited_at]
    assert [(one.text, one.position, one.meta["title"]) for one in edited] == [(RIGHT, 1, "new")]

    changed = [Passage("a.md", 0, OTHER), Passage("a.md", 1, f"{WRONG} Breakfast is included.")]
    assert await mine.add(changed, replace_sources=["a.md"]) == Added(1, 1, lost_edits=(RIGHT,))


async def test_an_edit_back_to_what_the_source_says_is_none(mine: Passages) -> None:
    once = await mine.edit(await stored(mine, WRONG), RIGHT)
    twice = await mine.edit(once, "Something else.")
    assert twice.key == once.key
    assert (await mine.edit(twice, WRONG)).edited_at is None
    assert await mine.add([Passage("a.md", 0, "New.")], replace_sources=["a.md"]) == Added(1, 2)


async def test_an_exported_edit_is_one_where_it_is_imported(mine: Passages, saver: ThreadSaver, tmp_path: Path) -> None:
    theirs = Passages(saver, "they")
    await mine.edit(await stored(mine, WRONG), RIGHT)
    await write_passages(mine, tmp_path / "first")
    await theirs.add([Passage("a.md", 0, WRONG)])
    await theirs.add(read_passages(tmp_path / "first"))
    assert sorted(await texts(theirs)) == sorted([RIGHT, OTHER])
    kept = await theirs.add([Passage("a.md", 0, WRONG)], replace_sources=["a.md"])
    assert (kept.kept_edits, kept.gone) == (1, 1)

    later = await theirs.find((await anext(theirs.every())).key)
    await theirs.edit(later, "Corrected once more.")
    await theirs.add(read_passages(tmp_path / "first"))
    assert "Corrected once more." in await texts(theirs), "an earlier edit took its place"


async def test_two_edits_at_once_are_one_and_an_error(mine: Passages) -> None:
    passage = await stored(mine, WRONG)
    done = await asyncio.gather(mine.edit(passage, "one"), mine.edit(passage, "two"), return_exceptions=True)
    (failed,) = [one for one in done if isinstance(one, UsageError)]
    assert "has changed or gone meanwhile" in str(failed)
    assert len(await texts(mine)) == 2


async def test_an_edit_while_its_source_is_read_is_not_lost(mine: Passages) -> None:
    passage = await stored(mine, WRONG)
    for number in range(20):
        passage, _ = await asyncio.gather(
            mine.edit(passage, f"Edit {number}."),
            mine.add([Passage("a.md", number, WRONG), Passage("a.md", number + 1, OTHER)], replace_sources=["a.md"]),
        )
        assert f"Edit {number}." in await texts(mine)
        passage = await mine.find(passage.key)


@pytest.mark.parametrize("text", ["", " \n", "x" * (MOST_CHARACTERS + 1)])
async def test_no_text_and_too_much_are_refused(mine: Passages, text: str) -> None:
    passage = await stored(mine, WRONG)
    with pytest.raises(UsageError, match="would have"):
        await mine.edit(passage, text)
    assert WRONG in await texts(mine)


@pytest.mark.parametrize("meta", [{"edited": "yes"}, {"edited": {"at": "now", "digest": "0" * 64}}, {"edited": {}}])
async def test_what_only_looks_like_an_edit_is_none(mine: Passages, meta: dict[str, object]) -> None:
    await mine.add([Passage("a.md", 0, WRONG, meta)])
    (found,) = [one async for one in mine.every()]
    assert found.edited_at is None


async def test_ingest_counts_edits(mine: Passages, saver: ThreadSaver, tmp_path: Path) -> None:
    memory = PassageMemory(saver, Settings.load(home=tmp_path, vector_index="none", owner="me"))
    (tmp_path / "guide.md").write_text(GUIDE)
    await ingest(memory, str(tmp_path / "guide.md"))
    for passage in [one async for one in mine.every()]:
        await mine.edit(passage, f"{passage.text} Edited.")
    (tmp_path / "guide.md").write_text(GUIDE.replace("120", "130"))
    done = await ingest(memory, str(tmp_path / "guide.md"))
    assert (done.added, done.removed, done.edits_kept, len(done.edits_lost)) == (1, 1, 1, 1)


# ---------------------------------------------------------------- at the command line


@pytest.fixture
def program(program_in: MakeProgram, database: str) -> Program:
    """The program with a source in memory, and an editor that writes `RIGHT`."""
    made = program_in(
        DATABASE_URL=database,
        OPENMANUS_GRAPH_EMBEDDER="hashing",
        OPENMANUS_GRAPH_OWNER="me",
        OPENMANUS_GRAPH_VECTOR_INDEX="pgvector",
    )
    editor = made.folder / "editor"
    editor.write_text(f'#!/bin/sh\ncp "$1" {made.folder}/seen\necho "{RIGHT}" > "$1"\n')
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    made.environment["EDITOR"] = str(editor)
    (made.folder / "guide.md").write_text(GUIDE)
    made("memory", "add", "guide.md")
    return made


def key_of(program: Program, query: str) -> str:
    return str(json.loads(program("memory", "search", query, "--json")[0])[0]["key"])


def test_a_passage_is_edited_in_an_editor(program: Program) -> None:
    key = key_of(program, "hotel")
    _, err = program("memory", "edit", key[:10])
    assert f"Edited {key[:12]} of {program.folder}/guide.md." in err
    assert WRONG in (program.folder / "seen").read_text()
    out, _ = program("memory", "show", key)
    assert re.search(rf", edited by hand \d+ s ago\n\n{re.escape(RIGHT)}\n", out)
    assert key_of(program, "francs") == key
    assert program("memory", "edit", key)[1] == "Nothing was changed.\n"
    assert program("memory", "add", "guide.md")[0] == "Read 1 source: 0 new passages; 1 passage edited by hand kept.\n"

    (program.folder / "guide.md").write_text(GUIDE.replace("120", "130"))
    out, err = program("memory", "add", "guide.md")
    assert out == "Read 1 source: 1 new passage, 1 passage gone.\n"
    assert f"this passage edited by hand is gone:\n{RIGHT}\n" in err


def test_an_edit_that_is_lost_is_shown_whole_also_where_a_later_source_fails(program: Program) -> None:
    long = "\n".join(f"Line {number} of what a person wrote." for number in range(100))
    program("memory", "edit", key_of(program, "hotel"), "--text", long)
    (program.folder / "guide.md").write_text("Nothing of it.")
    _, err = program("memory", "add", "guide.md", "missing.md", "--json", code=2)
    assert f"this passage edited by hand is gone:\n{long}\n" in err
    assert "There is no file" in err


def test_what_was_typed_and_is_refused_is_kept(program: Program) -> None:
    key = key_of(program, "hotel")
    long = "word " * MOST_CHARACTERS
    (program.folder / "long").write_text(long)
    editor = program.folder / "editor"
    editor.write_text(f'#!/bin/sh\ncat {program.folder}/long > "$1"\n')
    _, err = program("memory", "edit", key, code=2)
    kept = re.search(r"What you wrote is kept in '([^']+)'; mend it and store it with: (.+)", err)
    assert kept is not None
    assert f"memory edit {key[:12]} --file {kept[1]}" in kept[2]
    path = Path(kept[1])
    try:
        assert path.read_text().strip() == long.strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        path.unlink()
    assert WRONG in program("memory", "show", key)[0]


def test_what_would_take_over_a_terminal_is_not_printed_there(program: Program) -> None:
    (program.folder / "\x1b[2Jbad.md").write_text("Plain \x1b[31mpurple\x1b[0m text.")
    program("memory", "add", "\x1b[2Jbad.md")
    key = key_of(program, "purple")
    out, _ = program("memory", "search", "purple")
    assert "Plain purple text." in out
    shown, _, _ = program("memory", "show", key)[0].partition("\n\n")
    asked = program("memory", "delete", key, code=130)[1]
    edited = program("memory", "edit", key, "--text", RIGHT)[1]
    for text in (out, shown, asked, edited):
        assert "bad.md" in text
        assert "\x1b" not in text


def test_a_passage_is_edited_by_options(program: Program) -> None:
    key = key_of(program, "hotel")
    assert json.loads(program("memory", "edit", key, "--text", RIGHT, "--json")[0])["text"] == RIGHT
    (program.folder / "text").write_text("From a file.\n")
    program("memory", "edit", key, "--file", "text")
    assert program("memory", "show", key)[0].endswith("\n\nFrom a file.\n")
    assert "both" in program("memory", "edit", key, "--file", "text", "--text", "x", code=2)[1]
    assert "cannot be read" in program("memory", "edit", key, "--file", "none", code=2)[1]
    assert "would have no text" in program("memory", "edit", key, "--file", "-", code=2)[1]  # nothing is typed
    assert "No passage begins with" in program("memory", "edit", "nothing", "--text", "x", code=2)[1]
    assert "Warning: What looks like a key" in program("memory", "edit", key, "--text", "It is sk-proj-123456789.")[1]
    assert program("memory", "edit", key, "--text", f"guide.md > Travel\n\n{WRONG}")[1].endswith("says again.\n")

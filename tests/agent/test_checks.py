"""What of `done_when` is seen without a model, and what is left to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.messages import ToolMessage

from openmanus_graph.nodes.checks import mentioned_files, named_files, problems


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`report.md` exists and has a table", ["report.md"]),
        ("the prices are saved in out/prices.csv", ["out/prices.csv"]),
        ("a summary was written to notes.txt", ["notes.txt"]),
        ("the report is saved as report.md and the file draft.md is removed", ["report.md"]),
        ("prices.json is valid JSON", ["prices.json"]),
        ("a.md, b.md and c.md exist", ["a.md", "b.md", "c.md"]),
        ("notes/a.md, b.md, and c.csv are written", ["notes/a.md", "b.md", "c.csv"]),
        ("`a.md` & `b.md` have been created", ["a.md", "b.md"]),
        ("Both files are saved: x.md and y.md", ["x.md", "y.md"]),
        ("all files exist (a.csv, b.csv, c.csv)", ["a.csv", "b.csv", "c.csv"]),
        ("the texts are saved as a.md and b.md", ["a.md", "b.md"]),
        ("report.md has a table", ["report.md"]),
        ("the summary is in notes.md", ["notes.md"]),
        ("report.md is not empty", ["report.md"]),
        ("summary.txt has no more than 300 words", ["summary.txt"]),
        ("a.json and b.json are valid JSON", ["a.json", "b.json"]),
        ("report.md exists. old.md is gone.", ["report.md"]),
    ],
)
def test_files_that_must_be_there(text: str, names: list[str]) -> None:
    assert named_files(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "old.txt has been deleted",
        "the file tmp.log no longer exists",
        "no file cache.db exists in the folder",
        "the file x.txt doesn't exist",
        "there is a file, e.g. notes, or a file e.g. table",
        "the page is written in Vue.js",
        "the script example.com exists",
        "the file ../../secret/key.txt exists",
        "a.md or b.md exists",
        "neither a.md nor b.md exists",
        "a.md and b.md do not exist",
        "if a.md exists, b.md is written",
        "both files are saved, unless a.md and b.md are there",
        "no a.md and b.md exist",
        "Vue.js has a router",
        "amazon.de and ebay.de are present",
        "the file old.txt is renamed",
        "both files are saved",
    ],
)
def test_what_is_left_to_the_model(text: str) -> None:
    assert named_files(text) == []


def test_which_both_files_are_may_stand_in_the_goal() -> None:
    assert named_files("both files are saved", "Write a.md and b.md") == ["a.md", "b.md"]
    assert named_files("both files are saved", "Merge a.md and b.md into c.md") == []


@pytest.mark.parametrize(
    ("done_when", "text", "lacks"),
    [
        ("report.md has a table", "# Prices\n\nOne, two, three.", True),
        ("report.md exists and has a table of the prices", "Prices | none", True),
        ("report.md has a table", "| a | b |\n|---|:-:|\n| 1 | 2 |", False),
        ("report.md has a comparison table", "a | b\n--- | ---\n1 | 2", False),
        ("report.md has a table", "<table><tr><td>1</td></tr></table>", False),
        ("report.md has a table of contents", "# One", False),
        ("report.md contains a link to the table", "see there", False),
        ("report.md has no table", "# One", False),
        ("prices.csv has a table", "just words", True),
        ("prices.csv has a table", "a;b\n1;2", False),
        ("report.txt has a table", "just words", False),
    ],
)
def test_whether_a_table_is_there(done_when: str, text: str, lacks: bool, tmp_path: Path) -> None:
    (tmp_path / done_when.partition(" ")[0]).write_text(text)
    found = problems(done_when, tmp_path, [], set())
    assert found == ([f"The file {done_when.partition(' ')[0]!r} has no table."] if lacks else [])


def test_an_empty_file_is_none_unless_it_is_meant_to_be(tmp_path: Path) -> None:
    for name in ("a.md", "__init__.py"):
        (tmp_path / name).touch()
    assert problems("a.md exists", tmp_path, [], set()) == ["The file 'a.md' is empty."]
    assert problems("a.md exists; it is empty", tmp_path, [], set()) == []
    assert problems("__init__.py exists", tmp_path, [], set()) == []


@pytest.mark.parametrize(
    ("done_when", "seen"),
    [
        ("all tests pass", True),
        ("the script exits with code 0", True),
        ("the test suite passes", True),
        ("the tests do not pass yet", False),
        ("no test passes", False),
        ("the tests pass if there are any", False),
    ],
)
def test_whether_the_last_command_must_have_succeeded(done_when: str, seen: bool, tmp_path: Path) -> None:
    failed = ToolMessage("1 failed\nexit code 1", tool_call_id="1", name="bash", status="error")
    found = problems(done_when, tmp_path, [failed], {"bash"})
    assert found == (["The last command failed: '1 failed\\nexit code 1'"] if seen else [])


def test_long_words_are_no_files_and_take_no_minutes(tmp_path: Path) -> None:
    assert mentioned_files(f"see a.md, {'ab-' * 100_000} and {'x.' * 100_000}md; {'y' * 300}.txt, b/c.md.") == [
        "a.md",
        "b/c.md",
    ]
    (tmp_path / "report.md").write_text("\n" * 200_000 + "-" * 200_000 + "\n+" + "-" * 200_000)
    assert problems("report.md has a table", tmp_path, [], set()) == ["The file 'report.md' has no table."]

"""What of `done_when` is seen without a model, and what is left to it."""

from __future__ import annotations

import pytest

from openmanus_graph.nodes.checks import named_files


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`report.md` exists and has a table", ["report.md"]),
        ("the prices are saved in out/prices.csv", ["out/prices.csv"]),
        ("a summary was written to notes.txt", ["notes.txt"]),
        ("the report is saved as report.md and the file draft.md is removed", ["report.md"]),
        ("prices.json is valid JSON", ["prices.json"]),
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
    ],
)
def test_what_is_left_to_the_model(text: str) -> None:
    assert named_files(text) == []

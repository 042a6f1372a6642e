"""Options: what was said on the command line, on top of the settings and of what the thread was started with."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from openmanus_graph.checkpoints.thread_id import new_thread_id
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.cli import cli
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.run import task_of
from openmanus_graph.errors import UsageError


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def thread_with(**said: Any) -> Thread:
    return cast("Thread", SimpleNamespace(settings={"said": said}))


def test_options_win_over_the_thread_and_the_thread_over_the_settings(own_folder: Path) -> None:
    (own_folder / "openmanus-graph.toml").write_text(
        'review = "large"\nmax_parallel = 3\n[budget]\nusd = 1.0\ntokens = 7\nsteps = 5\n'
    )
    thread = thread_with(budget={"tokens": 100, "wall_s": 60.0}, review="always", record="/tape")
    settings = RunOptions(budget_wall_s=90.0, policy="deny").effective_settings(thread)
    budget = settings.budget
    assert (budget.tokens, budget.wall_s, budget.usd, budget.steps) == (100, 90.0, 1.0, 5)
    assert (settings.review, settings.record, settings.policy) == ("always", Path("/tape"), "deny")
    assert RunOptions().effective_settings().review == "large"


def test_a_thread_keeps_what_was_said_and_a_relative_recording_as_absolute(own_folder: Path) -> None:
    options = RunOptions(budget_usd=2.0, record="tape.jsonl")
    assert options.thread_settings(thread_with(budget={"tokens": 5})) == {
        "budget": {"tokens": 5, "usd": 2.0},
        "record": str(own_folder / "tape.jsonl"),
    }
    assert RunOptions().thread_settings(None) == {}


def test_a_task_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("  do this\nand that\0\n"))
    assert task_of(("-",)) == "do this\nand that"
    assert task_of(("write", "a", "report")) == "write a report"
    for nothing in (("",), (" \n ",)):
        with pytest.raises(UsageError, match="empty"):
            task_of(nothing)
    with pytest.raises(UsageError, match="--attach"):
        task_of(("x" * 1_000_001,))


@pytest.mark.parametrize(
    ("task", "beginning"),
    [
        ("Compare two editors, and write a report!", "compare-two-editors-and-write-a-report-"),
        ("東京", "thread-"),
        ("x" * 300, "x" * 40 + "-"),
        ("../../etc", "etc-"),
    ],
)
def test_a_thread_is_named_after_the_first_words(task: str, beginning: str) -> None:
    assert new_thread_id(task).startswith(beginning)
    assert new_thread_id(task) != new_thread_id(task)


@pytest.mark.parametrize(
    "words",
    [
        ["run", "x", "--budget-time", "soon"],
        ["run", "x", "--budget-time", "0"],
        ["run", "x", "--budget-usd", "0"],
        ["run", "x", "--budget-tokens", "-1"],
        ["run", "x", "--review", "sometimes"],
        ["run", "x", "--input", "{}"],
        ["run", "--graph", "a.py", "--plan", "b.yaml"],
        ["run", "--plan", "b.yaml", "--attach", "f"],
        ["resume"],
        ["resume", "t", "--last"],
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str]) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert "Error" in done.output


@pytest.mark.parametrize("command", ["run", "chat"])
def test_a_thread_without_memory_stays_so(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"]).output
    options = RunOptions(no_memory=True)

    assert "--no-memory" in shown
    assert options.thread_settings(None) == {"memory": False}
    assert not options.effective_settings().memory
    assert not RunOptions().effective_settings(thread_with(memory=False)).memory
    assert RunOptions().effective_settings().memory


def test_a_word_that_looks_like_an_option_is_told_how_to_be_one() -> None:
    said = CliRunner().invoke(cli, ["memory", "search", "after", "kill", "-9"])
    assert said.exit_code == 2
    assert "put -- before the words: cli memory search -- …" in said.output
    mistyped = CliRunner().invoke(cli, ["memory", "search", "kill", "--limi", "3"])
    assert "Did you mean '--limit'?" in mistyped.output
    assert "put --" not in mistyped.output
    assert "put --" not in CliRunner().invoke(cli, ["threads", "list", "-9"]).output

"""A failure at the terminal: said once, in full, by the line that says what went wrong."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from openmanus_graph.cli.lines import Lines
from openmanus_graph.cli.live import LiveView
from openmanus_graph.cli.run_view_model import RunViewModel
from tests.cli.conftest import MakeProgram
from tests.engine.plans import subtask

from .conftest import Program

WHY = "ValueError: the amount is negative, and that is not allowed for this account of ours"
TRACEBACK = f"""Traceback (most recent call last):
  File "a", line 1
    f()
    ^^^
{WHY}

"""
BOOM = subtask("crash", "bash", args={"command": f"cat >&2 << 'END'\n{TRACEBACK}END\n(exit 1)"})


@pytest.mark.postgres
@pytest.mark.parametrize("options", [(), ("--quiet",)])
def test_a_failure_is_said_once(program: Program, options: tuple[str, ...]) -> None:
    _, err = program("run", "--plan", program.plan(BOOM), "--thread", "t", *options, code=1)
    assert err.count(WHY) == 1, err
    assert "^^^" not in err
    assert "1 subtasks" not in err


@pytest.mark.postgres
def test_a_thread_shows_why_it_failed_in_full_and_once(program: Program) -> None:
    program("run", "--plan", program.plan(BOOM), "--thread", "t", "-q", code=1)
    out, _ = program("threads", "show", "t")
    assert out.count("ended with exit code 1") == 1
    assert f"crash failed: The command ended with exit code 1: {WHY}." in out
    assert re.search(r"crash +failed .* do crash", out), "the table has the goal in its place"


@pytest.mark.postgres
def test_one_of_a_thing_is_one_thing(program: Program) -> None:
    out, _ = program("plan", "check", program.plan(subtask("a", "bash", args={"command": "true"})))
    assert "1 subtask." in out


def failing(*, with_roles: bool = False) -> list[dict[str, Any]]:
    outline = [{"id": "a", "goal": "do a", "needs": [], "runs": "bash"}]
    before = [{"type": "decided", "decision": "plan"}] if with_roles else []
    return [
        *before,
        {"type": "plan_started", "id": "p", "subtasks": outline, "kept": [], "goal": "the goal"},
        {"type": "subtask_started", "subtask": "a"},
        {"type": "subtask_finished", "subtask": "a", "status": "failed", "error": WHY, "elapsed_s": 0.1},
        {"type": "plan_finished", "status": "failed"},
    ]


def last_picture(events: list[dict[str, Any]]) -> str:
    file = io.StringIO()
    view = LiveView(RunViewModel("t"), Console(file=file, width=200, force_terminal=True, color_system=None))
    view.start()
    for event in events:
        view.show(event)  # type: ignore[arg-type]
    view.stop()
    return file.getvalue().rpartition("the goal")[2]


def test_the_last_picture_leaves_the_failure_to_what_is_said_below_it() -> None:
    assert WHY not in last_picture(failing())
    assert "do a" in last_picture(failing())
    assert WHY in last_picture(failing(with_roles=True)), "the agent was stopped before it answered"
    assert WHY not in last_picture([*failing(with_roles=True), {"type": "answered", "text": "It failed."}])


def test_a_refusal_of_a_check_is_said_once_in_lines() -> None:
    lines = Lines(RunViewModel("t"))
    events = failing()
    refused = {"type": "subtask_verified", "subtask": "a", "verified": False, "text": "the file is empty"}
    events[2:3] = [refused, {**events[2], "error": "It ended, but it is not done: the file is empty"}]
    said = "\n".join(filter(None, map(lines.of, events)))  # type: ignore[arg-type]
    assert said.count("the file is empty") == 1
    assert "[1/1] a failed" in said


def test_a_variable_that_is_no_list_says_how_one_is_written(program_in: MakeProgram) -> None:
    _, said = program_in(OPENMANUS_GRAPH_ALLOW_HOSTS="intranet.example")("doctor", code=2)

    assert (
        "The setting 'allow_hosts' cannot be 'intranet.example': OPENMANUS_GRAPH_ALLOW_HOSTS is to hold JSON." in said
    )
    assert """OPENMANUS_GRAPH_ALLOW_HOSTS='["a", "b"]'""" in said

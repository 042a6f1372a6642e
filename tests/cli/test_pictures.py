"""Commands: every picture can be had from the shell, in every format, on stdout or in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import MakeProgram, Program
from tests.drawing.svgs import keys, parsed
from tests.engine.plans import subtask

pytestmark = pytest.mark.programs


@pytest.mark.postgres
def test_a_run_is_drawn_and_reported(program: Program) -> None:
    steps = [subtask("a"), subtask("b", "fail", ["a"])]
    program("run", "--plan", program.plan(*steps), "--tools", program.tools, "--thread", "t", "-q", code=1)

    out, _ = program("threads", "draw", "t")
    assert ["✓ a" in out, "✗ b" in out] == [True, True]
    out, _ = program("threads", "draw", "t", "--gantt")
    assert "* the critical path" in out
    out, _ = program("threads", "draw", "t", "--format", "mermaid", "--gantt")
    assert out.startswith("gantt\n")
    _, err = program("threads", "draw", "t", "-o", "run.svg")
    assert err == "Wrote run.svg.\n"
    assert keys(parsed((program.folder / "run.svg").read_text())) == ["a", "b"]
    out, _ = program("threads", "draw", "t", "--history")
    assert "a: nap: completed" in out
    program("threads", "draw", "t", "--history", "--gantt", code=2)
    program("threads", "report", "t", "-o", "run.html")
    assert (program.folder / "run.html").read_text().startswith("<!doctype html>")
    _, err = program("threads", "report", "t", "--junit", "run.xml")
    assert err == "Wrote run.xml.\n"
    assert '<testsuite name="a test" tests="0"' in (program.folder / "run.xml").read_text()
    _, err = program("threads", "report", "t", "-o", "no/such/folder.html", code=1)
    assert "No such file or directory: 'no/such/folder.html'" in err
    _, err = program("threads", "draw", "nobody", code=2)
    assert "There is no thread 'nobody'" in err


def test_graphs_and_plans_are_drawn_without_a_database(program_in: MakeProgram) -> None:
    program = program_in()
    program("graph", "show", "-o", "agent.svg")
    assert "dispatcher:executor" in keys(parsed((program.folder / "agent.svg").read_text()))
    out, _ = program("graph", "show", "--flat", "--format", "mermaid")
    assert out.startswith("flowchart TD\n")
    program("plan", "show", program.plan(subtask("a"), subtask("b", needs=["a"])), "-o", "plan.svg")
    assert keys(parsed(Path(program.folder, "plan.svg").read_text())) == ["a", "b"]

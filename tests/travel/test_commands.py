"""The commands of time travel, as they are typed and what they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from openmanus_graph.cli import cli
from openmanus_graph.cli.terminal import print_error
from openmanus_graph.errors import OpenManusGraphError

EDITOR: dict[str, Any] = {"tool": "str_replace_editor", "goal": "write"}
PLAN: list[dict[str, Any]] = [
    {**EDITOR, "id": "one", "args": {"command": "create", "path": "a.txt", "file_text": "first\n"}},
    {"id": "q", "goal": "ask", "tool": "ask_human", "args": {"inquire": "Which?"}},
    {
        **EDITOR,
        "id": "two",
        "needs": ["one"],
        "args": {"command": "insert", "path": "a.txt", "insert_line": 1, "new_str": "${q.answer}\n"},
    },
]


class Program:
    """The command line in this process, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run a command; stdout and stderr, the exit code as expected."""
        runner = CliRunner()
        with runner.isolation() as (out, err, _):
            try:
                ended: Any = cli.main(arguments, prog_name="openmanus-graph", standalone_mode=False)
            except OpenManusGraphError as error:
                ended = print_error(error)
            said = out.getvalue().decode(), err.getvalue().decode()
        assert (ended or 0) == code, said
        return said

    def plan(self, *subtasks: dict[str, Any], name: str = "plan.yaml") -> str:
        """Write a plan file; its name."""
        (self.folder / name).write_text(yaml.safe_dump({"goal": "a test", "subtasks": list(subtasks)}))
        return name


@pytest.fixture
def ran(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """A thread that asked and was answered."""
    monkeypatch.setenv("DATABASE_URL", database)
    program = Program(tmp_path)
    program("run", "--plan", program.plan(*PLAN), "--thread", "t", "--quiet", code=3)
    program("resume", "t", "--answer", "red", "--quiet")
    return program


def test_history_is_a_tree_with_forks(ran: Program) -> None:
    ran("threads", "rerun", "t@two:0", "--as", "again", "--quiet")
    out, _ = ran("threads", "history", "t")
    lines = out.splitlines()
    assert lines[0].split() == ["POINT", "TIME", "STEP", "WHAT", "FILES", "TOKENS", "COST"]
    assert any("str_replace_editor: completed" in line and "a.txt" in line for line in lines)
    assert any(line.endswith("begins (asks: Which?)") for line in lines)
    assert lines[-1].endswith(": again")
    found = json.loads(ran("threads", "history", "again", "--json")[0])
    origin = found["origin"]
    assert (origin["thread"], origin["everything"]) == ("t", False)
    (forked,) = [one for one in json.loads(ran("threads", "history", "t", "--json")[0])["points"] if one["forks"]]
    assert (forked["subtask"], forked["step"], forked["number"]) == ("two", 0, origin["number"])
    assert ran("threads", "history", "again")[0].startswith(f"Forked from t@{origin['number']}.")


def test_a_point_is_shown(ran: Program) -> None:
    out, _ = ran("threads", "show", "t@two:0")
    assert "next:      str_replace_editor" in out
    assert "files: a.txt" in out
    shown = json.loads(ran("threads", "show", "t@two:0", "--json")[0])
    assert (shown["next"], shown["values"]["subtask"]["id"]) == (["str_replace_editor"], "two")
    assert shown["files"]["a.txt"]["size"] == 6
    _, err = ran("threads", "show", "t@two:7", code=2)
    assert "has no step '7'" in err


def test_rerun_with_an_edit_and_a_difference(ran: Program) -> None:
    out, err = ran("threads", "rerun", "t@two:0", "--set", "subtask.args.insert_line=0")
    assert "The thread t-2 goes on from t@" in err
    assert Path(ran.folder / "openmanus-work/t-2/a.txt").read_text() == "red\nfirst\n"
    assert Path(ran.folder / "openmanus-work/t/a.txt").read_text() == "first\nred\n"
    out, _ = ran("threads", "diff", "t", "t-2")
    assert out.splitlines()[-4:] == ["       first", "      -red", "      +red", "       first"] or "+red" in out
    found = json.loads(ran("threads", "diff", "t", "t-2", "--json")[0])
    assert [one["name"] for one in found["files"]] == ["a.txt"]
    assert ran("threads", "diff", "t", "t")[0].splitlines()[-1] == "Nothing differs."
    _, err = ran("threads", "rerun", "t@two:0", "--set", "nothing", code=2)
    assert "'nothing' is no edit" in err


def test_rerun_asks_again_what_was_answered_after_the_point(ran: Program) -> None:
    _, err = ran("threads", "rerun", "t@q:0", "--as", "asks", "--quiet", code=3)
    assert "resume asks --answer" in err
    ran("resume", "asks", "--answer", "blue", "--quiet")
    assert Path(ran.folder / "openmanus-work/asks/a.txt").read_text() == "first\nblue\n"


def test_rerun_with_another_plan(ran: Program) -> None:
    other = [*PLAN[:2], {**PLAN[2], "args": {**PLAN[2]["args"], "new_str": "new\n"}}]
    ran("threads", "rerun", "t@q:0", "--plan", ran.plan(*other, name="other.yaml"), "--as", "other", code=3)
    ran("resume", "other", "--answer", "x", "--quiet")
    assert Path(ran.folder / "openmanus-work/other/a.txt").read_text() == "first\nnew\n"
    wrong = ran.plan({**PLAN[0], "tool": "no_such_tool"}, name="wrong.yaml")
    _, err = ran("threads", "rerun", "t@1", "--plan", wrong, "--as", "wrong", code=2)
    assert "no_such_tool" in err
    assert [one["thread_id"] for one in json.loads(ran("threads", "list", "--json")[0])] == ["other", "t"]


def test_a_fork_that_is_not_run_waits_for_resume(ran: Program) -> None:
    _, err = ran("threads", "rerun", "t@two:0", "--no-run")
    assert "resume t-2" in err
    assert json.loads(ran("threads", "show", "t-2", "--json")[0])["status"] == "paused"
    ran("resume", "t-2", "--quiet")
    assert json.loads(ran("threads", "show", "t-2", "--json")[0])["status"] == "completed"


def test_playback_shows_the_run_without_running_it(ran: Program) -> None:
    _, err = ran("threads", "playback", "t", "--fast")
    assert "one completed" in err
    events = [json.loads(line) for line in ran("threads", "playback", "t@two:0", "--fast", "--json")[0].splitlines()]
    assert events[0]["type"] == "run_started"
    assert "two" not in {one.get("subtask") for one in events if one["type"] == "subtask_finished"}

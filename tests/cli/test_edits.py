"""An edit from the shell: refused before it is taken, and told wherever the call is told."""

from __future__ import annotations

import json

import pytest

from tests.engine.plans import subtask

from .conftest import Program
from .runs import started, work

pytestmark = pytest.mark.postgres

SAY = subtask("say", "bash", args={"command": "echo draft", "timeout_s": 9})


def waiting(program: Program) -> None:
    program("run", "--plan", program.plan(SAY), "--policy", "ask", "--thread", "t", code=3)


def test_an_edit_that_cannot_be_made_is_refused_and_the_thread_still_waits(program: Program) -> None:
    (program.folder / "policy.toml").write_text(
        'default = "ask"\n[[rules]]\ntool = "bash"\nargs = {command = "rm *"}\naction = "deny"\nreason = "keep all"\n'
    )
    program("run", "--plan", program.plan(SAY), "--policy", "policy.toml", "--thread", "t", code=3)
    for edit, why in [
        ('{"comand": "ls"}', "unknown argument 'comand'"),
        ('{"timeout_s": "long"}', "'timeout_s'"),
        ('{"command": "rm -rf /"}', "keep all"),
        ('{"cwd": null}', "takes away the argument 'cwd'"),
    ]:
        _, err = program("resume", "t", "--answer", f"edit {edit}", code=2)
        assert why in err, err
        assert "waiting" in program("threads", "show", "t")[0]
    out, _ = program("resume", "t", "--answer", 'edit {"command": "echo final"}')
    assert "final" in out


@pytest.mark.kill
def test_an_edit_for_a_running_process_is_checked_before_it_is_handed_on(program: Program) -> None:
    plan = program.plan({**SAY, "approval": True}, work(program, "slow", 8.0))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "slow")
        _, err = program("resume", "t", "--answer", 'edit {"comand": "ls"}', code=2)
        assert "unknown argument 'comand'" in err
        program("resume", "t", "--answer", 'edit {"command": "echo final"}', code=5)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (say, _) = json.loads(program("threads", "show", "t", "--json")[0])["subtasks"]
    assert say["result"]["args"] == {"command": "echo final", "timeout_s": 9}


def test_what_a_person_changed_is_told_everywhere(program: Program) -> None:
    waiting(program)
    out, _ = program("resume", "t", "--json", "--answer", 'edit {"command": "echo final", "timeout_s": null}')
    last = json.loads(out.splitlines()[-1])
    assert last["results"]["say"]["args"] == {"command": "echo final"}
    assert last["results"]["say"]["args_by"] == "a person"
    out, _ = program("threads", "show", "t")
    assert "say: a person changed the arguments; called was bash command=echo final\n" in out
    (shown,) = json.loads(program("threads", "show", "t", "--json")[0])["subtasks"]
    assert shown["result"]["args"] == {"command": "echo final"}
    program("threads", "report", "t", "-o", "report.html")
    page = (program.folder / "report.html").read_text()
    assert "Arguments, as a person changed them" in page
    assert "echo final" in page
    assert "Arguments in the plan" in page

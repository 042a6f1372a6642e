"""Edits of templates: a person corrects one as a plan file; it takes its former place, and its runs count on."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import PATIENCE_S, Program
from tests.cli.ways import STEPS, TASK, imported, listed, workspace, written


def editor(program: Program, script: str) -> None:
    """Let `$EDITOR` be a script, whose argument is the file."""
    path = program.folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    program.environment["EDITOR"] = str(path)


def corrected(program: Program, **changes: Any) -> str:
    """A file with the template as another plan; its name."""
    (program.folder / "new.yaml").write_text(yaml.safe_dump({"goal": TASK, "subtasks": STEPS, **changes}))
    return "new.yaml"


def test_a_template_is_corrected_in_an_editor(program: Program) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "a.txt", "and", "write", "60", "to", "b.txt"]
    program("memory", "templates", "run", key, *words, "--workspace", workspace(program))
    goal = "Leave {{p2:number}} of {{p1:path}} in {{p3}}"
    editor(program, f'cp "$1" {program.folder}/seen\nsed -i "s/^goal: .*/goal: {goal}/" "$1"')
    _, err = program("memory", "templates", "edit", key[:6])

    assert err.startswith(f"Edited {key}.\n"), "the steps are the same, and so is the key"
    program("memory", "templates", "export", key, "out.yaml")
    seen = yaml.safe_load((program.folder / "seen").read_text())
    assert seen == {"goal": TASK, "subtasks": STEPS}
    (one,) = listed(program)
    assert (one["task"], one["runs"], one["worked"]) == ("Leave {{p2}} of {{p1}} in {{p3}}", 2, 2)
    assert one["parameters"] == {"p1": "path", "p2": "number", "p3": "words"}
    assert [step["runs"] for step in one["steps"]] == [1, 1, 1]
    assert program("memory", "templates", "edit", key)[1] == "Nothing was changed.\n"


def test_other_steps_have_another_key_and_the_runs_go_along(program: Program) -> None:
    key = imported(program)
    words = ["count", "the", "words", "of", "a.txt", "and", "write", "60", "to", "b.txt"]
    program("memory", "templates", "run", key, *words, "--workspace", workspace(program), "--thread", "one")
    steps = [*STEPS[:2], {**STEPS[2], "args": {"pattern": "*.md"}}]
    out, _ = program("memory", "templates", "edit", key, "--file", corrected(program, subtasks=steps), "--json")
    moved = json.loads(out)["key"]

    (one,) = listed(program)
    assert one["key"] == moved != key
    assert (one["runs"], one["worked"], [step["runs"] for step in one["steps"]]) == (2, 2, [1, 1, 0])
    assert f"templates show {moved}" in program("threads", "rate", "one", "bad")[1]
    program("memory", "templates", "show", key, code=2)

    imported(program)
    _, err = program("memory", "templates", "edit", moved, "--file", corrected(program))
    assert err.startswith(f"Edited {moved}, which has the key {key} now, where it took the place of the one for: Count")
    (one,) = listed(program)
    assert (one["key"], one["runs"], one["worked"]) == (key, 2, 1), "one run, and the person's word"


def test_the_kind_of_a_parameter_that_no_task_says_stays(program: Program) -> None:
    steps = [*STEPS[:2], {**STEPS[2], "args": {"pattern": "{{p4}}", "limit": "{{p5:int}}"}}]
    key = imported(program, steps)
    assert listed(program)[0]["parameters"]["p5"] == "number"
    file = corrected(program, subtasks=steps, goal=f"{TASK} soon")
    program("memory", "templates", "edit", key, "--file", file)

    (one,) = listed(program)
    assert one["parameters"] == {"p1": "path", "p2": "number", "p3": "path", "p4": "words", "p5": "number"}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("goal: [", "The plan in what you wrote has 1 problem"),
        ("subtasks: [{id: a, tool: bash, args: {command: ls}}]", "has no `goal`"),
        ("goal: Do\nsubtasks: [{id: a, tool: bash, needs: [b]}]", "'b'"),
    ],
)
def test_what_was_typed_and_is_refused_is_kept(program: Program, typed: str, said: str) -> None:
    anna = ("--owner", "anna")
    key = json.loads(program("memory", "templates", "import", written(program), "--json", *anna)[0])["key"]
    (program.folder / "typed").write_text(typed)
    editor(program, f'cat {program.folder}/typed > "$1"')
    _, err = program("memory", "templates", "edit", key, *anna, code=2)

    assert said in err
    kept = re.search(r"What you wrote is kept in '([^']+)'; mend it and store it with: (.+)", err)
    assert kept is not None
    assert f"memory templates edit {key} --owner anna --file {kept[1]}" in kept[2]
    path = Path(kept[1])
    try:
        assert path.read_text() == typed
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        path.unlink()
    (one,) = json.loads(program("memory", "templates", "list", "--json", *anna)[0])
    assert (one["task"], one["runs"]) == (re.sub(":[a-z]+}}", "}}", TASK), 1)


def test_a_file_that_is_refused_is_named_and_nothing_is_changed(program: Program) -> None:
    key = imported(program)
    assert "no `goal`" in program("memory", "templates", "edit", key, "--file", corrected(program, goal=""), code=2)[1]
    wrong = corrected(program, subtasks=[])
    assert "The plan in new.yaml has" in program("memory", "templates", "edit", key, "--file", wrong, code=2)[1]
    assert "cannot be read" in program("memory", "templates", "edit", key, "--file", "none.yaml", code=2)[1]
    assert "begins with 'zz'" in program("memory", "templates", "edit", "zz", "--file", wrong, code=2)[1]
    assert listed(program)[0]["runs"] == 1


def test_the_corrected_file_may_come_from_the_input(program: Program) -> None:
    key = imported(program)
    command = [program.command, "memory", "templates", "edit", key, "--file", "-"]
    text = json.dumps({"goal": "Other", "subtasks": STEPS})
    options: dict[str, Any] = {"cwd": program.folder, "env": program.environment, "text": True, "timeout": PATIENCE_S}
    subprocess.run(command, input=text, check=True, capture_output=True, **options)
    assert [one["task"] for one in listed(program)] == ["Other"]
    refused = subprocess.run(command, input="{", check=False, capture_output=True, **options)
    assert (refused.returncode, "The plan in the input has" in refused.stderr) == (2, True), refused.stderr


def test_what_was_removed_meanwhile_is_not_stored_again(program: Program) -> None:
    key = imported(program)
    remove = f"{program.command} memory templates delete {key} --yes"
    editor(program, f'{remove}\nsed -i "s/^goal: .*/goal: Other/" "$1"')
    _, err = program("memory", "templates", "edit", key, code=2)

    assert f"The template '{key}' has been changed or removed since you opened it." in err
    assert "What you wrote is kept in" in err
    assert listed(program) == []

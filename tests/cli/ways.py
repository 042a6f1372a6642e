"""Ways: a template written by hand, as a file, and in the memory of the program."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.cli.conftest import Program

TASK = "Count the words of {{p1:path}} and write {{p2:number}} to {{p3:path}}"
STEPS: list[dict[str, Any]] = [
    {"id": "c", "tool": "bash", "args": {"command": "wc -w < {{p1}}", "timeout_s": "{{p2:int}}"}},
    {
        "id": "w",
        "tool": "str_replace_editor",
        "args": {"command": "create", "path": "{{p3}}", "file_text": "{{p2}} ${c.stdout}"},
    },
    {"id": "l", "tool": "list_files", "args": {"pattern": "*.txt"}, "needs": ["w"]},
]


def written(program: Program, steps: list[dict[str, Any]] | None = None, task: str = TASK) -> str:
    """Write a template by hand; its file's name."""
    content = {"goal": task, "subtasks": STEPS if steps is None else steps}
    (program.folder / "way.yaml").write_text(yaml.safe_dump(content))
    return "way.yaml"


def imported(program: Program, steps: list[dict[str, Any]] | None = None, task: str = TASK) -> str:
    """Import a template; its key."""
    out, _ = program("memory", "templates", "import", written(program, steps, task), "--json")
    return str(json.loads(out)["key"])


def listed(program: Program) -> list[dict[str, Any]]:
    out, _ = program("memory", "templates", "list", "--json")
    found: list[dict[str, Any]] = json.loads(out)
    return found


def workspace(program: Program) -> str:
    (program.folder / "ws").mkdir(exist_ok=True)
    (program.folder / "ws" / "a.txt").write_text("three little words")
    return "ws"

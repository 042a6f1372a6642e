"""The real program, in a process of its own, on the test's database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interpreter import Interpreter

PATIENCE_S = 240
"""Seconds until a program counts as hung: below the limit of a test, and more than a busy machine takes."""

TOOLS = Path(__file__).parents[1] / "engine" / "sample_tools.py"


class Program:
    """Calls `openmanus-graph` as a user would, in a folder of its own."""

    def __init__(self, folder: Path, environment: dict[str, str], command: str) -> None:
        self.folder = folder
        self.environment = environment
        self.command = command
        self.tools = str(TOOLS)

    def within(self, name: str) -> Program:
        """The same program in a folder below this one, which is made if it is missing."""
        (self.folder / name).mkdir(exist_ok=True)
        return Program(self.folder / name, self.environment, self.command)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start it, pipes attached."""
        return subprocess.Popen(
            [sys.executable, "-m", "openmanus_graph", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run it to its end; stdout and stderr, the exit code as expected."""
        ended = subprocess.run(
            [self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert ended.returncode == code, f"exit {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
        assert "Traceback" not in ended.stderr
        return ended.stdout, ended.stderr

    def plan(self, *subtasks: dict[str, Any], name: str = "plan.yaml") -> str:
        """Write a plan file; its name."""
        (self.folder / name).write_text(yaml.safe_dump({"goal": "a test", "subtasks": list(subtasks)}))
        return name

    def log(self) -> list[str]:
        """The side effects of the tool `work`."""
        path = self.folder / "log"
        return path.read_text().splitlines() if path.exists() else []


MakeProgram = Callable[..., Program]


@pytest.fixture
def program_in(tmp_path: Path, interpreter: Interpreter) -> MakeProgram:
    """Make a program with an environment of one's own."""

    command = interpreter.command(module=True)

    def make(**more: str) -> Program:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return Program(tmp_path, {**kept, "OPENMANUS_GRAPH_HOME": str(tmp_path / "unused"), **more}, command)

    return make


@pytest.fixture
def program(program_in: MakeProgram, database: str) -> Program:
    """The program on the test's database."""
    return program_in(DATABASE_URL=database)

"""The demo as a person runs it: the real program, in an empty folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.interpreter import Interpreter


class Demo:
    """Calls `openmanus-graph demo` in a folder of its own, on a database of its own."""

    def __init__(self, folder: Path, database: str, command: str) -> None:
        self.folder = folder
        self.command = command
        self.database = database
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        self.environment = {**kept, "OPENMANUS_GRAPH_HOME": str(folder / "home"), "DATABASE_URL": database}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start it, pipes attached unless other files are given."""
        files = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [self.command, "demo", *arguments],
            cwd=self.folder,
            **{"env": self.environment, "text": True, **files, **options},
        )

    def __call__(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run it to its end; stdout and stderr, the exit code as expected."""
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return out, err

    def places(self, thread: str) -> list[str]:
        """Where models were called, a line for each call that was made."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute(
                "SELECT role, subtask, turn FROM openmanus_graph.model_calls WHERE thread_id = %s AND NOT in_flight",
                (thread,),
            ).fetchall()
        return [f"{role}/{subtask or '-'}/{turn}" for role, subtask, turn in found]

    def file(self, thread: str, name: str) -> str:
        """A file of the thread's workspace."""
        return (self.folder / "openmanus-work" / thread / name).read_text(encoding="utf-8")


@pytest.fixture
def demo(tmp_path: Path, database: str, interpreter: Interpreter, require: Any) -> Demo:
    """The demo."""
    from openmanus_graph import Settings
    from openmanus_graph.sandbox.level import probe

    works = any(report.works for report in probe(Settings.load()))
    require(works, "no sandbox works here, and the demo runs Python", "apt-get install bubblewrap")
    return Demo(tmp_path, database, interpreter.command(module=True))

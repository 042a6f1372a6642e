"""Runs from the shell: subtasks that write a log, and a wait for one of them."""

from __future__ import annotations

import time
from typing import Any

from tests.engine.plans import subtask

from .conftest import Program


def work(program: Program, name: str, seconds: float, needs: list[str] | None = None) -> dict[str, Any]:
    """A subtask that logs its start and its end, and takes so long between them."""
    log = str(program.folder / "log")
    return subtask(name, "work", needs, args={"name": name, "seconds": seconds, "logfile": log})


def started(program: Program, name: str) -> None:
    """Wait until the log says that the subtask has started."""
    deadline = time.monotonic() + 30
    while f"start {name}" not in program.log():
        assert time.monotonic() < deadline
        time.sleep(0.02)

"""Shell: commands in processes that are killed, and what must hold of their thread once `resume` was typed."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg

from openmanus_graph.langgraph_internals import pulled_node
from openmanus_graph.testing import ScriptedServer
from tests.chaos.runner import Fork
from tests.chaos.shell_shapes import SHELL_SHAPES

WAITS = 3
"""The exit code of a run that waits for an answer."""
STEP_IN_FLIGHT = 1
"""Calls of the model that a kill may cost: that of the step in flight."""


class Shell:
    """Threads of one shape on one database, each compared with a calm run."""

    def __init__(self, fork: Fork, shape: str, database: str, folder: Path, provider: ScriptedServer) -> None:
        self.fork, self.name, self.database, self.folder, self.provider = fork, shape, database, folder, provider
        self.shape = SHELL_SHAPES[shape]
        self._threads = 0
        thread = self.new()
        codes, self.boundaries = self._to_the_end(thread, list(self.shape.command))
        assert codes == [WAITS] * len(self.shape.answers) + [0], self.errors(thread)
        self.calm = self._left(thread)
        """What the calm run gave."""

    def new(self) -> str:
        """A new thread, whose name is also its folder's."""
        self._threads += 1
        thread = f"t{self._threads}"
        (self.folder / thread).mkdir()
        for name, text in self.shape.files.items():
            (self.folder / thread / name).write_text(text)
        return thread

    def _type(self, thread: str, words: list[str], **more: Any) -> tuple[int, list[str]]:
        """A command in a process of its own; its exit code, and the boundaries it came to."""
        environment = {"DATABASE_URL": self.database, **self.provider.environment}
        case = {"name": thread, "argv": words, "folder": str(self.folder / thread), "environment": environment}
        code, left = self.fork.run({**case, **more})
        assert left == [], left
        ended = self.folder / thread / "ended.json"
        passed = json.loads(ended.read_text()) if code >= 0 else []
        return code, passed

    def _to_the_end(self, thread: str, words: list[str]) -> tuple[list[int], list[str]]:
        """Type a command, and answer what is asked, until the thread waits no more."""
        if words[0] == "run":
            words = [*words, "--thread", thread]
        codes: list[int] = []
        boundaries: list[str] = []
        while True:
            code, passed = self._type(thread, words)
            codes.append(code)
            boundaries += passed
            answered = sum(code == WAITS for code in codes)
            if code != WAITS or answered > len(self.shape.answers) + 1:
                return codes, boundaries
            words = ["resume", thread, "--answer", self.shape.answers[-1]]

    def errors(self, thread: str) -> str:
        """What a thread's commands said on stderr."""
        return (self.folder / thread / "stderr").read_text()[-3000:]

    def said(self, thread: str) -> str:
        """What a thread's last command said on stdout."""
        return (self.folder / thread / "stdout").read_text()

    def _rows(self, query: Any, thread: str) -> list[Any]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, (thread,)).fetchall()

    def _ran(self, thread: str) -> Counter[str]:
        log = self.folder / thread / "ran.log"
        return Counter(log.read_text().split()) if log.exists() else Counter()

    def _committed(self, thread: str) -> Counter[str]:
        """How often each node has run and is committed."""
        rows = self._rows(
            "SELECT DISTINCT checkpoint_id, task_id, task_path FROM openmanus_graph.checkpoint_writes"
            " WHERE thread_id = %s AND checkpoint_ns = '' AND idx >= 0",
            thread,
        )
        return Counter(pulled_node(path) or "work" for _, _, path in rows)

    def _calls(self, thread: str) -> int:
        return int(
            self._rows(
                "SELECT count(*) FROM openmanus_graph.model_calls WHERE thread_id = %s AND NOT in_flight", thread
            )[0][0]
        )

    def _left(self, thread: str) -> dict[str, Any]:
        """What the runs of a thread left."""
        row = self._rows("SELECT status, error, progress FROM openmanus_graph.threads WHERE thread_id = %s", thread)
        work = self.folder / thread / "openmanus-work" / thread
        files = {path.name: path.read_text() for path in sorted(work.glob("*.txt"))}
        return {"said": self.said(thread), "row": row, "files": files, "ran": self._ran(thread)}

    def killed_at(self, boundary: str) -> tuple[bool, list[str]]:
        """Kill a new thread at a boundary and resume it; whether it came there, and what is wrong."""
        thread = self.new()
        words = [*self.shape.command, "--thread", thread]
        answers = iter(self.shape.answers)
        passed: Counter[str] = Counter()
        while True:
            code, came = self._type(thread, words, kill_at=boundary, passed=dict(passed))
            if code == -signal.SIGKILL:
                break
            passed.update(name.rpartition(" #")[0] for name in came)
            if code != WAITS:
                return False, []
            words = ["resume", thread, "--answer", next(answers)]
        if not self._rows("SELECT 1 FROM openmanus_graph.threads WHERE thread_id = %s", thread):
            return True, []  # nobody has heard of it; `run` begins it again
        return True, self._resumed(thread)

    def _resumed(self, thread: str) -> list[str]:
        """Type `resume`; what is wrong then."""
        expected = self.calm["ran"] + (self._ran(thread) - self._committed(thread))
        codes, _ = self._to_the_end(thread, ["resume", thread])
        found = self._left(thread)
        problems = [
            f"{key}: {found[key]!r:.300} instead of {self.calm[key]!r:.300}"
            for key in ("said", "row", "files")
            if found[key] != self.calm[key]
        ]
        if codes[-1] != 0:
            problems.append(f"exit codes: {codes}\n{self.errors(thread)}")
        if found["ran"] != expected:
            problems.append(f"nodes run: {dict(found['ran'])} instead of {dict(expected)}")
        return problems + self._paid(thread)

    def _paid(self, thread: str) -> list[str]:
        extra = self._calls(thread) - self._calls("t1")
        return [] if 0 <= extra <= STEP_IN_FLIGHT else [f"calls of the model: {extra} more than in a calm run"]

"""Runners: processes on threads of one database, and what must hold of a thread once it was resumed."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import psycopg

from tests.chaos.shapes import SHAPES, tree
from tests.ledger.paying import PAID

WORKER = Path(__file__).with_name("worker.py")
CASE_S = 90.0
"""How long one runner may take."""


class Fork:
    """The process that forks runners."""

    def __init__(self) -> None:
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._heard: list[dict[str, Any]] = []
        self._rest = b""
        self._wait("ready", lambda said: "ready" in said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def start(self, case: dict[str, Any]) -> int:
        """Start a runner; its pid."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(case).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._wait(case["name"], lambda said: said.get("name") == case["name"] and "pid" in said)["pid"])

    def end(self, name: str, seconds: float = CASE_S) -> tuple[int, list[str]]:
        """Wait for a runner's end; its exit code, and the processes that it left."""
        said = self._wait(name, lambda said: said.get("name") == name and "code" in said, seconds)
        return int(said["code"]), list(said["left"])

    def run(self, case: dict[str, Any]) -> tuple[int, list[str]]:
        """A runner from its start to its end."""
        self.start(case)
        return self.end(case["name"])

    def _wait(self, what: str, wanted: Any, seconds: float = CASE_S) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        while True:
            for index, said in enumerate(self._heard):
                if wanted(said):
                    return self._heard.pop(index)
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError(f"nothing was heard of {what!r} for {seconds:g} s")
            new = os.read(self._process.stdout.fileno(), 1 << 16)
            if not new:
                raise EOFError(f"the process that forks runners ended before {what!r}")
            *lines, self._rest = (self._rest + new).split(b"\n")
            self._heard += map(json.loads, lines)


class Bench:
    """Threads of one shape on one database, each compared with a calm run."""

    def __init__(self, fork: Fork, shape: str, database: str, folder: Path, provider: str = "") -> None:
        self.fork, self.shape, self.database, self.folder, self.provider = fork, shape, database, folder, provider
        self._threads = 0
        self.calm = self._calm()
        """What the calm run gave."""
        self.boundaries: list[str] = self.calm.pop("boundaries")

    def case(self, thread: str, **more: Any) -> dict[str, Any]:
        """What a runner is told."""
        said = {"name": thread, "thread": thread, "shape": self.shape, "url": self.database}
        return {**said, "folder": str(self.folder / thread), "provider": self.provider, **more}

    def _calm(self) -> dict[str, Any]:
        code, left = self.fork.run(self.case("calm"))
        assert (code, left) == (0, []), self.errors("calm")
        return {**json.loads((self.folder / "calm" / "ended.json").read_text()), **self._left("calm")}

    def errors(self, thread: str) -> str:
        """What a thread's runners said on stderr."""
        return (self.folder / thread / "stderr").read_text()[-3000:]

    def _left(self, thread: str) -> dict[str, Any]:
        """What the runs of a thread left in files and database."""
        with psycopg.connect(self.database) as connection:
            points = connection.execute(
                "SELECT checkpoint_ns, count(*) FROM openmanus_graph.checkpoints WHERE thread_id = %s GROUP BY 1",
                (thread,),
            ).fetchall()
            row = connection.execute(
                "SELECT status, progress FROM openmanus_graph.threads WHERE thread_id = %s", (thread,)
            ).fetchone()
        counts = Counter[str]()
        for namespace, count in points:
            counts[re.sub(r":[0-9a-f-]{36}", "", namespace)] += count
        return {"points": dict(counts), "row": row, "files": tree(self.folder / thread / "work")}

    def passed(self, thread: str) -> list[str]:
        """The boundaries that the last run of a thread came to."""
        return json.loads((self.folder / thread / "ended.json").read_text())["boundaries"]

    def resume(self, thread: str, **more: Any) -> list[str]:
        """Go on to the end; what is wrong with it then."""
        code, left = self.fork.run(self.case(thread, **more))
        if code != 0:
            return [f"the resume ended with {code}:\n{self.errors(thread)}"]
        return [*(f"left running: {one}" for one in left), *self.problems(thread)]

    def problems(self, thread: str) -> list[str]:
        """What differs from the calm run."""
        ended = json.loads((self.folder / thread / "ended.json").read_text())
        found = {**ended, **self._left(thread)}
        problems = [
            f"{key}: {_difference(found[key], self.calm[key])}" for key in self.calm if found[key] != self.calm[key]
        ]
        log = (self.folder / thread / PAID).read_text().splitlines()
        paid = Counter(f"{line.split()[0]} {line.split()[2]}" for line in log)
        if paid != SHAPES[self.shape].paid:
            problems.append(f"paid: {dict(paid)}")
        expected = {"work", "stderr", "ended.json", "paid", "called"}
        if strange := {path.name for path in (self.folder / thread).iterdir()} - expected:
            problems.append(f"left beside the workspace: {sorted(strange)}")
        with psycopg.connect(self.database) as connection:
            forks = connection.execute(
                "SELECT checkpoint_ns, parent_checkpoint_id FROM openmanus_graph.checkpoints WHERE thread_id = %s"
                " GROUP BY 1, 2 HAVING count(*) > 1",
                (thread,),
            ).fetchall()
            if forks:
                problems.append(f"the history forks: {forks}")
            open_effects = connection.execute(
                "SELECT tool, status FROM openmanus_graph.effects WHERE thread_id = %s AND status <> 'done'", (thread,)
            ).fetchall()
            if open_effects:
                problems.append(f"effects that are not done: {open_effects}")
        return [*problems, *self._locks()]

    def _locks(self) -> list[str]:
        """Locks that outlive their runner; the server frees them as it notices its end."""
        deadline = time.monotonic() + 2.0
        query = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database" + (
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        )
        with psycopg.connect(self.database, autocommit=True) as connection:
            while (held := connection.execute(query).fetchone()) and held[0]:
                if time.monotonic() > deadline:
                    return [f"{held[0]} locks are still held"]
                time.sleep(0.02)
        return []

    def new(self) -> str:
        """The name of a new thread."""
        self._threads += 1
        return f"t{self._threads}"

    def killed_at(self, boundary: str) -> tuple[bool, list[str]]:
        """Kill a new thread at a boundary and resume it; whether it came there, and what is wrong."""
        thread = self.new()
        code, left = self.fork.run(self.case(thread, kill_at=boundary))
        problems = [f"left running: {one}" for one in left]
        if code == 0:
            return False, [*problems, *self.problems(thread)]
        if code != -signal.SIGKILL:
            return False, [*problems, f"it ended with {code}:\n{self.errors(thread)}"]
        return True, [*problems, *self.resume(thread)]


def _difference(found: Any, calm: Any) -> str:
    """The parts of two values that differ."""
    if isinstance(found, dict) and isinstance(calm, dict):
        keys = [key for key in {**calm, **found} if found.get(key) != calm.get(key)]
        return "; ".join(f"{key}: {_difference(found.get(key), calm.get(key))}" for key in keys)
    return f"{found!r:.200} instead of {calm!r:.200}"

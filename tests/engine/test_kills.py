"""A run killed with -9 at random moments, again and again, ends with every result right and none made twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from openmanus_graph.checkpoints.serializer import PlainSerializer
from tests.interpreter import Interpreter, kill

from .plans import plan, subtask

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

WORKER = Path(__file__).with_name("worker.py")


def shape(kind: str, logfile: Path, seconds: float) -> dict[str, Any]:
    """Three shapes: parallel chains, a fan-out with a fan-in, and a random DAG; names differ in length."""

    def step(index: int, needs: list[str]) -> dict[str, Any]:
        name = f"{kind[0]}{'x' * (index % 5)}{index}"
        return subtask(name, "work", needs, args={"name": name, "seconds": seconds, "logfile": str(logfile)})

    steps: list[dict[str, Any]] = []
    rng = random.Random(kind)
    for index in range(18):
        if kind == "chains":
            needs = [steps[index - 3]["id"]] if index >= 3 else []
        elif kind == "fan":
            needs = [] if index == 0 else [steps[0]["id"]] if index < 17 else [made["id"] for made in steps[1:]]
        else:
            needs = [made["id"] for made in rng.sample(steps, min(len(steps), rng.randint(0, 3)))]
        steps.append(step(index, needs))
    return plan(*steps)


def committed(url: str, thread_id: str) -> set[str]:
    """Subtasks whose result is committed, read without the engine."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT checkpoint_ns, type, blob FROM openmanus_graph.checkpoint_blobs"
            " WHERE thread_id = %s AND channel = 'result'",
            (thread_id,),
        ).fetchall()
    serializer = PlainSerializer()
    return {
        space.split(" ")[1]
        for space, kind, blob in rows
        if kind != "empty" and serializer.loads_typed((kind, bytes(blob or b""))) is not None
    }


class Victim:
    """A thread whose process is killed; it keeps what must hold of the log of side effects."""

    def __init__(
        self, python: str, url: str, thread_id: str, folder: Path, given: dict[str, Any], pace: str = "fast"
    ) -> None:
        self.python, self.url, self.thread_id, self.pace = python, url, thread_id, pace
        self.plan = given
        self.needs = {item["id"]: item["needs"] for item in given["subtasks"]}
        self.logfile = Path(given["subtasks"][0]["args"]["logfile"])
        self.plan_file = folder / f"{thread_id}.json"
        self.plan_file.write_text(json.dumps(given))
        self.marks: list[tuple[int, set[str]]] = []

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [self.python, str(WORKER), self.url, self.thread_id, str(self.plan_file), self.pace],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def log(self) -> list[str]:
        return self.logfile.read_text().splitlines() if self.logfile.exists() else []

    def kill_after(self, seconds: float) -> bool:
        """Run until killed; whether the kill came before the end."""
        with self.start() as process:
            time.sleep(seconds)
            early = process.poll() is None
            kill(process)
        done = committed(self.url, self.thread_id)
        lines = self.log()
        self.marks.append((len(lines), done))
        for line in lines:
            kind, name = line.split(" ")
            if kind == "start":
                assert set(self.needs[name]) <= done, f"{name} began before its prerequisites were committed"
        return early

    def finish(self) -> dict[str, Any]:
        with self.start() as process:
            assert process.stdout is not None
            results = json.loads(process.stdout.read())
        assert process.returncode == 0
        return results

    def check(self, results: dict[str, Any]) -> None:
        assert {key: result["output"] for key, result in results.items()} == {
            name: {"name": name, "number": len(name)} for name in self.needs
        }
        lines = self.log()
        for length, done in self.marks:
            again = [name for kind, name in map(str.split, lines[length:]) if kind == "start" and name in done]
            assert again == [], "committed results were made again"


@pytest.mark.parametrize("kind", ["chains", "fan", "random"])
def test_ten_random_kills_a_shape(kind: str, database: str, tmp_path: Path, interpreter: Interpreter) -> None:
    rng = random.Random(f"kills {kind}")
    kills, number = 0, 0
    while kills < 10:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        victim = Victim(interpreter.python(), database, f"{kind}-{number}", folder, shape(kind, folder / "log", 0.12))
        while kills < 10 and victim.kill_after(rng.uniform(0.0, 0.4)):
            kills += 1
        victim.check(victim.finish())


def test_the_promise_holds_with_a_saver_that_commits_late(
    database: str, tmp_path: Path, interpreter: Interpreter
) -> None:
    victim = Victim(
        interpreter.python(), database, "slow", tmp_path, shape("chains", tmp_path / "log", 0.02), pace="slow"
    )
    rng = random.Random("slow")
    for _ in range(3):
        victim.kill_after(rng.uniform(0.9, 2.2))
    victim.pace = "fast"
    victim.check(victim.finish())
    assert any(done for _, done in victim.marks), "no kill came after a commit"


def test_a_process_that_is_stopped_and_continued_cannot_write_any_more(database: str, tmp_path: Path) -> None:
    victim = Victim(sys.executable, database, "stopped", tmp_path, shape("chains", tmp_path / "log", 0.3))
    with victim.start() as process:
        deadline = time.monotonic() + 120
        while not any(
            line.startswith("end") for line in victim.log()
        ):  # it has the thread, and has committed something
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGSTOP)
        # Its connections are cut while it sleeps, as a server does after its keepalives.
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        time.sleep(0.3)
        results = victim.finish()
        mark = len(victim.log())
        os.kill(process.pid, signal.SIGCONT)
        process.wait(120)
    assert process.returncode not in (0, None)
    assert not [line for line in victim.log()[mark:] if line.startswith("start")]
    victim.check(results)

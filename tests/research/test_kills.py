"""Kills: a research that is killed at any boundary goes on, alone, as a tool or as an agent, and repeats nothing."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from openmanus_graph.testing import Reply, ScriptedServer
from tests.cli.conftest import PATIENCE_S, MakeProgram, Program
from tests.interpreter import Interpreter
from tests.research.conftest import QUERY
from tests.research.web import Rules, Web, question

pytestmark = pytest.mark.postgres

RUNNER = str(Path(__file__).with_name("killed_runner.py"))
WORDS = {"/opened": "1931", "/toll": "3 crowns"}
"""What only one page says."""
WAYS = ("alone", "tool", "agent")


class Bench:
    """Runs cases on one database, and counts what they read."""

    def __init__(self, program: Program, python: str, web: Web) -> None:
        self.program, self.python, self.web = program, python, web
        self.url = program.environment["DATABASE_URL"]
        self.threads = 0

    def run(self, way: str, thread: str, kill_at: str | None = None) -> int:
        case = {"way": way, "thread": thread, "query": QUERY, "kill_at": kill_at}
        command = [self.python, RUNNER, json.dumps(case)]
        ended = subprocess.run(
            command, cwd=self.program.folder, env=self.program.environment, timeout=PATIENCE_S,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode in (0, -signal.SIGKILL), f"{kill_at}\n{ended.stderr}"
        return ended.returncode

    def ended(self) -> dict[str, Any]:
        return dict(json.loads((self.program.folder / "ended.json").read_text()))

    def committed(self, thread: str, word: str, *tables: str) -> bool:
        """Whether some table has a word in a row of a thread."""
        with psycopg.connect(self.url, options="-c search_path=openmanus_graph") as connection:
            for table in tables:
                query = sql.SQL(
                    "SELECT 1 FROM {} t WHERE thread_id = %s AND (strpos(t::text, %s) > 0 OR strpos(t::text, %s) > 0)"
                ).format(sql.Identifier(table))
                if connection.execute(query, (thread, word, word.encode().hex())).fetchone():
                    return True
        return False

    def problems(self, way: str, boundary: str) -> list[str]:
        """What is wrong after a kill at a boundary and a resume."""
        self.threads += 1
        thread = f"{way}-{self.threads}"
        self.web.read.clear()
        self.web.searched.clear()
        if self.run(way, thread, boundary) == 0:
            return []  # what is written at the same time was another this time
        kept = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
        read, searched = Counter(self.web.read), Counter(self.web.searched)
        done = {path: self.committed(thread, word, *kept) for path, word in WORDS.items()}
        found = self.committed(thread, "/opened", "searches")
        if way == "agent" or not self.committed(thread, thread, "threads"):
            self.run(way, thread)
            status = self.ended()["status"]
        else:
            self.program("resume", thread, "--quiet")
            status = json.loads(self.program("threads", "show", thread, "--json")[0])["status"]
        problems = [] if status == "completed" else [f"{boundary}: its status is {status!r}"]
        again = Counter(self.web.read) - read
        problems += [f"{boundary}: {path} was read again" for path, is_done in done.items() if is_done and again[path]]
        problems += [f"{boundary}: {path} was never read" for path in WORDS if not self.web.read.count(path)]
        if found and Counter(self.web.searched) - searched:
            problems.append(f"{boundary}: it searched again")
        return problems


@pytest.fixture
def bench(
    program_in: MakeProgram, interpreter: Interpreter, database: str, web: Web, rules: Rules, model: ScriptedServer
) -> Bench:
    rules.answers |= {
        "questions": lambda _: {"questions": [question("What of the bridge?", "bridge")]},
        "verdict": lambda _: {"verified": True, "why": "It is."},
        "delegate": lambda _: Reply("Done."),
    }
    web.found["bridge"] = list(WORDS)
    program = program_in(
        DATABASE_URL=database,
        OPENMANUS_GRAPH_SEARXNG_URL=web.url,
        OPENMANUS_GRAPH_ALLOW_HOSTS='["127.0.0.1"]',
        **model.environment,
    )
    return Bench(program, interpreter.python(), web)


def calm(bench: Bench, way: str) -> list[str]:
    """The boundaries of a run that nothing kills."""
    assert bench.run(way, f"{way}-calm") == 0
    ended = bench.ended()
    assert ended["status"] == "completed"
    assert sorted(bench.web.read) == sorted(WORDS)
    return [str(one) for one in ended["boundaries"]]


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("way", WAYS)
def test_killed_it_goes_on_and_repeats_nothing(bench: Bench, way: str) -> None:
    boundaries = calm(bench, way)
    after = [one for one in boundaries if one.startswith("after ")]
    chosen = [one for one in after if "search" in one][:1] + [after[len(after) * part // 5] for part in range(1, 5)]

    assert [problem for boundary in chosen for problem in bench.problems(way, boundary)] == []


@pytest.mark.chaos
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_every_boundary_it_goes_on_and_repeats_nothing(bench: Bench, way: str) -> None:
    assert [problem for boundary in calm(bench, way) for problem in bench.problems(way, boundary)] == []

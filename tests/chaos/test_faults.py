"""Cut connections, wrong clocks, two resumers, and processes that stand still: a resume makes each run whole.

A server that is stopped, killed or full, and back ends that are terminated, are in `tests/server`, `tests/engine` and
`tests/cli/test_faults.py`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from langchain_core.tools import tool

from openmanus_graph import ThreadSaver, ToolError, build_plan_graph
from tests.chaos.conftest import BenchOf
from tests.chaos.proxy import Fault, Proxy
from tests.chaos.runner import Bench
from tests.engine.plans import plan, subtask

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

DAY = 86_400.0
NEVER = 1_000_000
"""Messages after which a connection fails that does not."""


def _at(bench: Bench, share: float) -> str:
    """A boundary of the calm run, by how far it is."""
    return bench.boundaries[int(len(bench.boundaries) * share)]


def _cut(bench: Bench, fault: Fault, after: int, seconds: float) -> str:
    """Run behind a connection that fails, and resume if it ended; how it went."""
    thread = bench.new()
    with Proxy(bench.database, fault, after, seconds) as proxy:
        code, left = bench.fork.run(bench.case(thread, url=proxy.url))
        assert proxy.failed
    assert left == []
    said = f"{fault} of {seconds:g} s after {after} messages: the run"
    if code == 0:
        assert bench.problems(thread) == []
        return f"{said} went on"
    errors = bench.errors(thread)
    assert "errors.DatabaseUnreachableError: No Postgres answers" in errors, errors
    assert bench.resume(thread) == []
    return f"{said} ended and was resumed"


def _messages(bench: Bench) -> int:
    """How many messages a calm run sends."""
    thread = bench.new()
    with Proxy(bench.database, "cut", NEVER, 0.0) as proxy:
        assert bench.fork.run(bench.case(thread, url=proxy.url)) == (0, [])
        return NEVER - proxy.left


@pytest.mark.parametrize("fault", ["cut", "silence"])
def test_a_connection_that_fails_for_a_moment(fault: Fault, branches: Bench, count: list[str]) -> None:
    count.append(_cut(branches, fault, _messages(branches) // 2, 0.5))


@pytest.mark.chaos
@pytest.mark.parametrize("seconds", [3.0, 30.0])
@pytest.mark.parametrize("fault", ["cut", "silence"])
def test_a_connection_that_fails_for_long(fault: Fault, seconds: float, branches: Bench, count: list[str]) -> None:
    sent = _messages(branches)
    count += [_cut(branches, fault, int(sent * share), seconds) for share in (0.2, 0.5, 0.8)]


@pytest.mark.parametrize("clocks", [(0.0, -DAY), (DAY, 0.0)], ids=["behind", "was ahead"])
def test_a_resume_whose_clock_is_behind(clocks: tuple[float, float], branches: Bench) -> None:
    thread, (first, second) = branches.new(), clocks
    code, _ = branches.fork.run(branches.case(thread, clock=first, kill_at=_at(branches, 0.5)))
    assert code == -signal.SIGKILL
    assert branches.resume(thread, clock=second) == []


@pytest.mark.parametrize("shape", ["branches", "asking"])
def test_a_clock_that_jumps_back_and_forth_in_a_run(shape: str, bench_of: BenchOf) -> None:
    bench = bench_of(shape)
    thread, total = bench.new(), len(bench.boundaries)
    jumps = {str(total * part // 6): DAY * (-1) ** part for part in range(1, 6)}
    assert bench.fork.run(bench.case(thread, jumps=jumps)) == (0, []), bench.errors(thread)
    assert bench.problems(thread) == []


async def test_a_clock_that_goes_back_makes_no_wait_longer(saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []

    @tool
    async def shy() -> str:
        """Fail once, while somebody sets the clock."""
        tries.append(time.monotonic())
        if len(tries) > 1:
            return "well"
        raise ToolError("not yet")

    shy.metadata = {"effect": "read"}
    clock = SimpleNamespace(time=lambda: time.time() - DAY, monotonic=time.monotonic)
    monkeypatch.setattr("openmanus_graph.graphs.subtask.time", clock)  # where tries are waited for
    app = build_plan_graph([shy]).compile(checkpointer=saver)
    async with asyncio.timeout(20):
        out = await app.ainvoke({"plan": plan(subtask("a", "shy", retries=1))}, {"configurable": {"thread_id": "t"}})
    assert out["results"]["a"]["output"] == "well"
    assert 0.4 < tries[1] - tries[0] < 5


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_two_resumers(share: float, branches: Bench) -> None:
    thread = branches.new()
    assert branches.fork.run(branches.case(thread, kill_at=_at(branches, share)))[0] == -signal.SIGKILL
    names = [f"{thread} {which}" for which in ("one", "other")]
    for name in names:
        branches.fork.start({**branches.case(thread), "name": name})
    codes = [branches.fork.end(name)[0] for name in names]
    assert 0 in codes, branches.errors(thread)
    assert sum(codes) == 0 or "ThreadBusyError" in branches.errors(thread)
    assert branches.problems(thread) == []


def _stop_and_continue(bench: Bench, seconds: float) -> None:
    thread = bench.new()
    pid = bench.fork.start(bench.case(thread, stop_at=_at(bench, 0.4)))
    _stopped(pid)
    time.sleep(seconds)
    second = bench.case(thread) | {"name": f"{thread} second"}
    assert bench.fork.run(second)[0] == 1
    assert "ThreadBusyError" in bench.errors(thread)
    os.kill(pid, signal.SIGCONT)
    assert bench.fork.end(thread) == (0, [])
    assert bench.problems(thread) == []


def _stopped(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "it did not stop"
        time.sleep(0.01)


def test_a_process_that_stands_still_keeps_its_thread_and_goes_on(branches: Bench) -> None:
    _stop_and_continue(branches, 1.5)


@pytest.mark.chaos
def test_a_process_that_stands_still_for_longer_than_any_timeout(branches: Bench) -> None:
    _stop_and_continue(branches, 75.0)


def test_a_process_that_stood_still_and_lost_its_thread_does_nothing_more(branches: Bench) -> None:
    thread = branches.new()
    # One call at a time: a call that was about to be made when its process stopped is made when it goes on.
    case = branches.case(thread, options={"max_parallel": 1})
    stop = next(name for name in branches.boundaries if name.startswith("after settlement a1"))
    pid = branches.fork.start({**case, "stop_at": stop})
    _stopped(pid)
    with psycopg.connect(branches.database, autocommit=True) as admin:  # as a server whose keepalives find nobody
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    time.sleep(0.3)
    assert branches.fork.run({**case, "name": f"{thread} second"})[0] == 0, branches.errors(thread)
    ended = branches.folder / thread / "ended.json"
    first = ended.read_text()
    os.kill(pid, signal.SIGCONT)
    assert branches.fork.end(thread)[0] == 1
    assert "StaleRunnerError" in branches.errors(thread)
    assert ended.read_text() == first
    assert branches.problems(thread) == []

"""Cut connections, wrong clocks, two resumers, and processes that stand still: a resume makes each run whole.

A server that is stopped, killed or full, and back ends that are terminated, are in `tests/server`, `tests/engine` and
`tests/cli/test_faults.py`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.chaos.proxy import Fault, Proxy
from tests.chaos.runner import Bench, Fork

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

DAY = 86_400.0


def _at(bench: Bench, share: float) -> str:
    """A boundary of the calm run, by how far it is."""
    return bench.boundaries[int(len(bench.boundaries) * share)]


def _cut(bench: Bench, thread: str, fault: Fault, after: int, seconds: float) -> str:
    """Run behind a connection that fails, and resume if it ended; how it went."""
    with Proxy(bench.database, fault, after, seconds) as proxy:
        code, left = bench.fork.run(bench.case(thread, url=proxy.url))
        assert proxy.failed
    assert left == []
    if code == 0:
        assert bench.problems(thread) == []
        return "went on"
    said = bench.errors(thread)
    assert "errors.DatabaseUnreachableError: No Postgres answers" in said, said
    assert bench.resume(thread) == []
    return "ended and was resumed"


@pytest.mark.parametrize("fault", ["cut", "silence"])
def test_a_connection_that_fails_for_a_moment(
    fault: Fault, fork: Fork, database: str, tmp_path: Path, count: list[str]
) -> None:
    bench = Bench(fork, "branches", database, tmp_path)
    count.append(f"{fault} of 0.5 s: the run {_cut(bench, 't', fault, 60, 0.5)}")


@pytest.mark.chaos
@pytest.mark.parametrize("seconds", [3.0, 30.0])
@pytest.mark.parametrize("fault", ["cut", "silence"])
def test_a_connection_that_fails_for_long(
    fault: Fault, seconds: float, fork: Fork, database: str, tmp_path: Path, count: list[str]
) -> None:
    bench = Bench(fork, "branches", database, tmp_path)
    for after in (20, 60, 120):
        count.append(f"{fault} of {seconds:g} s: the run {_cut(bench, f't{after}', fault, after, seconds)}")


@pytest.mark.parametrize("clocks", [(0.0, -DAY), (DAY, 0.0)], ids=["behind", "was ahead"])
def test_a_resume_whose_clock_is_behind(clocks: tuple[float, float], fork: Fork, database: str, tmp_path: Path) -> None:
    bench = Bench(fork, "branches", database, tmp_path)
    first, second = clocks
    code, _ = fork.run(bench.case("t", clock=first, kill_at=_at(bench, 0.5)))
    assert code == -signal.SIGKILL
    assert bench.resume("t", clock=second) == []


@pytest.mark.parametrize("shape", ["branches", "asking"])
def test_a_clock_that_jumps_back_and_forth_in_a_run(shape: str, fork: Fork, database: str, tmp_path: Path) -> None:
    bench = Bench(fork, shape, database, tmp_path)
    total = len(bench.boundaries)
    jumps = {str(total * part // 6): DAY * (-1) ** part for part in range(1, 6)}
    assert fork.run(bench.case("t", jumps=jumps)) == (0, []), bench.errors("t")
    assert bench.problems("t") == []


def test_two_resumers(fork: Fork, database: str, tmp_path: Path) -> None:
    bench = Bench(fork, "branches", database, tmp_path)
    for number, share in enumerate((0.2, 0.7)):
        thread = f"t{number}"
        assert fork.run(bench.case(thread, kill_at=_at(bench, share)))[0] == -signal.SIGKILL
        names = [f"{thread} {which}" for which in ("one", "other")]
        for name in names:
            fork.start({**bench.case(thread), "name": name})
        codes = [fork.end(name)[0] for name in names]
        assert 0 in codes, bench.errors(thread)
        assert sum(codes) == 0 or "ThreadBusyError" in bench.errors(thread)
        assert bench.problems(thread) == []


def _stop_and_continue(bench: Bench, seconds: float) -> None:
    pid = bench.fork.start(bench.case("t", stop_at=_at(bench, 0.4)))
    _stopped(pid)
    time.sleep(seconds)
    assert bench.fork.run({**bench.case("t"), "name": "second"})[0] == 1
    assert "ThreadBusyError" in bench.errors("t")
    os.kill(pid, signal.SIGCONT)
    assert bench.fork.end("t") == (0, [])
    assert bench.problems("t") == []


def _stopped(pid: int) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, "it did not stop"
        time.sleep(0.01)


def test_a_process_that_stands_still_keeps_its_thread_and_goes_on(fork: Fork, database: str, tmp_path: Path) -> None:
    _stop_and_continue(Bench(fork, "branches", database, tmp_path), 1.5)


@pytest.mark.chaos
def test_a_process_that_stands_still_for_longer_than_any_timeout(fork: Fork, database: str, tmp_path: Path) -> None:
    _stop_and_continue(Bench(fork, "branches", database, tmp_path), 75.0)


def test_a_process_that_stood_still_and_lost_its_thread_does_nothing_more(
    fork: Fork, database: str, tmp_path: Path
) -> None:
    bench = Bench(fork, "branches", database, tmp_path)
    # One call at a time: a call that was about to be made when its process stopped is made when it goes on.
    one = {"options": {"max_parallel": 1}}
    stop = next(name for name in bench.boundaries if name.startswith("after settlement a1"))
    pid = fork.start(bench.case("t", stop_at=stop, **one))
    _stopped(pid)
    with psycopg.connect(database, autocommit=True) as admin:  # as a server does whose keepalives find nobody
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    time.sleep(0.3)
    assert fork.run({**bench.case("t", **one), "name": "second"}) == (0, []), bench.errors("t")
    ended = (tmp_path / "t" / "ended.json").read_text()
    os.kill(pid, signal.SIGCONT)
    assert fork.end("t")[0] == 1
    assert "StaleRunnerError" in bench.errors("t")
    assert (tmp_path / "t" / "ended.json").read_text() == ended
    assert bench.problems("t") == []

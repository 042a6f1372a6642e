"""Kill -9 before and after every write of the engine, one run each: a resume makes each of them whole."""

from __future__ import annotations

import os
import signal

import pytest

from tests.chaos.conftest import BenchOf
from tests.chaos.runner import Bench
from tests.chaos.shapes import SHAPES

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

SHORT = 4
"""Boundaries of each shape in the short version, spread over the run."""


def check(bench: Bench, count: list[str], most: int | None) -> None:
    """Kill at so many boundaries, or at all."""
    everything = bench.boundaries
    only = os.environ.get("CHAOS_AT")
    every = 1 if most is None else max(1, -(-len(everything) // most))
    chosen = [name for name in everything if name == only] if only else everything[every // 2 :: every]
    missed: list[str] = []
    wrong: dict[str, list[str]] = {}
    for boundary in chosen:
        reached, problems = bench.killed_at(boundary)
        if not reached:
            missed.append(boundary)
        if problems:
            wrong[boundary] = problems
    killed = len(chosen) - len(missed)
    count.append(f"{bench.shape}: killed at {killed} of {len(everything)} boundaries; {len(missed)} did not come again")
    told = "\n".join(f"{name}\n  " + "\n  ".join(problems) for name, problems in wrong.items())
    assert not wrong, f"after {len(wrong)} of {killed} kills (repeat one with CHAOS_AT='<its name>'):\n{told}"
    # Batches of events and of progress fall differently each time, and a changed file is noted by whoever looks first.
    assert [name for name in missed if name.split()[1] not in ("events", "progress", "files")] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_some_boundaries(shape: str, bench_of: BenchOf, count: list[str]) -> None:
    check(bench_of(shape), count, SHORT)


@pytest.mark.chaos
@pytest.mark.parametrize("shape", SHAPES)
def test_every_boundary(shape: str, bench_of: BenchOf, count: list[str]) -> None:
    check(bench_of(shape), count, None)


@pytest.mark.parametrize(
    ("shape", "boundary"),
    [
        ("asking", "before checkpoint  #3"),  # the number of subtasks that are done
        ("branches", "after file journal.json #1"),  # an edit that was noted and not made
        ("branches", "within file b.txt #1"),  # a draft
    ],
)
def test_boundaries_where_something_was_left_once(shape: str, boundary: str, bench_of: BenchOf) -> None:
    assert bench_of(shape).killed_at(boundary) == (True, [])


@pytest.mark.chaos
@pytest.mark.parametrize("first", ["after claim a1 #1", "within call, paid #2", "before writes  #2"])
def test_kills_in_the_resume_too(first: str, branches: Bench, count: list[str]) -> None:
    thread = branches.new()
    assert branches.fork.run(branches.case(thread, kill_at=first))[0] == -signal.SIGKILL
    assert branches.resume(thread) == []
    again = branches.passed(thread)[::4]
    wrong: dict[str, list[str]] = {}
    for boundary in again:
        thread = branches.new()
        for name in (first, boundary):
            branches.fork.run(branches.case(thread, kill_at=name))
        if problems := branches.resume(thread):
            wrong[boundary] = problems
    count.append(f"branches: killed {first!r}, and {len(again)} times in the resume")
    assert wrong == {}

"""Who starts first: ranks, and the slots that are given by them."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.schedule import Slots, upward_ranks

Order = dict[str, tuple[float, ...]]


class _Clock(selectors.SelectSelector):
    """A selector that does not wait: it moves the time on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("nothing is left to happen, and something still waits")
        self.now += timeout
        return []


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which sleeping takes no time."""

    def __init__(self) -> None:
        self.clock = _Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def run_virtual(main: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        return runner.run(main)


def plan_of(edges: dict[str, list[str]], **seconds: float) -> Plan:
    return Plan(
        subtasks=[
            Subtask(id=name, tool="t", needs=needs, expected_s=seconds.get(name)) for name, needs in edges.items()
        ]
    )


DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}


def test_without_durations_ranks_are_hops() -> None:
    assert upward_ranks(plan_of(DIAMOND)) == {"a": 3, "b": 2, "c": 2, "d": 1, "e": 1}


def test_ranks_add_up_expected_seconds_along_the_longest_way() -> None:
    ranks = upward_ranks(plan_of(DIAMOND, a=1, b=10, c=2, d=4, e=3))
    assert ranks == {"a": 15, "b": 14, "c": 6, "d": 4, "e": 3}


def test_unknown_durations_count_as_the_median_of_the_known() -> None:
    ranks = upward_ranks(plan_of(DIAMOND, a=1, b=10, c=2))
    assert ranks == {"a": 13, "b": 12, "c": 4, "d": 2, "e": 2}


def test_what_was_learned_counts_where_the_plan_says_nothing() -> None:
    plan = Plan(
        subtasks=[
            Subtask(id="a", tool="t", kind="slow"),
            Subtask(id="b", tool="t"),
            Subtask(id="c", tool="u", expected_s=3),
            Subtask(id="d", agent="executor", goal="x"),
        ]
    )
    assert upward_ranks(plan, {"slow": 9, "t": 4, "u": 100}) == {"a": 9, "b": 4, "c": 3, "d": 4}

    def learned(subtask: Subtask) -> float | None:
        return {"a": 5.0, "b": float("nan"), "d": -1.0}.get(subtask.id)

    assert upward_ranks(plan, learned) == {"a": 5, "b": 4, "c": 3, "d": 4}


async def test_no_more_than_the_limits_at_once() -> None:
    slots = Slots(3, {"browser": 1})
    busy: dict[str | None, int] = {}
    most: dict[str | None, int] = {}

    async def work(resource: str | None) -> None:
        async with slots.hold((0,), resource):
            for key in {resource, "all"}:
                busy[key] = busy.get(key, 0) + 1
                most[key] = max(most.get(key, 0), busy[key])
            await asyncio.sleep(0.001)
            for key in {resource, "all"}:
                busy[key] -= 1

    await asyncio.gather(*(work("browser" if n % 2 else "unlimited" if n % 3 else None) for n in range(30)))
    assert most["all"] == 3
    assert most["browser"] == 1
    assert (slots.held, slots.waiting) == (0, 0)


async def test_the_smallest_order_goes_first_and_equals_as_they_came() -> None:
    slots = Slots(1)
    started: list[str] = []

    async def work(name: str, *order: float) -> None:
        async with slots.hold(order):
            started.append(name)

    await asyncio.gather(work("late", 1, -3), work("x", 0, 0), work("y", 0, 0), work("first", 0, -9), work("z", 0, 0))
    assert started == ["first", "x", "y", "z", "late"]


async def test_a_dependant_of_higher_rank_beats_an_old_waiter() -> None:
    slots = Slots(1)
    started: list[str] = []
    done: dict[str, asyncio.Future[None]] = {"a": asyncio.get_running_loop().create_future()}

    async def work(name: str, order: float, after: str | None = None) -> None:
        if after is not None:
            await asyncio.shield(done[after])
        async with slots.hold((order,)):
            started.append(name)
            await asyncio.sleep(0)

    first = asyncio.create_task(work("a", 0))
    first.add_done_callback(lambda _: done["a"].set_result(None))
    others = [asyncio.create_task(work("old", 2)), asyncio.create_task(work("dependant", 1, "a"))]
    await asyncio.gather(first, *others)
    assert started == ["a", "dependant", "old"]


async def test_a_used_up_resource_does_not_keep_others_waiting() -> None:
    slots = Slots(2, {"browser": 1})
    started: list[str] = []
    release = asyncio.Event()

    async def work(name: str, order: float, resource: str | None) -> None:
        async with slots.hold((order,), resource):
            started.append(name)
            await release.wait()

    tasks = [asyncio.create_task(work(*one)) for one in [("b1", 0, "browser"), ("b2", 1, "browser"), ("x", 2, None)]]
    await asyncio.sleep(0.01)
    assert started == ["b1", "x"]
    assert slots.waiting == 1
    release.set()
    await asyncio.gather(*tasks)
    assert started == ["b1", "x", "b2"]


async def test_an_error_inside_gives_the_slot_back() -> None:
    slots = Slots(1, {"r": 1})
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with slots.hold((), "r"):
                raise ZeroDivisionError
    assert slots.held == 0


def test_limits_are_at_least_one() -> None:
    for wrong in (lambda: Slots(0), lambda: Slots(2, {"r": 0})):
        with pytest.raises(ValueError, match="at least 1"):
            wrong()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32))
def test_cancelling_anyone_at_any_time_loses_no_slot(parallel: int, seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        slots = Slots(parallel, {"r": 1})
        finished: list[int] = []

        async def work(number: int) -> None:
            async with slots.hold((rng.random(),), rng.choice([None, "r"])):
                for _ in range(rng.randrange(12)):
                    await asyncio.sleep(0)
            finished.append(number)

        tasks = [asyncio.create_task(work(number)) for number in range(25)]
        for _ in range(60):
            await asyncio.sleep(0)
            if rng.random() < 0.3:
                rng.choice(tasks).cancel()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1000)
        assert len(finished) == results.count(None)
        assert (slots.held, slots.waiting) == (0, 0)
        await asyncio.wait_for(asyncio.gather(*(work(number) for number in range(5))), 1000)
        async with AsyncExitStack() as held:  # every place can still be held at once
            for _ in range(parallel):
                await held.enter_async_context(slots.hold())
            assert slots.held == parallel

    run_virtual(main())


@st.composite
def timed_plans(draw: st.DrawFn) -> Plan:
    size = draw(st.integers(1, 14))
    subtasks: list[Subtask] = []
    for place in range(size):
        needs = draw(st.lists(st.integers(0, place - 1), max_size=3, unique=True)) if place else []
        seconds = draw(st.integers(1, 9))
        subtasks.append(Subtask(id=f"s{place}", tool="t", needs=[f"s{need}" for need in needs], expected_s=seconds))
    return Plan(subtasks=draw(st.permutations(subtasks)))


async def makespan(plan: Plan, slots: Slots, order: Order) -> float:
    """Seconds that the plan takes if each subtask takes exactly the time expected."""
    loop = asyncio.get_running_loop()
    done = {subtask.id: loop.create_future() for subtask in plan.subtasks}

    async def work(subtask: Subtask) -> None:
        for name in subtask.prerequisites():
            await asyncio.shield(done[name])
        async with slots.hold(order[subtask.id]):
            await asyncio.sleep(subtask.expected_s or 0)
        done[subtask.id].set_result(None)

    start = loop.time()
    await asyncio.gather(*(work(subtask) for subtask in plan.subtasks))
    return loop.time() - start


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timed_plans(), st.integers(1, 5), st.booleans())
def test_every_schedule_obeys_grahams_bound(plan: Plan, parallel: int, ranked: bool) -> None:
    ranks = upward_ranks(plan)
    order: Order = {one.id: (-ranks[one.id] * ranked, at) for at, one in enumerate(plan.subtasks)}
    critical = max(ranks.values())
    work = sum(subtask.expected_s or 0 for subtask in plan.subtasks)
    taken = run_virtual(makespan(plan, Slots(parallel), order))
    assert max(critical, work / parallel) - 1e-6 <= taken
    assert taken <= work / parallel + (1 - 1 / parallel) * critical + 1e-6
    if parallel >= len(plan.subtasks):
        assert taken == pytest.approx(critical)


def test_ranks_beat_plan_order_where_the_critical_path_comes_last() -> None:
    edges: dict[str, list[str]] = {f"short{n}": [] for n in range(6)}
    edges |= {"long0": [], "long1": ["long0"], "long2": ["long1"]}
    plan = plan_of(edges, **dict.fromkeys(edges, 1.0))
    ranks = upward_ranks(plan)
    by_rank: Order = {one.id: (-ranks[one.id], at) for at, one in enumerate(plan.subtasks)}
    by_plan: Order = {one.id: (0.0, at) for at, one in enumerate(plan.subtasks)}
    assert run_virtual(makespan(plan, Slots(3), by_rank)) == pytest.approx(3)
    assert run_virtual(makespan(plan, Slots(3), by_plan)) == pytest.approx(5)

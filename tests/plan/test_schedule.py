"""Who starts first: ranks, and the slots that are given by them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.schedule import START_S, Schedule, upward_ranks
from tests.virtual_time import run_virtual

Order = dict[str, tuple[float, ...]]


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
    by_kind = {"slow": 9, "t": 4, "u": 100}
    assert upward_ranks(plan, lambda subtask: by_kind.get(subtask.work_kind)) == {"a": 9, "b": 4, "c": 3, "d": 4}

    def learned(subtask: Subtask) -> float | None:
        return {"a": 5.0, "b": float("nan"), "d": -1.0}.get(subtask.id)

    assert upward_ranks(plan, learned) == {"a": 5, "b": 4, "c": 3, "d": 4}


@dataclass
class Run:
    """A schedule that is worked off: what started when, and how each ended."""

    schedule: Schedule
    seconds: Mapping[str, float]
    starts: list[str] = field(default_factory=list)
    blocked: dict[str, str] = field(default_factory=dict)

    async def work(self, key: str) -> None:
        before = await self.schedule.turn(key)
        if before is not None:
            self.blocked[key] = before
            return
        self.starts.append(key)
        self.schedule.begun(key)
        await asyncio.sleep(abs(self.seconds[key]))
        if self.seconds[key] < 0:
            raise ZeroDivisionError

    def issue(self, key: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self.work(key))
        task.add_done_callback(lambda ended: self._end(key, ended))
        return task

    def _end(self, key: str, ended: asyncio.Task[None]) -> None:
        completed = not ended.cancelled() and ended.exception() is None and key not in self.blocked
        self.schedule.ended(key, completed=completed)


async def worked_off(
    needs: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float],
    parallel: int,
    order: Order | None = None,
    **options: Any,
) -> Run:
    """Run it all; a task that takes less than no time fails after as much."""
    orders = order or {key: (float(place),) for place, key in enumerate(needs)}
    run = Run(Schedule(needs, orders, parallel, **options), seconds)
    await asyncio.gather(*(run.issue(key) for key in needs), return_exceptions=True)
    assert (run.schedule.held, run.schedule.waiting, run.schedule.settled) == (0, 0, True)
    return run


def free(names: str) -> dict[str, list[str]]:
    return {name: [] for name in names.split()}


def test_no_more_than_the_limits_at_once() -> None:
    needs = free(" ".join(f"{'browser' if n % 2 else 'other'}{n}" for n in range(30)))
    uses = {key: "browser" if key.startswith("browser") else "unlimited" for key in needs}

    async def main() -> float:
        await worked_off(needs, dict.fromkeys(needs, 1.0), 3, resources={"browser": 1}, uses=uses)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 15  # the browser's 15, one after the other, beside the others in the other two slots


def test_the_smallest_order_goes_first() -> None:
    order: Order = {"late": (1, -3), "x": (0, 0), "y": (0, 1), "first": (0, -9)}
    run = run_virtual(worked_off(free("late x y first"), dict.fromkeys(order, 1.0), 1, order))
    assert run.starts == ["first", "x", "y", "late"]


def test_a_dependant_of_higher_rank_gets_the_slot_before_an_old_waiter() -> None:
    needs = {"old": [], "first": [], "dependant": ["first"]}
    order: Order = {"first": (0,), "dependant": (1,), "old": (2,)}
    run = run_virtual(worked_off(needs, dict.fromkeys(needs, 1.0), 1, order))
    assert run.starts == ["first", "dependant", "old"]


async def test_an_end_decides_at_once_who_is_next() -> None:
    schedule = Schedule(
        {"old": [], "first": [], "dependant": ["first"]}, {"first": (0,), "dependant": (1,), "old": (2,)}, 1
    )
    turns = {key: asyncio.create_task(schedule.turn(key)) for key in ("old", "first", "dependant")}
    assert await turns["first"] is None
    schedule.ended("first", completed=True)
    assert (schedule.held, schedule.waiting, schedule.settled) == (1, 1, False)  # no turn of the loop has passed
    assert await turns["dependant"] is None
    assert not turns["old"].done()
    schedule.ended("dependant", completed=True)
    assert await turns["old"] is None


def test_a_used_up_resource_does_not_keep_others_waiting() -> None:
    needs = free("b1 b2 x")
    uses = {"b1": "browser", "b2": "browser", "x": None}
    run = run_virtual(worked_off(needs, dict.fromkeys(needs, 1.0), 2, resources={"browser": 1}, uses=uses))
    assert run.starts == ["b1", "x", "b2"]


def test_the_first_prerequisite_in_order_that_is_not_completed_blocks() -> None:
    needs = {"a": [], "b": [], "c": ["a", "b"], "d": ["b", "a"], "e": ["c"]}
    run = run_virtual(worked_off(needs, {"a": -2, "b": -1, "c": 1, "d": 1, "e": 1}, 4))
    assert run.starts == ["a", "b"]
    assert run.blocked == {"d": "b", "c": "a", "e": "c"}


def test_a_failed_subtask_gives_its_slot_and_resource_back() -> None:
    needs = free("a b c d")
    uses = dict.fromkeys(needs, "r")
    run = run_virtual(worked_off(needs, dict.fromkeys(needs, -1.0), 1, resources={"r": 1}, uses=uses))
    assert run.starts == list(needs)


def test_what_is_completed_already_neither_runs_nor_is_waited_for() -> None:
    async def main() -> list[str]:
        run = Run(Schedule({"a": [], "b": ["a"]}, {"a": (0,), "b": (1,)}, 1, ended={"a": True}), {"b": 1})
        await run.issue("b")
        return run.starts

    assert run_virtual(main()) == ["b"]


def test_who_follows_is_told_each_whose_turn_has_come_once() -> None:
    async def main() -> list[str]:
        needs: dict[str, list[str]] = {"a": [], "b": ["a"], "c": ["f"], "d": [], "f": []}
        order: Order = {key: (float(place),) for place, key in enumerate(needs)}
        run = Run(Schedule(needs, order, 2, ended={"f": False}), dict.fromkeys(needs, 1.0))
        told: list[str] = []
        run.schedule.follow(lambda key: told.append(key) or run.issue(key))  # type: ignore[func-returns-value]
        await asyncio.sleep(10)
        assert run.blocked == {"c": "f"}
        return told

    assert run_virtual(main()) == ["c", "a", "d", "b"]


def test_few_start_at_once_and_the_critical_path_overtakes() -> None:
    async def main() -> list[str]:
        needs: dict[str, list[str]] = {"head": [], "tail": ["head"], **free(" ".join(f"s{n}" for n in range(20)))}
        order: Order = {key: (float(place),) for place, key in enumerate(needs)}
        schedule = Schedule(needs, order, 100, most_starting=2)
        begun: list[str] = []

        async def work(key: str) -> None:
            await schedule.turn(key)
            await asyncio.sleep(0 if key == "head" else 0.001)  # until its work begins
            schedule.begun(key)
            begun.append(key)
            schedule.ended(key, completed=True)

        await asyncio.gather(*(work(key) for key in needs))
        return begun

    begun = run_virtual(main())
    assert begun[0] == "head"
    assert begun.index("tail") == 3  # after those two alone that were on their way when it became ready


def test_a_start_that_waits_for_something_does_not_hold_up_others() -> None:
    async def main() -> float:
        run = Run(Schedule(free("a b c d"), {key: (float(ord(key)),) for key in "abcd"}, 4, most_starting=1), {})
        for key in "abcd":
            assert await run.schedule.turn(key) is None  # none of them ever tells that it has begun
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(3 * START_S)


async def test_limits_are_at_least_one() -> None:
    for parallel, resources in ((0, {}), (2, {"r": 0})):
        with pytest.raises(ValueError, match="at least 1"):
            Schedule({}, {}, parallel, resources=resources)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(0, 2**32))
def test_cancelling_anyone_at_any_time_loses_no_slot(parallel: int, seed: int) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        needs = {f"s{n}": [f"s{rng.randrange(n)}"] if n and rng.random() < 0.5 else [] for n in range(25)}
        uses = {key: rng.choice([None, "r"]) for key in needs}
        order: Order = {key: (rng.random(), place) for place, key in enumerate(needs)}
        schedule = Schedule(needs, order, parallel, resources={"r": 1}, uses=uses)
        run = Run(schedule, {key: rng.random() * 3 for key in needs})
        tasks = {key: run.issue(key) for key in needs}
        for _ in range(60):
            await asyncio.sleep(0.1 if rng.random() < 0.5 else 0)
            if rng.random() < 0.3:
                rng.choice(list(tasks.values())).cancel()
        await asyncio.wait_for(asyncio.gather(*tasks.values(), return_exceptions=True), 1000)
        for key, task in tasks.items():  # each ran, was cancelled, or cannot run for one that was
            assert task.cancelled() or key in run.starts or run.blocked[key] in needs[key]
        assert (schedule.held, schedule.waiting, schedule.settled) == (0, 0, True)

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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(timed_plans(), st.integers(1, 5), st.booleans())
def test_every_schedule_obeys_grahams_bound(plan: Plan, parallel: int, ranked: bool) -> None:
    ranks = upward_ranks(plan)
    order: Order = {one.id: (-ranks[one.id] * ranked, at) for at, one in enumerate(plan.subtasks)}
    critical = max(ranks.values())
    work = sum(subtask.expected_s or 0 for subtask in plan.subtasks)
    taken = makespan(plan, parallel, order)
    assert max(critical, work / parallel) - 1e-6 <= taken
    assert taken <= work / parallel + (1 - 1 / parallel) * critical + 1e-6
    if parallel >= len(plan.subtasks):
        assert taken == pytest.approx(critical)


def makespan(plan: Plan, parallel: int, order: Order) -> float:
    """Seconds that the plan takes if each subtask takes exactly the time expected."""
    needs: dict[str, Sequence[str]] = {subtask.id: subtask.prerequisites() for subtask in plan.subtasks}
    seconds: dict[str, float] = {subtask.id: subtask.expected_s or 0.0 for subtask in plan.subtasks}

    async def main() -> float:
        await worked_off(needs, seconds, parallel, order)
        return asyncio.get_running_loop().time()

    return run_virtual(main())


def test_ranks_beat_plan_order_where_the_critical_path_comes_last() -> None:
    edges: dict[str, list[str]] = {f"short{n}": [] for n in range(6)}
    edges |= {"long0": [], "long1": ["long0"], "long2": ["long1"]}
    plan = plan_of(edges, **dict.fromkeys(edges, 1.0))
    ranks = upward_ranks(plan)
    by_rank: Order = {one.id: (-ranks[one.id], at) for at, one in enumerate(plan.subtasks)}
    by_plan: Order = {one.id: (0.0, at) for at, one in enumerate(plan.subtasks)}
    assert makespan(plan, 3, by_rank) == pytest.approx(3)
    assert makespan(plan, 3, by_plan) == pytest.approx(5)

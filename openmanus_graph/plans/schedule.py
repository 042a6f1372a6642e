"""Schedule: which subtask starts next, by its rank and by the slots that are free.

The rank is the *upward rank* of HEFT (H. Topcuoglu, S. Hariri, M.-Y. Wu: Performance-effective and
low-complexity task scheduling for heterogeneous computing, IEEE TPDS 13(3), 2002), without communication
costs. Giving a free slot to the ready subtask of the highest rank keeps the critical path moving. Any
schedule that leaves no slot idle while something is ready obeys Graham's bound,
`max(CP, W/P) ≤ makespan ≤ W/P + (1 − 1/P)·CP`, with CP the critical path, W all the work and P the slots.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openmanus_graph.plan import Plan
    from openmanus_graph.plans.subtask import Subtask

Expected = Callable[["Subtask"], float | None]
"""What was learned of durations: seconds of a subtask; `None` if nothing is known."""

Order = tuple[float, ...]
"""Sort key of ready subtasks; the smallest goes first."""

START_S = 0.01
"""Seconds after which a subtask no longer counts as starting: it then waits for something, and costs no time here."""


def expected_seconds(plan: Plan, expected: Expected | None = None) -> dict[str, float]:
    """How long subtasks are expected to take, by id: `expected_s`, else what was learned; only those that are known.

    Args:
        plan: The plan.
        expected: What was learned; what is not a finite number above 0 is unknown.
    """
    known: dict[str, float] = {}
    for subtask in plan.subtasks:
        seconds = subtask.expected_s
        if seconds is None and expected is not None:
            seconds = expected(subtask)
        if seconds is not None and math.isfinite(seconds) and seconds > 0:
            known[subtask.id] = seconds
    return known


def upward_ranks(
    plan: Plan, expected: Expected | None = None, needs: Mapping[str, Sequence[str]] | None = None
) -> dict[str, float]:
    """For every id, in plan order, the longest way through its dependants to an end, itself included.

    Where the length of a subtask is not known, it counts as the median of those that are; if none is known, every
    subtask counts as 1 and the rank is a number of hops.

    Args:
        plan: The plan.
        expected: What was learned, as `expected_seconds` takes it.
        needs: What `plan.needs()` gives, where it is known already.

    Returns:
        Seconds, or hops if no duration is known at all.
    """
    known = expected_seconds(plan, expected)
    usual = median(known.values()) if known else 1.0
    needs = plan.needs() if needs is None else needs
    dependants = plan.dependants(needs)
    ranks: dict[str, float] = {}
    for subtask in reversed(plan.in_order(needs)):
        after = max((ranks[name] for name in dependants[subtask.id]), default=0.0)
        ranks[subtask.id] = known.get(subtask.id, usual) + after
    return {subtask.id: ranks[subtask.id] for subtask in plan.subtasks}


class Schedule:
    """A list schedule in progress: the ready subtask of the highest rank gets each slot that becomes free.

    Everything is decided where an end is told, in the same turn of the event loop: dependants become ready, the slot
    is given back, and the next subtasks are chosen, so that no slot goes to a lower rank because a dependant is late.
    Where the resource of the most urgent subtask is used up, the next one whose resource is free goes first. An end
    takes O(d log n) for d dependants among n ready subtasks. It belongs to one event loop.
    """

    def __init__(
        self,
        needs: Mapping[str, Sequence[str]],
        order: Mapping[str, Order],
        max_parallel: int,
        *,
        resources: Mapping[str, int] | None = None,
        uses: Mapping[str, str | None] | None = None,
        ended: Mapping[str, bool] | None = None,
        most_starting: int | None = None,
    ) -> None:
        """Choose the first subtasks.

        Args:
            needs: The prerequisites of every subtask.
            order: Their sort keys, all of the same length, no two alike.
            max_parallel: How many slots there are, at least 1.
            resources: How many subtasks may use a named resource; one that is not named has no limit.
            uses: The resources that subtasks use.
            ended: Those that have ended already, and whether they are completed.
            most_starting: How many may hold a slot whose work has not `begun`, for `START_S` at most each, so that
                hundreds that start at once do not keep the processor from the critical path; `None` means any number.

        Raises:
            ValueError: If a number is below 1.
        """
        self._left = dict(resources or {})
        for name, number in [("max_parallel", max_parallel), *self._left.items()]:
            if number < 1:
                raise ValueError(f"{name!r} must be at least 1, not {number!r}")
        self._loop = asyncio.get_running_loop()
        self._needs = needs
        self._order = order
        self._resource = {key: used for key, used in (uses or {}).items() if used is not None and used in self._left}
        self._free = max_parallel
        self._most_starting = most_starting
        self._starting: set[str] = set()
        self._holders: set[str] = set()
        self._ended: dict[str, bool] = dict(ended or {})
        self._next = dict.fromkeys(needs, 0)
        """Of each subtask's prerequisites, the first that is not known to be completed."""
        self._dependants: dict[str, list[str]] = {key: [] for key in needs}
        for key, before in needs.items():
            for one in before:
                self._dependants[one].append(key)
        self._ready: dict[str | None, list[tuple[Order, str]]] = {}
        """Heaps by limited resource, all others under `None`."""
        self._fates: dict[str, asyncio.Future[str | None]] = {
            key: self._loop.create_future() for key in needs if key not in self._ended
        }
        self._untaken: dict[str, None] = {}
        """Those whose turn has come and who have not taken it up, in that order."""
        self._follower: Callable[[str], None] | None = None
        for key in self._fates:
            self._advance(key)
        self._choose()

    @property
    def held(self) -> int:
        """How many slots are held now."""
        return len(self._holders)

    @property
    def waiting(self) -> int:
        """How many subtasks are ready and wait for a slot."""
        return sum(key not in self._ended for heap in self._ready.values() for _, key in heap)

    @property
    def settled(self) -> bool:
        """Whether nothing begins before another subtask ends: all that was decided has been taken up."""
        return not self._untaken

    def follow(self, follower: Callable[[str], None]) -> None:
        """Call a function with each subtask whose `turn` has come, also with those whose it is now."""
        self._follower = follower
        for key in list(self._untaken):
            follower(key)

    async def turn(self, key: str) -> str | None:
        """Wait until a subtask holds a slot, which it does until it has `ended`.

        Returns:
            `None` when it may run; the prerequisite that is not completed if it never may.
        """
        try:
            return await self._fates[key]
        finally:
            self._untaken.pop(key, None)

    def begun(self, key: str) -> None:
        """Note that the work of a subtask that holds a slot has begun."""
        if key in self._starting:
            self._starting.discard(key)
            self._choose()

    def ended(self, key: str, *, completed: bool) -> None:
        """Note the end of a subtask: its dependants become ready, and who gets its slot is chosen. Once is enough."""
        if key in self._ended:
            return
        self._ended[key] = completed
        self._starting.discard(key)
        if key in self._holders:
            self._holders.discard(key)
            self._free += 1
            if key in self._resource:
                self._left[self._resource[key]] += 1
        for dependant in self._dependants[key]:
            self._advance(dependant)
        self._choose()

    def _advance(self, key: str) -> None:
        """Look on through the prerequisites, in their order: all completed make it ready, another end decides it."""
        if key in self._ended or self._fates[key].done():
            return
        needs, at = self._needs[key], self._next[key]
        while at < len(needs) and needs[at] in self._ended:
            if not self._ended[needs[at]]:
                self._decide(key, needs[at])
                return
            at += 1
        self._next[key] = at
        if at == len(needs):
            heappush(self._ready.setdefault(self._resource.get(key), []), (self._order[key], key))

    def _decide(self, key: str, fate: str | None) -> None:
        self._untaken[key] = None
        if not self._fates[key].done():  # else it was cancelled, and its end gives the slot back
            self._fates[key].set_result(fate)
        if self._follower is not None:
            self._follower(key)

    def _choose(self) -> None:
        while self._free and (self._most_starting is None or len(self._starting) < self._most_starting):
            key = self._pop_best()
            if key is None:
                return
            self._free -= 1
            if key in self._resource:
                self._left[self._resource[key]] -= 1
            self._holders.add(key)
            if self._most_starting is not None:
                self._starting.add(key)
                self._loop.call_later(START_S, self.begun, key)
            self._decide(key, None)

    def _pop_best(self) -> str | None:
        """Take out the most urgent subtask whose resource is free."""
        best: list[tuple[Order, str]] | None = None
        for resource, heap in list(self._ready.items()):
            while heap and heap[0][1] in self._ended:  # it was cancelled
                heappop(heap)
            if not heap:
                del self._ready[resource]
            elif (resource is None or self._left[resource]) and (best is None or heap[0] < best[0]):
                best = heap
        return None if best is None else heappop(best)[1]

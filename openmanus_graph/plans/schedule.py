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
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openmanus_graph.plan import Plan
    from openmanus_graph.plans.subtask import Subtask

Expected = Callable[["Subtask"], float | None] | Mapping[str, float]
"""Learned durations: seconds by `Subtask.work_kind`, or by a function; `None` if nothing is known."""

Order = tuple[float, ...]
"""Sort key of waiters; the smallest goes first."""

SETTLING_TICKS = 16
"""Turns of the event loop between a slot becoming free and the choice of who gets it.

A subtask that ends frees its slot first, and its dependants hear of it some turns later (a future, a shield,
a task's callback; 8 in the dispatcher, measured). Without the pause an old waiter would always win against a
dependant of a higher rank."""


def upward_ranks(plan: Plan, expected: Expected | None = None) -> dict[str, float]:
    """For every id, in plan order, the longest way through its dependants to an end, itself included.

    A subtask's own length is its `expected_s`, else the learned one. Where neither is known (or the learned one
    is not a finite number above 0), it counts as the median of those that are known; if none is
    known, every subtask counts as 1 and the rank is a number of hops.

    Args:
        plan: The plan.
        expected: Learned durations in seconds.

    Returns:
        Seconds, or hops if no duration is known at all.
    """
    known: dict[str, float] = {}
    for subtask in plan.subtasks:
        seconds = subtask.expected_s if subtask.expected_s is not None else _learned(subtask, expected)
        if seconds is not None and math.isfinite(seconds) and seconds > 0:
            known[subtask.id] = seconds
    usual = median(known.values()) if known else 1.0
    dependants = plan.dependants()
    ranks: dict[str, float] = {}
    for subtask in reversed(plan.in_order()):
        after = max((ranks[name] for name in dependants[subtask.id]), default=0.0)
        ranks[subtask.id] = known.get(subtask.id, usual) + after
    return {subtask.id: ranks[subtask.id] for subtask in plan.subtasks}


def _learned(subtask: Subtask, expected: Expected | None) -> float | None:
    if expected is None:
        return None
    return expected(subtask) if callable(expected) else expected.get(subtask.work_kind)


@dataclass(order=True)
class _Waiter:
    order: Order
    number: int
    """Which waiter this is, so that the first come goes first among equals."""
    resource: str | None = field(compare=False)
    future: asyncio.Future[None] = field(compare=False)
    """Done once the slot is given."""
    granted: bool = field(default=False, compare=False)


class Slots:
    """Execution slots for subtasks, each given to the most urgent waiter; for one event loop.

    No place stays empty while someone waits for it: where the resource of the most urgent waiter is used up,
    the next one whose resource is free goes first. Each operation takes O(log n) in the number of waiters,
    plus the number of limited resources.
    """

    def __init__(self, max_parallel: int, resources: Mapping[str, int] | None = None) -> None:
        """Start with every place free.

        Args:
            max_parallel: How many may be held at the same time, at least 1.
            resources: How many of them may use a named resource; one that is not named has no limit.

        Raises:
            ValueError: If a number is below 1.
        """
        self._limits = dict(resources or {})
        for name, number in [("max_parallel", max_parallel), *self._limits.items()]:
            if number < 1:
                raise ValueError(f"{name!r} must be at least 1, not {number!r}")
        self._free = max_parallel
        self._max_parallel = max_parallel
        self._left = dict(self._limits)
        self._queues: dict[str | None, list[_Waiter]] = {}
        """Heaps by limited resource, all others under `None`; a waiter that gave up stays in until it surfaces."""
        self._waiting = 0
        self._numbers = 0
        self._waking = 0
        """Waiters that were given a place and have not woken up yet."""
        self._choosing = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def held(self) -> int:
        """How many places are held now."""
        return self._max_parallel - self._free

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    @property
    def settled(self) -> bool:
        """Whether waiters keep waiting until a place becomes free: none is being chosen or waking up."""
        return not self._choosing and not self._waking

    @asynccontextmanager
    async def hold(self, order: Order = (), resource: str | None = None) -> AsyncGenerator[None]:
        """Wait for a place and hold it during the block.

        Args:
            order: The smallest waiting order gets the next place; all of them should have the same length.
            resource: The named resource that is used as well; `None` means none.
        """
        waiter = self._enqueue(order, resource)
        try:
            await waiter.future
        except BaseException:
            if waiter.granted:  # given and cancelled in the same turn
                self._release(waiter)
            raise
        finally:
            self._waiting -= 1
            self._waking -= waiter.granted
        try:
            yield
        finally:
            self._release(waiter)

    def _enqueue(self, order: Order, resource: str | None) -> _Waiter:
        limited = resource if resource in self._limits else None
        self._numbers += 1
        self._loop = asyncio.get_running_loop()
        waiter = _Waiter(order, self._numbers, limited, self._loop.create_future())
        self._waiting += 1
        heappush(self._queues.setdefault(limited, []), waiter)
        self._choose_soon()
        return waiter

    def _release(self, waiter: _Waiter) -> None:
        self._free += 1
        if waiter.resource is not None:
            self._left[waiter.resource] += 1
        self._choose_soon()

    def _choose_soon(self) -> None:
        """Choose once this turn of the loop, and the few after it in which dependants wake up, are over."""
        loop = self._loop
        if self._choosing or not self._free or not self._queues or loop is None or loop.is_closed():
            return
        self._choosing = True
        loop.call_soon(self._settle, loop, SETTLING_TICKS)

    def _settle(self, loop: asyncio.AbstractEventLoop, ticks: int) -> None:
        if ticks:
            loop.call_soon(self._settle, loop, ticks - 1)
        else:
            self._choose()

    def _choose(self) -> None:
        self._choosing = False
        while self._free:
            waiter = self._pop_best()
            if waiter is None:
                return
            self._free -= 1
            if waiter.resource is not None:
                self._left[waiter.resource] -= 1
            waiter.granted = True
            self._waking += 1
            waiter.future.set_result(None)

    def _pop_best(self) -> _Waiter | None:
        """Take out the most urgent waiter whose resource is free."""
        best: list[_Waiter] | None = None
        for resource, queue in list(self._queues.items()):
            while queue and queue[0].future.done():  # gave up
                heappop(queue)
            if not queue:
                del self._queues[resource]
            elif (resource is None or self._left[resource]) and (best is None or queue[0] < best[0]):
                best = queue
        return None if best is None else heappop(best)

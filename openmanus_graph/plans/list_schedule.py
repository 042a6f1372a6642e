"""List schedule: the starts and the makespan that ranks give a DAG of known durations, simulated.

R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17(2), 1969: whenever a
slot is free, the ready task that comes first in the list gets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush


def list_schedule(
    needs: Mapping[str, Sequence[str]],
    order: Mapping[str, tuple[float, ...]],
    seconds: Mapping[str, float],
    slots: int,
) -> tuple[dict[str, float], float]:
    """When each task starts, in the order of the starts, and when the last one ends.

    Args:
        needs: What each task waits for.
        order: Sort keys of the tasks, no two alike; the smallest goes first.
        seconds: How long each task takes.
        slots: How many run at once.
    """
    left = {key: len(before) for key, before in needs.items()}
    dependants: dict[str, list[str]] = {key: [] for key in needs}
    for key, before in needs.items():
        for one in before:
            dependants[one].append(key)
    ready = [(order[key], key) for key, number in left.items() if not number]
    heapify(ready)
    running: list[tuple[float, str]] = []
    starts: dict[str, float] = {}
    now = 0.0
    while ready or running:
        while ready and len(running) < slots:
            _, key = heappop(ready)
            starts[key] = now
            heappush(running, (now + seconds[key], key))
        now, key = heappop(running)
        for one in dependants[key]:
            left[one] -= 1
            if not left[one]:
                heappush(ready, (order[one], one))
    return starts, now

"""Sampled order: a list schedule's order that is better than that of the ranks, found by trying out variations of it.

No rule of ranks is best for every DAG. Each variation multiplies the ranks by random factors near 1, as the random
restarts of R. Kolisch and S. Hartmann, "Heuristic algorithms for the resource-constrained project scheduling
problem", in: Project Scheduling, 1999, and is simulated; the shortest schedule's order is taken.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from openmanus_graph.plans.list_schedule import list_schedule
from openmanus_graph.plans.schedule import Order

GOOD_ENOUGH = 1.005
"""A schedule within this multiple of the bound that none can beat is not tried to be improved."""
SPREAD = 0.1
"""Standard deviation of the logarithm of the random factors."""
MOST_STEPS = 12_000
"""Tasks that all simulations together schedule at most: some 50 ms."""
SHORTEST_S = 5.0
"""Seconds of a schedule below which a better order is worth less than the search."""


def sampled_order(
    needs: Mapping[str, Sequence[str]], order: Mapping[str, Order], seconds: Mapping[str, float], slots: int
) -> Mapping[str, Order]:
    """An order for a list schedule on some slots, at least as good as a given one; the same one for the same input.

    Args:
        needs: What each task waits for.
        order: The sort keys to begin with: priority, negative upward rank, place in the plan.
        seconds: How long each task is expected to take.
        slots: How many run at once.
    """
    if slots >= len(needs):
        return order
    _, shortest = list_schedule(needs, order, seconds, slots)
    bound = max(-min(rank for _, rank, _ in order.values()), math.fsum(seconds.values()) / slots)
    if shortest < SHORTEST_S or shortest <= GOOD_ENOUGH * bound:
        return order
    chance = random.Random(0)  # noqa: S311 - no secret; a resume finds the same order
    best = order
    for _ in range(MOST_STEPS // len(needs)):
        varied: dict[str, Order] = {
            key: (priority, rank * chance.lognormvariate(0.0, SPREAD), place)
            for key, (priority, rank, place) in order.items()
        }
        _, ends = list_schedule(needs, varied, seconds, slots)
        if ends < shortest:
            best, shortest = varied, ends
    return best

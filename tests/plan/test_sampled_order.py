"""The sampled order: never worse than the ranks', the same each time, and better where the ranks are not best."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph.plans.list_schedule import list_schedule
from openmanus_graph.plans.sampled_order import SHORTEST_S, sampled_order
from openmanus_graph.plans.schedule import Order


def ranked(needs: Mapping[str, Sequence[str]], seconds: Mapping[str, float]) -> dict[str, Order]:
    ranks: dict[str, float] = {}
    for key in reversed(list(needs)):
        after = [ranks[other] for other in needs if key in needs[other]]
        ranks[key] = seconds[key] + max(after, default=0.0)
    return {key: (0.0, -ranks[key], float(place)) for place, key in enumerate(needs)}


def dag(seed: int, size: int) -> tuple[dict[str, list[str]], dict[str, float]]:
    chance = random.Random(seed)
    needs: dict[str, list[str]] = {}
    for number in range(size):
        before = list(needs)[-6:]
        needs[f"t{number}"] = chance.sample(before, min(len(before), chance.randint(0, 2)))
    return needs, {key: chance.lognormvariate(1.0, 1.0) for key in needs}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60), st.integers(1, 4))
def test_it_is_never_worse_and_always_the_same(seed: int, size: int, slots: int) -> None:
    needs, seconds = dag(seed, size)
    order = ranked(needs, seconds)
    found = sampled_order(needs, order, seconds, slots)
    assert sampled_order(needs, order, seconds, slots) == found
    assert list_schedule(needs, found, seconds, slots)[1] <= list_schedule(needs, order, seconds, slots)[1]
    assert {key: (first, last) for key, (first, _, last) in found.items()} == {
        key: (first, last) for key, (first, _, last) in order.items()
    }


def test_it_is_better_where_the_ranks_are_not_best() -> None:
    gains = []
    for seed in range(10):
        needs, seconds = dag(seed, 40)
        order = ranked(needs, seconds)
        better = list_schedule(needs, sampled_order(needs, order, seconds, 3), seconds, 3)[1]
        gains.append(list_schedule(needs, order, seconds, 3)[1] / better)
    assert max(gains) > 1.01


def test_short_schedules_and_free_slots_are_left_as_they_are() -> None:
    needs, seconds = dag(1, 40)
    order = ranked(needs, seconds)
    assert sampled_order(needs, order, seconds, 40) is order
    quick = {key: value * SHORTEST_S / 1000 for key, value in seconds.items()}
    assert sampled_order(needs, order, quick, 3) is order

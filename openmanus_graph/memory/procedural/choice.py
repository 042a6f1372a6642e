"""Choice: which of several templates is offered, by Thompson sampling: a better one than the best so far is found."""

from __future__ import annotations

import random
from collections.abc import Sequence

from openmanus_graph.memory.procedural.template import KnownTemplate


def chosen(offered: Sequence[KnownTemplate], seed: str) -> KnownTemplate | None:
    """One of the templates that may be offered for a task.

    For each, a share of successes is drawn from those that its runs leave open: a Beta distribution of its weighed
    successes and failures. The highest draw, times likeness, wins. So one with few runs gets its turn as long as it may
    be the better one. After Thompson 1933; Chapelle and Li 2011.

    Args:
        offered: Templates that fit the task, with their likeness, and have not failed too often.
        seed: Names the request: the same choice is made however often its node runs again.
    """
    chance = random.Random(seed)  # noqa: S311 - nobody is kept from foreseeing it

    def drawn(known: KnownTemplate) -> float:
        return known.likeness * chance.betavariate(known.successes + 1, known.failures + 1)

    # In the order of their keys, so that the draws do not depend on who is first just now.
    return max(sorted(offered, key=lambda known: known.template.key), key=drawn, default=None)

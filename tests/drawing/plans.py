"""Plans of any size for pictures, always the same."""

from __future__ import annotations

import random
from typing import Any

from openmanus_graph import Plan


def plan_of(count: int, most_needs: int = 3) -> Plan:
    """A plan of so many subtasks, each of which needs a few of the ten before it."""
    chance = random.Random(count)
    steps: list[dict[str, Any]] = []
    for number in range(count):
        before = range(max(0, number - 10), number)
        needs = sorted(chance.sample(before, min(len(before), chance.randint(0 if number % 5 == 0 else 1, most_needs))))
        steps.append(
            {"id": f"s{number}", "tool": "bash", "args": {"command": "true"}, "needs": [f"s{need}" for need in needs]}
        )
    return Plan.from_dict({"goal": f"A plan of {count} subtasks", "subtasks": steps})

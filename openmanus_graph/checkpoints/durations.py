"""Durations: how long each kind of subtask has taken, learned over all threads, for the scheduler."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.fault_points import writing
from openmanus_graph.values.storable_json import storable_text

MEMORY = 50
"""Runs after which an old mean weighs no more than this, so that it follows a change."""
TOOL_WEIGHT = 2
"""Runs of a kind that weigh as much as what is known of its tool."""


@dataclass(frozen=True)
class Learned:
    """What is known of one kind of subtask."""

    mean_s: float
    """Mean seconds; that of late runs weighs more."""
    runs: int
    """How many runs it is of."""


async def learned_durations(saver: ThreadSaver, kinds: Collection[str]) -> dict[str, Learned]:
    """What is known by kind, of those among `kinds` that have been run before."""
    stored = {kind: storable_text(kind) for kind in kinds}
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT kind, mean_s, runs FROM durations WHERE kind = ANY(%s)", (list(set(stored.values())),)
            )
        ).fetchall()
    known = {str(row["kind"]): Learned(float(row["mean_s"]), int(row["runs"])) for row in rows}
    return {kind: known[name] for kind, name in stored.items() if name in known}


def shrunk(kind: Learned | None, tool: Learned | None) -> float | None:
    """Seconds that a subtask may take: the mean of its kind, drawn towards that of its tool while runs are few.

    Args:
        kind: What is known of the kind.
        tool: What is known of all subtasks of the same tool or agent.

    Returns:
        Seconds; `None` if nothing is known.
    """
    if kind is None or tool is None:
        known = kind or tool
        return None if known is None else known.mean_s
    return (kind.mean_s * kind.runs + tool.mean_s * TOOL_WEIGHT) / (kind.runs + TOOL_WEIGHT)


async def learn_durations(saver: ThreadSaver, samples: Mapping[str, Sequence[float]]) -> None:
    """Add the durations of completed subtasks.

    Args:
        saver: The store.
        samples: Seconds by kind; kinds without samples change nothing.
    """
    by_name: dict[str, list[float]] = {}
    for kind, seconds in samples.items():
        by_name.setdefault(storable_text(kind), []).extend(seconds)
    # Sorted, so that two runs that learn at the same time lock the rows in the same order.
    known = sorted((kind, seconds) for kind, seconds in by_name.items() if seconds)
    if not known:
        return
    with writing("durations"):
        async with saver.connection() as connection:
            await connection.execute(
                """
                INSERT INTO durations AS d (kind, runs, mean_s)
                SELECT * FROM unnest(%(kinds)s::text[], %(runs)s::bigint[], %(means)s::float8[])
                ON CONFLICT (kind) DO UPDATE SET
                    mean_s = (d.mean_s * least(d.runs, %(memory)s) + EXCLUDED.mean_s * EXCLUDED.runs)
                             / (least(d.runs, %(memory)s) + EXCLUDED.runs),
                    runs = d.runs + EXCLUDED.runs,
                    updated_at = clock_timestamp()
                """,
                {
                    "kinds": [kind for kind, _ in known],
                    "runs": [len(seconds) for _, seconds in known],
                    "means": [sum(seconds) / len(seconds) for _, seconds in known],
                    "memory": MEMORY,
                },
            )

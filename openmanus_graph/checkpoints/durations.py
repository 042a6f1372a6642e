"""Durations: how long each kind of subtask has taken, learned over all threads, for the scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.fault_points import writing

MEMORY = 50
"""Runs after which an old mean weighs no more than this, so that it follows a change."""


async def learned_durations(saver: ThreadSaver, kinds: Sequence[str]) -> dict[str, float]:
    """Mean seconds by kind, of those among `kinds` that have been run before."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT kind, mean_s FROM durations WHERE kind = ANY(%s)", (list(set(kinds)),))
        ).fetchall()
    return {str(row["kind"]): float(row["mean_s"]) for row in rows}


async def learn_durations(saver: ThreadSaver, samples: Mapping[str, Sequence[float]]) -> None:
    """Add the durations of completed subtasks.

    Args:
        saver: The store.
        samples: Seconds by kind; kinds without samples change nothing.
    """
    # Sorted, so that two runs that learn at the same time lock the rows in the same order.
    known = sorted((kind, seconds) for kind, seconds in samples.items() if seconds)
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

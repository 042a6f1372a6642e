"""Usage: tokens and costs of a thread's model calls, by role, subtask and model, as committed call by call."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.events import Usage


@dataclass(frozen=True)
class Spent:
    """The usage of one role for one subtask with one model, in all requests of the thread."""

    role: str
    """Who called."""
    subtask: str
    """For which subtask; empty for the graph's own nodes."""
    model: str
    """The model."""
    usage: Usage
    """Calls, tokens and cost."""
    elapsed_s: float
    """Seconds that the calls took together."""

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        return asdict(self)


async def spent_in(saver: ThreadSaver, thread: Thread) -> list[Spent]:
    """Usage of a thread's calls, the graph's own roles first, then subtask by subtask in the order of their calls.

    Args:
        saver: The store.
        thread: The thread; calls that its present runner is waiting for do not count yet.
    """
    since = thread.runner_since if thread.status == "running" else None
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                """
                SELECT role, subtask, model, count(*) AS calls,
                       sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens,
                       sum(cached_tokens)::bigint AS cached_tokens,
                       CASE WHEN bool_or(cost_usd IS NULL) THEN NULL ELSE sum(cost_usd) END AS cost_usd,
                       count(*) FILTER (WHERE from_cache) AS cache_hits, sum(elapsed_s) AS elapsed_s,
                       count(*) FILTER (WHERE in_flight) AS in_flight
                FROM model_calls
                WHERE thread_id = %s AND NOT (in_flight AND created_at >= coalesce(%s, 'infinity'::timestamptz))
                GROUP BY role, subtask, model ORDER BY subtask <> '', min(number)
                """,
                (thread.thread_id, since),
            )
        ).fetchall()
    return [_spent(dict(row)) for row in rows]


def _spent(row: dict[str, Any]) -> Spent:
    named = {key: str(row.pop(key)) for key in ("role", "subtask", "model")}
    elapsed_s = float(row.pop("elapsed_s"))
    if not row["in_flight"]:
        del row["in_flight"]
    return Spent(**named, usage=Usage(**row), elapsed_s=elapsed_s)

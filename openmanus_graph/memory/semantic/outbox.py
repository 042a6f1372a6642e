"""Outbox: brings a vector index up to what the passages are, however often it or a process dies.

A row says "make this key in the index like the passage is now" and names no operation, so none can overtake another,
and work that is done twice does no harm. Only the version that was delivered is settled: what changed meanwhile stays.
One process at a time delivers, which an advisory lock holds; no row is locked while the embedder and the index work.
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, LiteralString

from psycopg.rows import DictRow

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import DatabaseError
from openmanus_graph.fault_points import passed, writing
from openmanus_graph.memory.deliverer import Delivery, deliverer
from openmanus_graph.memory.embedding.vectors import vectors_of
from openmanus_graph.memory.protocols import Embedder
from openmanus_graph.memory.semantic.vector_index import VectorIndex, failure_of
from openmanus_graph.redaction import redact_log

logger = logging.getLogger(__name__)

BATCH = 64
"""Passages that are embedded at a time, unless the embedder has a `batch` of its own; a quarter of it for each time
that they failed, until each goes alone."""
TRIES = 3
"""Failures in a row after which the rest waits for another time."""
LONGEST_WAIT_S = 30.0
"""The longest pause before a passage is tried again."""
MOST_DOUBLINGS = 10
"""Failures after which the pause does not grow any more; without end it would leave the range of numbers."""
SWEEP_EVERY: LiteralString = "1 day"
"""How often all keys of an index are compared with the passages."""
UNUSED_AFTER: LiteralString = "30 days"
"""After how long an index that nobody uses is not kept up any more."""

Progress = Callable[[int, int], None]
"""Told how many passages have been delivered, and how many are left."""


class Outbox:
    """What is to be delivered to one index."""

    def __init__(self, saver: ThreadSaver, index: VectorIndex, embedder: Embedder) -> None:
        """Deliver to an index.

        Args:
            saver: The store of the passages.
            index: The index.
            embedder: Makes its vectors.
        """
        self._saver = saver
        self._index = index
        self._embedder = embedder
        self._batch = int(getattr(embedder, "batch", BATCH))

    async def register(self) -> bool:
        """Have the index kept up from now on; a new one is asked for every passage.

        Returns:
            Whether it is new.
        """
        with writing("vector target"):
            rows = await self._rows("SELECT add_target(%s) AS is_new", (self._index.target,))
            await self._rows(
                "DELETE FROM vector_targets WHERE seen_at < clock_timestamp() - %s::interval RETURNING name",
                (UNUSED_AFTER,),
            )
        return bool(rows[0]["is_new"])

    async def waiting(self) -> int:
        """How many passages are to be delivered."""
        rows = await self._rows("SELECT count(*) AS n FROM outbox WHERE target = %s", (self._index.target,))
        return int(rows[0]["n"])

    async def last_error(self) -> str | None:
        """Why the last failed delivery of a passage that still waits failed; `None` if none has."""
        rows = await self._rows(
            "SELECT error FROM outbox WHERE target = %s AND error IS NOT NULL ORDER BY next_at DESC LIMIT 1",
            (self._index.target,),
        )
        return str(rows[0]["error"]) if rows else None

    async def deliver(self, *, seconds: float | None = None, progress: Progress | None = None) -> Delivery:
        """Deliver what is due, unless another process does.

        Args:
            seconds: After how long no more is begun; `None` means when all is delivered.
            progress: Told after each batch.

        Raises:
            DatabaseError: If the store of the passages does not answer.
        """
        async with deliverer(self._saver, self._index.target) as mine:
            if not mine:
                return Delivery(0, await self.waiting(), elsewhere=True)
            delivered, error = await self._deliver(seconds, progress)
        return Delivery(delivered, await self.waiting(), error)

    async def _deliver(self, seconds: float | None, progress: Progress | None) -> tuple[int, str | None]:
        began, delivered, failures = monotonic(), 0, 0
        error: str | None = None
        while failures < TRIES and (seconds is None or monotonic() - began < seconds):
            due = await self._due()
            if not due:
                break
            try:
                await self._bring(due)
            except DatabaseError:
                raise
            except Exception as failure:  # noqa: BLE001 - an index or an embedder may raise anything
                failures, error = failures + 1, redact_log(failure_of(failure).message)
                if failures == 1:
                    logger.warning("Passages cannot be delivered to the index.", extra={"error": error})
                await self._postpone(due, error)
                continue
            failures, error = 0, None
            delivered += len(due)
            if progress is not None:
                progress(delivered, await self.waiting())
        if delivered and error is None:
            error = await self._tidied()
        return delivered, error

    async def _tidied(self) -> str | None:
        """Tidy the index; why that failed, which loses nothing."""
        try:
            await self._index.tidy()
        except DatabaseError:
            raise
        except Exception as failure:  # noqa: BLE001 - as above
            return redact_log(failure_of(failure).message)
        return None

    async def _due(self) -> list[DictRow]:
        """A batch of rows that have failed equally often, the least often first."""
        rows = await self._rows(
            "SELECT key, owner, version, attempts FROM outbox WHERE target = %s AND next_at <= clock_timestamp()"
            " ORDER BY attempts, next_at, key LIMIT %s",
            (self._index.target, self._batch),
        )
        if not rows:
            return []
        attempts = int(rows[0]["attempts"])
        return [row for row in rows if row["attempts"] == attempts][: max(1, self._batch >> 2 * attempts)]

    async def _bring(self, due: Sequence[DictRow]) -> None:
        """Make the index like the passages are now, then settle what has not changed meanwhile."""
        keys = [str(row["key"]) for row in due]
        there = await self._rows("SELECT key, owner, text FROM passages WHERE key = ANY(%s)", (keys,))
        present = {str(row["key"]) for row in there}
        vectors = await vectors_of(self._embedder, [str(row["text"]) for row in there])
        self._index.space.check(vectors)
        items: dict[str, list[tuple[str, list[float]]]] = defaultdict(list)
        for row, vector in zip(there, vectors, strict=True):
            items[str(row["owner"])].append((str(row["key"]), vector))
        absent: dict[str, list[str]] = defaultdict(list)
        for row in due:
            if str(row["key"]) not in present:
                absent[str(row["owner"])].append(str(row["key"]))
        passed("before vector index")
        for owner, pairs in items.items():
            await self._index.upsert(owner, pairs)
        for owner, gone in absent.items():
            await self._index.delete(owner, gone)
        passed("after vector index")
        with writing("delivered passages"):
            await self._rows(
                "DELETE FROM outbox o USING unnest(%s::text[], %s::bigint[]) AS d (key, version)"
                " WHERE o.target = %s AND o.key = d.key AND o.version = d.version RETURNING o.key",
                (keys, [row["version"] for row in due], self._index.target),
            )

    async def _postpone(self, due: Sequence[DictRow], error: str) -> None:
        doubled = min(int(due[0]["attempts"]), MOST_DOUBLINGS)
        wait = min(0.2 * 2**doubled, LONGEST_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
        await self._rows(
            "UPDATE outbox o SET attempts = attempts + 1, error = %s,"
            " next_at = clock_timestamp() + make_interval(secs => %s)"
            " FROM unnest(%s::text[], %s::bigint[]) AS d (key, version)"
            " WHERE o.target = %s AND o.key = d.key AND o.version = d.version RETURNING o.key",
            (error, wait, [row["key"] for row in due], [row["version"] for row in due], self._index.target),
        )

    async def sweep_if_due(self) -> int:
        """Sweep if that was last done more than `SWEEP_EVERY` ago; how many keys differed."""
        rows = await self._rows(
            "SELECT name FROM vector_targets WHERE name = %s"
            " AND coalesce(swept_at, '-infinity') < clock_timestamp() - %s::interval",
            (self._index.target, SWEEP_EVERY),
        )
        return await self.sweep() if rows else 0

    async def sweep(self) -> int:
        """Compare all keys of the index with the passages, and put what differs into the outbox.

        That heals an index that was removed, restored or written to by a deliverer that had stalled.

        Returns:
            How many keys differed.

        Raises:
            VectorIndexError: If the index does not answer.
        """
        owned = await self._rows("SELECT DISTINCT owner FROM passages", ())
        differ = 0
        for owner in sorted({str(row["owner"]) for row in owned} | await self._index.owners()):
            before = await self._waiting_keys(owner)
            have = await self._index.keys(owner)
            rows = await self._rows("SELECT key FROM passages WHERE owner = %s", (owner,))
            # What waited before the look is not a difference, and what came after it waits by itself.
            differing = sorted((have ^ {str(row["key"]) for row in rows}) - before)
            differ += len(differing)
            await self._rows(
                "INSERT INTO outbox (target, key, owner, version)"
                " SELECT %s, key, %s, nextval('outbox_versions') FROM unnest(%s::text[]) AS k (key)"
                " ON CONFLICT (target, key) DO NOTHING RETURNING key",
                (self._index.target, owner, differing),
            )
        await self._rows(
            "UPDATE vector_targets SET swept_at = clock_timestamp() WHERE name = %s RETURNING name",
            (self._index.target,),
        )
        return differ

    async def _waiting_keys(self, owner: str) -> set[str]:
        rows = await self._rows("SELECT key FROM outbox WHERE target = %s AND owner = %s", (self._index.target, owner))
        return {str(row["key"]) for row in rows}

    async def _rows(self, query: LiteralString, values: Sequence[Any]) -> list[DictRow]:
        async def ask() -> list[DictRow]:
            async with self._saver.pool.connection() as connection:
                return await (await connection.execute(query, values)).fetchall()

        return await self._saver.retried(ask)

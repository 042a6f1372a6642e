"""Forgetting: removes what memory has of past requests; passages and templates are forgotten where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString, cast

from psycopg.rows import DictRow

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.display_text import counted
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.semantic.passages import Selection
from openmanus_graph.values.storable_json import storable_text


@dataclass(frozen=True)
class Forgotten:
    """How much was forgotten."""

    passages: int
    """Passages of semantic memory."""
    episodes: int
    """Past requests of episodic memory."""
    templates: int = 0
    """Templates that no other thread has run."""

    def words(self) -> str:
        """The numbers in words, that of templates where there are any."""
        passages, episodes = counted(self.passages, "passage"), counted(self.episodes, "episode")
        if not self.templates:
            return f"{passages} and {episodes}"
        return f"{passages}, {episodes} and {counted(self.templates, 'template')}"


_COUNT: LiteralString = """
SELECT count(*) AS n FROM episodes e JOIN threads t USING (thread_id)
WHERE t.owner IN ('', %(owner)s)
  AND (%(thread)s::text IS NULL OR e.thread_id = %(thread)s)
  AND (%(before)s::timestamptz IS NULL OR e.created_at < %(before)s)
  AND (%(matching)s::text IS NULL OR e.search @@ plainto_tsquery('english', %(matching)s))
"""

_DELETE: LiteralString = """
WITH gone AS (
    DELETE FROM episodes e USING threads t
    WHERE t.thread_id = e.thread_id AND t.owner IN ('', %(owner)s)
      AND (%(thread)s::text IS NULL OR e.thread_id = %(thread)s)
      AND (%(before)s::timestamptz IS NULL OR e.created_at < %(before)s)
      AND (%(matching)s::text IS NULL OR e.search @@ plainto_tsquery('english', %(matching)s))
    RETURNING 1
)
SELECT count(*) AS n FROM gone
"""


async def forget_episodes(saver: ThreadSaver, owner: str, chosen: Selection, *, only_count: bool = False) -> int:
    """Remove episodes of an owner's threads, and of those from before threads had owners; how many went.

    Args:
        saver: The store.
        owner: Whose.
        chosen: Which; one with a source or keys means passages only.
        only_count: Count what would go, and leave it.

    Raises:
        DatabaseError: If the store does not answer.
    """
    if chosen.source is not None or chosen.keys is not None:
        return 0
    given: dict[str, Any] = {
        "owner": owner,
        "thread": chosen.thread,
        "before": chosen.before,
        "matching": None if chosen.matching is None else storable_text(chosen.matching),
    }

    async def forget() -> int:
        async with saver.pool.connection() as connection:
            row = await (await connection.execute(_COUNT if only_count else _DELETE, given)).fetchone()
        return int(cast("DictRow", row)["n"])

    with writing("forgotten episodes"):
        return await saver.retried(forget)

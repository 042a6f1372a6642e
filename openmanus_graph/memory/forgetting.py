"""Forgetting: removes what memory has of past requests; passages and templates are forgotten where they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from psycopg import sql
from psycopg.rows import DictRow

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.display_text import counted
from openmanus_graph.fault_points import writing
from openmanus_graph.memory.semantic.passages import REMEMBERED, Selection
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


_CHOSEN = sql.SQL(
    "FROM episodes WHERE thread_id IN (SELECT thread_id FROM threads WHERE owner IN ('', %(owner)s)) AND {}"
).format(REMEMBERED.format(thread=sql.Identifier("thread_id")))
_COUNT = sql.SQL("SELECT count(*) AS n {}").format(_CHOSEN)
_DELETE = sql.SQL("WITH gone AS (DELETE {} RETURNING 1) SELECT count(*) AS n FROM gone").format(_CHOSEN)


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
        "owner": storable_text(owner),
        "thread": None if chosen.thread is None else storable_text(chosen.thread),
        "before": chosen.before,
        "matching": None if chosen.matching is None else storable_text(chosen.matching),
    }

    async def forget() -> int:
        async with saver.pool.connection() as connection:
            row = await (await connection.execute(_COUNT if only_count else _DELETE, given)).fetchone()
        return int(cast("DictRow", row)["n"])

    with writing("forgotten episodes"):
        return await saver.retried(forget)

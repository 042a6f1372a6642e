"""Forgetting: removes what memory has of past requests, and says how much went of each kind."""

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
    """Templates."""
    threads: int = 0
    """Threads, with all there is of them."""

    def words(self) -> str:
        """The numbers in words, those of templates and threads where there are any."""
        more = [(self.templates, "template"), (self.threads, "thread")]
        words = [counted(self.passages, "passage"), counted(self.episodes, "episode")]
        words += [counted(number, what) for number, what in more if number]
        return f"{', '.join(words[:-1])} and {words[-1]}"


_CHOSEN = sql.SQL(
    "FROM episodes WHERE thread_id IN (SELECT thread_id FROM threads WHERE owner = ANY(%(owners)s)) AND {}"
).format(REMEMBERED.format(thread=sql.Identifier("thread_id")))
_COUNT = sql.SQL("SELECT count(*) AS n {}").format(_CHOSEN)
_DELETE = sql.SQL("WITH gone AS (DELETE {} RETURNING 1) SELECT count(*) AS n FROM gone").format(_CHOSEN)


async def forget_episodes(saver: ThreadSaver, owner: str, chosen: Selection, *, only_count: bool = False) -> int:
    """Remove episodes of an owner's threads; how many went.

    What is chosen of them is also chosen of threads that have no owner; all that an owner has is the owner's alone.

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
        "owners": [storable_text(owner), *([] if chosen == Selection() else [""])],
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

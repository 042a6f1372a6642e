"""Answered: the questions of a thread whose answer is stored, although the node that asked has not ended.

A node that is answered and then fails keeps its answer, and its question stands beside it as if it were open. LangGraph
would give a second answer to whatever the node asks next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString, cast

from openmanus_graph.checkpoints.readable_saver import BadValueError
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.langgraph_internals import ERROR, RESUME, TO_NODE, question_id

_ANSWERS: LiteralString = """
SELECT newest.checkpoint_ns, newest.checkpoint_id, newest.channels, newest.nodes, w.task_id, w.type, w.blob
FROM (
    SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns, checkpoint_id,
        ARRAY(SELECT jsonb_object_keys(checkpoint -> 'channel_versions')) AS channels,
        ARRAY(SELECT jsonb_object_keys(checkpoint -> 'versions_seen')) AS nodes
    FROM checkpoints WHERE thread_id = %s ORDER BY checkpoint_ns, checkpoint_id DESC
) AS newest
JOIN checkpoint_writes w
    ON w.thread_id = %s AND w.checkpoint_ns = newest.checkpoint_ns AND w.checkpoint_id = newest.checkpoint_id
WHERE w.channel = %s AND EXISTS (
    SELECT FROM checkpoint_writes failed
    WHERE failed.thread_id = w.thread_id AND failed.checkpoint_ns = w.checkpoint_ns
        AND failed.checkpoint_id = w.checkpoint_id AND failed.task_id = w.task_id AND failed.channel = %s
)
"""


async def answered_ids(saver: ThreadSaver, thread_id: str) -> set[str]:
    """The ids of the questions that failed tasks of a thread's newest checkpoints have answers to.

    Args:
        saver: The store.
        thread_id: The thread.

    Raises:
        ThreadUnreadableError: If an answer cannot be read.
    """
    async with saver.connection() as connection:
        rows = await (await connection.execute(_ANSWERS, (thread_id, thread_id, RESUME, ERROR))).fetchall()
    found: set[str] = set()
    for row in rows:
        try:
            found.update(_ids(saver, row))
        except BadValueError as error:
            raise await saver.unreadable(thread_id, row["checkpoint_ns"], row["checkpoint_id"], error) from error
    return found


def _ids(saver: ThreadSaver, row: Any) -> Iterator[str]:
    """The ids that a task's questions have had, by the names that its node can have: an id holds it as a hash."""
    answers = cast("list[Any] | Any", saver.load(RESUME, str(row["type"]), row["blob"], in_writes=True))
    count = len(cast("list[Any]", answers)) if isinstance(answers, list) else 1
    known = {name.removeprefix(TO_NODE) for name in cast("list[str]", row["channels"]) if name.startswith(TO_NODE)}
    around = f"{row['checkpoint_ns']}|" if row["checkpoint_ns"] else ""
    for name in known | set(cast("list[str]", row["nodes"])):
        for number in range(count):
            yield question_id(f"{around}{name}:{row['task_id']}", number)

"""Thread texts: whether an encrypted thread is of a matter, by its texts once they are opened, as SQL has none."""

from __future__ import annotations

from typing import LiteralString

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import get_thread
from openmanus_graph.memory.episodic import word_stems

_SAID: LiteralString = """
SELECT checkpoint #>> '{channel_values,task}' AS task, checkpoint #>> '{channel_values,answer}' AS answer
FROM checkpoints WHERE thread_id = %(thread)s AND checkpoint_ns = ''
UNION ALL SELECT task, answer FROM episodes WHERE thread_id = %(thread)s
"""


async def is_of(saver: ThreadSaver, thread_id: str, words: str) -> bool:
    """Whether title, goal, tasks and answers of a thread have all of some words, whatever their endings.

    Args:
        saver: The store.
        thread_id: The thread, which exists.
        words: The words.

    Raises:
        EncryptionKeyError: If its key is not set, so that nobody can tell.
    """
    thread = await get_thread(saver, thread_id)
    if thread is None:
        return False
    wanted = set(word_stems(words))
    if not wanted:  # as in SQL, where a query without words finds nothing
        return False
    plan = thread.plan or {}
    wanted -= set(word_stems(f"{thread.title} {plan.get('goal') or ''}"))
    async with saver.connection() as connection:
        rows = await (await connection.execute(_SAID, {"thread": thread_id})).fetchall()
    for row in rows:
        for text in row.values():
            wanted -= set(word_stems(text or ""))
    return not wanted

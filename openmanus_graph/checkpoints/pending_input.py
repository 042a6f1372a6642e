"""Pending input: what a thread was given and no checkpoint has yet, as after a kill before the first one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, LiteralString, cast

from psycopg.rows import DictRow

from openmanus_graph.checkpoints.checked_write import refusal
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import StateSerializer
from openmanus_graph.checkpoints.values.encoding import UnstorableError
from openmanus_graph.langgraph_internals import START_CHANNEL

_DUE: LiteralString = (
    " FROM threads WHERE thread_id = %s AND input IS NOT NULL"
    " AND input_after IS NOT DISTINCT FROM newest_checkpoint(thread_id)"
)


@dataclass(frozen=True)
class PendingInput:
    """The input that a run of a thread begins with."""

    value: Any
    """The input as its graph takes it."""


def stored_input(saver: ThreadSaver, given: Any) -> tuple[str, bytes]:
    """An input as the thread's row keeps it until a checkpoint has it: how it is stored, and the bytes.

    Raises:
        ForeignTypeError: If it holds what cannot be stored.
    """
    try:
        kind, data, _ = cast("StateSerializer", saver.serde).serialized(given)
    except UnstorableError as error:
        error.channel = START_CHANNEL
        raise refusal(error, None) from error
    return kind, data


async def input_is_due(saver: ThreadSaver, thread_id: str) -> bool:
    """Whether the run of a thread was cut off before a checkpoint had the input that it was given last."""
    return await _row(saver, "SELECT 1 AS due" + _DUE, thread_id) is not None


async def pending_input(saver: ThreadSaver, thread_id: str) -> PendingInput | None:
    """The input that a thread was given last, if its run was cut off before a checkpoint had it; else `None`.

    Args:
        saver: The store.
        thread_id: The thread.
    """
    row = await _row(saver, "SELECT input_type, input" + _DUE, thread_id)
    return None if row is None else PendingInput(saver.serde.loads_typed((row["input_type"], bytes(row["input"]))))


async def _row(saver: ThreadSaver, query: LiteralString, thread_id: str) -> DictRow | None:
    async with saver.connection() as connection:
        return await (await connection.execute(query, (thread_id,))).fetchone()

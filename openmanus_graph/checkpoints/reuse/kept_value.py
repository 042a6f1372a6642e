"""Kept value: what a call or a search found before, read back for whoever would find it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

from openmanus_graph.checkpoints.encryption.cipher import refuse_sealed
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError


async def kept_value(
    saver: ThreadSaver, query: LiteralString, named: Sequence[Any], seconds: float
) -> tuple[Any, float] | None:
    """A value that is not older than so many seconds, and its age; `None` if there is none that can be read.

    Args:
        saver: The store.
        query: Selects the `value`, and its `made_at`, of at most one row.
        named: The query's parameters.
        seconds: How old it may be.
    """
    aged = f"SELECT value, extract(epoch FROM clock_timestamp() - made_at)::float AS age FROM ({query}) AS kept"  # noqa: S608 - no value is in it
    try:
        async with saver.connection() as connection:
            row = await (await connection.execute(aged, named)).fetchone()
        if row is None or float(row["age"]) > seconds:
            return None
        if saver.cipher is None:
            refuse_sealed([row["value"]])
    except (EncryptionKeyError, DamagedValueError):  # it is found anew, as if nothing had been kept
        return None
    return row["value"], max(float(row["age"]), 0.0)

"""Deliverer: the one process that brings what waits in Postgres to a store elsewhere, held by an advisory lock.

The lock is on a connection of its own: a delivery may take long, and the pool is for those who are quick.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, cast

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from openmanus_graph.checkpoints.lease import KEEPALIVES
from openmanus_graph.checkpoints.saver import ThreadSaver


@dataclass(frozen=True)
class Delivery:
    """What one round of delivering has done."""

    delivered: int
    """How much the store elsewhere now has, or no longer has."""
    waiting: int
    """How much is still to be delivered."""
    error: str | None = None
    """Why it stopped early; `None` if it did not."""
    elsewhere: bool = False
    """Whether another process is delivering, so that this one did nothing."""


@asynccontextmanager
async def deliverer(saver: ThreadSaver, name: str) -> AsyncGenerator[bool]:
    """Be the deliverer of a name for the block, unless another process is; gives whether this one is.

    Args:
        saver: The store of what waits, to whose database one more connection is made.
        name: What is delivered where.

    Raises:
        DatabaseError: If the store does not answer.
    """
    try:
        connected = AsyncConnection[DictRow].connect(
            make_conninfo(saver.conninfo, **KEEPALIVES), autocommit=True, row_factory=dict_row, connect_timeout=5
        )
        async with await connected as connection:
            mine = True  # until the server says otherwise: a delivery may be stopped while it asks
            try:
                row = await _lock(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS mine", name)
                mine = bool(row["mine"])
                yield mine
            finally:
                if mine:
                    await _lock(connection, "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", name)
    except psycopg.OperationalError as broken:
        raise saver.lost(broken) from broken


async def _lock(connection: Any, query: LiteralString, name: str) -> DictRow:
    return cast("DictRow", await (await connection.execute(query, (f"openmanus_graph.deliverer:{name}",))).fetchone())

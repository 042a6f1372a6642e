"""Store: LangGraph's store for what outlives threads, in our schema of the database that has the threads.

A node reaches it with LangGraph's `get_store()`. No item belongs to a thread, so removing or pruning threads leaves
all of them. Its tables are made when it is first used.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import psycopg
from langgraph.store.base import Item, Op, PutOp, Result, SearchOp
from langgraph.store.postgres.aio import AsyncPostgresStore

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.encryption.cipher import Cipher, refuse_sealed
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_item
from openmanus_graph.checkpoints.migrations import make_store_tables
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.errors import MigrationNeededError


class ThreadStore(AsyncPostgresStore):
    """LangGraph's Postgres store on the connections of a saver."""

    def __init__(self, saver: ThreadSaver) -> None:
        """Use a saver's connections; nothing is read or made yet.

        Args:
            saver: The saver, on whose event loop the store works, too.
        """
        self._saver = saver
        self._making = asyncio.Lock()
        self._made = False
        self._begun = False
        super().__init__(saver.pool)
        self._begun = True

    def _ensure_task(self) -> None:
        if self._begun:  # LangGraph begins the task with the store, also for runs that never use one
            super()._ensure_task()

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what LangGraph asks, surviving one broken connection; the tables are there from now on.

        Raises:
            MigrationNeededError: If they are not, and may not be made.
            EncryptionKeyError: If an item is encrypted with a key that is not set.
        """
        wanted = list(ops)
        await self.setup()
        if self._saver.cipher is not None:
            return await self._sealed_batch(wanted, self._saver.cipher)
        results = await self._saver.retried(lambda: super(ThreadStore, self).abatch(wanted))
        for result in results:
            items = cast("list[Any]", result) if isinstance(result, list) else [result]
            for item in items:
                if isinstance(item, Item):
                    refuse_sealed(item.value.values())
        return results

    async def _sealed_batch(self, ops: list[Op], cipher: Cipher) -> list[Result]:
        """Do what LangGraph asks with items whose values are sealed; connections open them."""
        asked = [_sealed_op(op, cipher) for op in ops]
        results = await self._saver.retried(lambda: super(ThreadStore, self).abatch(asked))
        for place, op in enumerate(ops):
            if isinstance(op, SearchOp) and op.filter:
                fitting = [item for item in results[place] if _fits(item.value, op.filter)]  # type: ignore[union-attr]
                results[place] = fitting[op.offset : op.offset + op.limit]
        return results

    async def setup(self) -> None:
        """Make the tables if they are not there; called by hand, it does so before the first use.

        Raises:
            MigrationNeededError: If they may not be made.
        """
        async with self._making:
            if not self._made:
                await self._saver.retried(self._make)
                self._made = True

    async def _make(self) -> None:
        async with self._saver.pool.connection() as connection:
            try:
                await make_store_tables(connection)
            except psycopg.errors.InsufficientPrivilege as error:
                raise MigrationNeededError(
                    "The database has no tables for get_store(), and its user may not make them.",
                    hint=f"Create them as a user who may: {shell_commands.MIGRATE}",
                ) from error

    async def aclose(self) -> None:
        """End the task that works for it."""
        task: asyncio.Task[Any] | None = self._task
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


MOST_SEARCHED = 1_000_000
"""Items that a search with a filter reads at most where values are sealed, and so are compared here."""
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda held, wanted: held == wanted,
    "$ne": lambda held, wanted: held != wanted,
    "$gt": lambda held, wanted: _as_text(held) > str(wanted),
    "$gte": lambda held, wanted: _as_text(held) >= str(wanted),
    "$lt": lambda held, wanted: _as_text(held) < str(wanted),
    "$lte": lambda held, wanted: _as_text(held) <= str(wanted),
}
"""LangGraph's comparisons; its Postgres store compares larger and smaller as text, too."""


def _as_text(value: Any) -> str:
    """A value as Postgres takes it out of JSON as text."""
    return value if isinstance(value, str) else json.dumps(value)


def _sealed_op(op: Op, cipher: Cipher) -> Op:
    """What is asked of the tables: sealed values, and a search without a filter that they could not answer."""
    if isinstance(op, PutOp) and op.value is not None:
        return op._replace(value=sealed_item(cipher, op.value))
    if isinstance(op, SearchOp) and op.filter:
        return op._replace(filter=None, limit=MOST_SEARCHED, offset=0)
    return op


def _fits(value: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an item has the fields that a search asks for."""
    for name, one in wanted.items():
        compared = one if isinstance(one, dict) and any(str(key).startswith("$") for key in one) else {"$eq": one}
        if name not in value or not all(_COMPARED[sign](value[name], other) for sign, other in compared.items()):
            return False
    return True

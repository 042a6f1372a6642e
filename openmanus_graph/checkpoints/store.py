"""Store: LangGraph's store for what outlives threads, in our schema of the database that has the threads.

A node reaches it with LangGraph's `get_store()`. No item belongs to a thread, so removing or pruning threads leaves
all of them. Its tables are made when it is first used.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

import psycopg
from langgraph.store.base import Op, Result
from langgraph.store.postgres.aio import AsyncPostgresStore

from openmanus_graph import shell_commands
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
        """
        wanted = list(ops)
        await self.setup()
        return await self._saver.retried(lambda: super(ThreadStore, self).abatch(wanted))

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

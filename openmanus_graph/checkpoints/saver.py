"""Saver: LangGraph's Postgres saver without its single lock, with every write fenced by the runner's epoch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from openmanus_graph.checkpoints.lease import LEASE_KEY, Lease, stale_runner
from openmanus_graph.checkpoints.serializer import PlainSerializer
from openmanus_graph.errors import DatabaseFullError, DatabaseUnreachableError, ThreadBusyError

ResultT = TypeVar("ResultT")

_writer: ContextVar[tuple[str, int | None] | None] = ContextVar("openmanus_graph_writer", default=None)


class _NoLock(asyncio.Lock):
    """Stands in for the saver's lock, which serialises everything even with a pool (each use has a connection)."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


class ThreadSaver(AsyncPostgresSaver):
    """Checkpoints of threads, written by their runner only.

    A write that belongs to a run carries the run's lease and fails with `StaleRunnerError` once another runner
    has taken the thread. A write without a lease (`update_state` by hand) fails with `ThreadBusyError` while
    somebody runs the thread.
    """

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[DictRow]], conninfo: str, place: str) -> None:
        """Use an open pool whose connections have our schema on their search path.

        Args:
            pool: The connections.
            conninfo: How to open one more, for a thread's lock.
            place: The server in words and the setting that chose it, for error messages.
        """
        super().__init__(pool, serde=PlainSerializer())
        self.lock = _NoLock()
        self.pool = pool
        self.conninfo = conninfo
        self.place = place
        self.aclose: Callable[[], Awaitable[None]] = pool.close
        """Closes the pool, and lets go of the embedded server if this saver holds it."""

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncGenerator[AsyncCursor[DictRow]]:  # pyright: ignore[reportIncompatibleMethodOverride] - the base's annotation is wider
        async with super()._cursor(pipeline=pipeline) as cursor:
            writer = _writer.get()
            if writer is None:
                yield cursor
                return
            # One transaction, so that the fence and what it guards stand or fall together.
            async with cursor.connection.transaction():
                await cursor.execute("SELECT check_runner(%s, %s)", writer)
                yield cursor

    async def _guarded(
        self, config: RunnableConfig, write: Callable[[], Awaitable[ResultT]]
    ) -> ResultT:
        configurable: dict[str, Any] = config.get("configurable", {})
        lease: Lease | None = configurable.get(LEASE_KEY)
        thread_id = str(configurable["thread_id"])
        token = _writer.set((thread_id, None if lease is None else lease.epoch))
        try:
            return await self.retried(write)
        except psycopg.Error as error:
            if error.sqlstate == "OM001":
                raise stale_runner(thread_id) from error
            if error.sqlstate == "OM002":
                raise ThreadBusyError(
                    f"The thread {thread_id!r} is being run, so its state cannot be edited now.",
                    hint=f"See who runs it with: openmanus-graph threads show {thread_id}",
                ) from error
            raise
        finally:
            _writer.reset(token)

    async def retried(self, operation: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Run an idempotent operation, once more if its connection broke.

        Raises:
            DatabaseUnreachableError: If the second attempt finds no server either.
            DatabaseFullError: If the server has no space left.
        """
        try:
            try:
                return await operation()
            except (psycopg.OperationalError, PoolTimeout) as error:
                if getattr(error, "sqlstate", None) == "53100":
                    raise
                return await operation()
        except psycopg.errors.DiskFull as error:
            raise database_full(self.place) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise unreachable(self.place, error) from error

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint, as the base does, surviving one broken connection."""
        return await self.retried(lambda: super(ThreadSaver, self).aget_tuple(config))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint, as the base does, behind the fence."""
        return await self._guarded(
            config, lambda: super(ThreadSaver, self).aput(config, checkpoint, metadata, new_versions)
        )

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Write a task's results, as the base does, behind the fence."""
        await self._guarded(
            config, lambda: super(ThreadSaver, self).aput_writes(config, writes, task_id, task_path)
        )

    async def latest_values(self, thread_id: str, namespace_prefix: str, channel: str) -> Mapping[str, Any]:
        """The newest value of `channel` in every namespace that starts with the prefix, in one query.

        Args:
            thread_id: The thread.
            namespace_prefix: What the namespaces start with, such as `dispatcher|subtask `.
            channel: The channel to read; namespaces where it has no value are left out.

        Returns:
            The values by namespace.
        """

        async def read() -> list[DictRow]:
            async with self._cursor() as cursor:
                await cursor.execute(
                    """
                    SELECT latest.checkpoint_ns, bl.type, bl.blob
                    FROM (
                        SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns,
                               checkpoint -> 'channel_versions' ->> %(channel)s AS version
                        FROM checkpoints
                        WHERE thread_id = %(thread_id)s AND starts_with(checkpoint_ns, %(prefix)s)
                          AND strpos(substr(checkpoint_ns, length(%(prefix)s) + 1), '|') = 0
                        ORDER BY checkpoint_ns, checkpoint_id DESC
                    ) latest
                    JOIN checkpoint_blobs bl
                      ON bl.thread_id = %(thread_id)s AND bl.checkpoint_ns = latest.checkpoint_ns
                     AND bl.channel = %(channel)s AND bl.version = latest.version
                    """,
                    {"thread_id": thread_id, "prefix": namespace_prefix, "channel": channel},
                )
                return await cursor.fetchall()

        rows = await self.retried(read)
        return {
            str(row["checkpoint_ns"]): self.serde.loads_typed((cast("str", row["type"]), bytes(row["blob"] or b"")))
            for row in rows
            if row["type"] != "empty"
        }

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """A connection of the pool, for the project's own tables."""
        try:
            async with self.pool.connection() as connection:
                yield connection
        except psycopg.errors.DiskFull as error:
            raise database_full(self.place) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise unreachable(self.place, error) from error


def unreachable(place: str, error: Exception) -> DatabaseUnreachableError:
    """The error for a server that does not answer: where it was looked for and which setting says so."""
    reason = str(error).strip().splitlines()
    return DatabaseUnreachableError(
        f"No Postgres answers at {place}: {reason[0] if reason else type(error).__name__}.",
        hint="Check with: openmanus-graph doctor",
    )


def database_full(place: str) -> DatabaseFullError:
    """The error for a server without space."""
    return DatabaseFullError(
        f"The disk of the Postgres at {place} is full; nothing committed is lost.",
        hint="Free some space, then resume the thread: openmanus-graph resume --last",
    )

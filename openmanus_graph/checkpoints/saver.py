"""Saver: LangGraph's Postgres saver without its single lock, with every write fenced by the runner's epoch."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.serde.types import (
    ERROR,
)
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.lease import Lease, stale_runner
from openmanus_graph.checkpoints.pruning.delta_channels import STUB
from openmanus_graph.checkpoints.pruning.prune import prune_rows, remove_runs
from openmanus_graph.checkpoints.readable_saver import BadValueError, ReadingSaver
from openmanus_graph.checkpoints.sequence import go_on_from
from openmanus_graph.checkpoints.serializer import PlainSerializer
from openmanus_graph.checkpoints.thread_tables import copy_rows, remove_rows, try_alone
from openmanus_graph.errors import (
    DatabaseError,
    DatabaseFullError,
    DatabaseUnreachableError,
    ThreadBusyError,
    UsageError,
)
from openmanus_graph.fault_points import writing
from openmanus_graph.langgraph_internals import DeltaSnapshot
from openmanus_graph.run_config import LEASE

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

LITTLE_SPACE = 20 * 2**20
"""Bytes free below which a server that stops is taken to have run out of space: it needs 16 MiB to go on."""


class _NoLock(asyncio.Lock):
    """Stands in for the saver's lock, which serialises everything even with a pool (each use has a connection)."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


class ThreadSaver(ReadingSaver):
    """Checkpoints of threads, written by their runner only.

    A write that belongs to a run carries the run's lease and fails with `StaleRunnerError` once another runner
    has taken the thread. A write without a lease (`update_state` by hand) fails with `ThreadBusyError` while
    somebody runs the thread.
    """

    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection[DictRow]], conninfo: str, place: str, folder: Path | None = None
    ) -> None:
        """Use an open pool whose connections have our schema on their search path.

        Args:
            pool: The connections.
            conninfo: How to open one more, for a thread's lock.
            place: The server in words and the setting that chose it, for error messages.
            folder: Where the server's data is, if that is on this machine.
        """
        super().__init__(pool, serde=PlainSerializer())
        self.lock = _NoLock()
        self.pool = pool
        self.conninfo = conninfo
        self.place = place
        self.folder = folder
        self.aclose: Callable[[], Awaitable[None]] = pool.close
        """Closes the pool, and lets go of the embedded server if this saver holds it."""

    async def fenced(
        self, config: RunnableConfig, query: LiteralString, row: Sequence[Any], what: str
    ) -> DictRow | None:
        """Call one of the writing functions of the database, which check the fence first.

        Args:
            config: The write's config; its lease, if any, says which runner writes.
            query: The call, whose first two parameters are the thread and the runner's epoch.
            row: The other parameters.
            what: What is written, as `fault_points` name it.

        Returns:
            The first row that it gives.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
            ThreadBusyError: If the write has no lease and somebody runs the thread.
        """
        configurable: dict[str, Any] = config.get("configurable", {})
        lease: Lease | None = LEASE.get(configurable)
        thread_id = str(configurable["thread_id"])

        async def write() -> DictRow | None:
            async with self.pool.connection() as connection:
                cursor = connection.cursor(binary=True)
                await cursor.execute(query, (thread_id, None if lease is None else lease.epoch, *row))
                return await cursor.fetchone()

        try:
            with writing(what):
                return await self.retried(write)
        except psycopg.Error as error:
            if error.sqlstate == "OM001":
                raise stale_runner(thread_id) from error
            if error.sqlstate == "OM002":
                raise ThreadBusyError(
                    f"The thread {thread_id!r} is being run, so its state cannot be edited now.",
                    hint=f"See who runs it with: {shell_commands.show_thread(thread_id)}",
                ) from error
            raise

    async def retried(self, operation: Callable[[], Awaitable[ResultT]]) -> ResultT:
        """Run an idempotent operation, once more if its connection broke.

        Raises:
            DatabaseUnreachableError: If the second attempt finds no server either.
            DatabaseFullError: If the server has no space left.
        """
        try:
            try:
                return await operation()
            except psycopg.errors.DiskFull:
                raise
            except psycopg.OperationalError as error:
                logger.info("A connection broke; the operation is tried once more.", extra={"sqlstate": error.sqlstate})
                await self.pool.check()  # the pool's other connections may be as dead as this one
                return await operation()
        except psycopg.errors.DiskFull as error:
            raise database_full(self.place) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise self.lost(error) from error

    def lost(self, error: Exception) -> DatabaseError:
        """The error for a server that went away: for lack of space, if its disk says so, else unreachable."""
        if self.folder is not None and shutil.disk_usage(self.folder).free < LITTLE_SPACE:
            return database_full(self.place)
        return unreachable(self.place, error)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint, as the base does, surviving one broken connection; stubs of pruning count as absent."""
        stored = await self.retried(lambda: super(ThreadSaver, self).aget_tuple(config))
        if stored is None or STUB in stored.metadata:
            return None
        go_on_from(stored.checkpoint["id"])
        return stored

    def _search_where(
        self, config: RunnableConfig | None, filter: Any, before: RunnableConfig | None = None
    ) -> tuple[str, list[Any]]:
        """The condition for the checkpoints that are listed: that of the base, without the stubs left by pruning."""
        where, values = super()._search_where(config, filter, before)
        return f"{where} {'AND' if where else 'WHERE'} NOT metadata ? %s", [*values, STUB]

    async def adelete_thread(self, thread_id: str) -> None:
        """Remove a thread from every table.

        Raises:
            ThreadBusyError: If somebody runs it.
        """
        async with self.connection() as connection, connection.transaction():
            if not await try_alone(connection, str(thread_id)):
                raise ThreadBusyError(
                    f"The thread {thread_id!r} is running, so it is not removed.",
                    hint=f"See who runs it with: {shell_commands.show_thread(thread_id)}",
                )
            await remove_rows(connection, [str(thread_id)])

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy the checkpoints of a thread, as they are committed now, to a thread that has none.

        Raises:
            UsageError: If the target has checkpoints.
        """
        target = str(target_thread_id)
        async with self.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            known = await connection.execute("SELECT 1 FROM checkpoints WHERE thread_id = %s LIMIT 1", (target,))
            if await known.fetchone() is not None:
                raise UsageError(f"The thread {target!r} has checkpoints already.", hint="Copy to a new id.")
            await copy_rows(connection, str(source_thread_id), target)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints that LangGraph's runs have made; later ones keep what they need of them.

        Raises:
            ThreadBusyError: If somebody runs one of the threads.
        """
        async with self.connection() as connection:
            rows = await (
                await connection.execute(
                    "SELECT DISTINCT thread_id FROM checkpoints WHERE metadata ->> 'run_id' = ANY(%s)",
                    ([str(run_id) for run_id in run_ids],),
                )
            ).fetchall()
            for row in rows:
                await remove_runs(connection, str(row["thread_id"]), [str(run_id) for run_id in run_ids])

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove all but the newest checkpoint of each namespace, or all, of some threads.

        Args:
            thread_ids: The threads.
            strategy: `keep_latest`, which keeps what the newest ones and a resume need, or `delete`.

        Raises:
            TypeError: If `thread_ids` is a single text.
            ValueError: If the strategy is another one.
            ThreadBusyError: If somebody runs one of the threads; those before it are done.
        """
        if isinstance(thread_ids, str):
            raise TypeError("thread_ids must be a sequence of ids, not one id")
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"Unknown strategy: {strategy!r}")
        for thread_id in map(str, thread_ids):
            if strategy == "delete":
                await self.adelete_thread(thread_id)
                continue
            async with self.connection() as connection:
                await prune_rows(connection, thread_id)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Write a checkpoint behind the fence, in one statement; the rows are the base's."""
        configurable: dict[str, Any] = config.get("configurable", {})
        inline: dict[str, Any] = {}
        blobs: dict[str, Any] = {}
        for channel, value in checkpoint["channel_values"].items():
            if isinstance(value, DeltaSnapshot):
                inline[channel], blobs[channel] = True, value
            elif value is None or isinstance(value, (str, int, float, bool)):
                inline[channel] = value
            else:
                blobs[channel] = value
        dumped = [
            (channel, str(version), *self.serde.dumps_typed(blobs[channel]))
            for channel, version in new_versions.items()
            if channel in blobs
        ]
        channels, versions, types, values = _columns(dumped, 4)
        namespace = str(configurable["checkpoint_ns"])
        await self.fenced(
            config,
            "SELECT put_checkpoint(%s, %s, %s, %s, %s, %s, %s, %s::text[], %s::text[], %s::text[], %s::bytea[])",
            (
                namespace,
                checkpoint["id"],
                configurable.get("checkpoint_id"),
                Jsonb({**checkpoint, "channel_values": inline}),
                Jsonb(get_serializable_checkpoint_metadata(config, metadata)),
                channels,
                versions,
                types,
                values,
            ),
            f"checkpoint {namespace}",
        )
        return {
            "configurable": {
                "thread_id": configurable["thread_id"],
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Write a task's results behind the fence, in one statement; the rows are the base's."""
        configurable: dict[str, Any] = config.get("configurable", {})
        if any(channel == ERROR for channel, _ in writes):
            # A step that was cancelled half-way comes with what it had written so far, which a resume would take for
            # all of it: its update without the edge that follows ends the run in silence. So it runs again.
            writes = [write for write in writes if write[0] in WRITES_IDX_MAP]
        dumped = [
            (WRITES_IDX_MAP.get(channel, index), channel, *self.serde.dumps_typed(value))
            for index, (channel, value) in enumerate(writes)
        ]
        replace = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        await self.fenced(
            config,
            "SELECT put_writes(%s, %s, %s, %s, %s, %s, %s, %s::int[], %s::text[], %s::text[], %s::bytea[])",
            (
                configurable["checkpoint_ns"],
                configurable["checkpoint_id"],
                task_id,
                task_path,
                replace,
                *_columns(dumped, 4),
            ),
            f"writes {configurable['checkpoint_ns']}",
        )

    async def latest_values(self, thread_id: str, namespace_prefix: str, channel: str) -> Mapping[str, Any]:
        """The newest value of `channel` in every namespace that starts with the prefix, in one query.

        Args:
            thread_id: The thread.
            namespace_prefix: What the namespaces start with, such as `dispatcher|subtask `.
            channel: The channel to read; namespaces where it has no value are left out.

        Returns:
            The values by namespace.

        Raises:
            ThreadUnreadableError: If one cannot be read.
        """

        async def read() -> list[DictRow]:
            async with self._cursor() as cursor:
                await cursor.execute(
                    """
                    SELECT latest.checkpoint_ns, latest.checkpoint_id, bl.type, bl.blob
                    FROM (
                        SELECT DISTINCT ON (checkpoint_ns) checkpoint_ns, checkpoint_id,
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

        values: dict[str, Any] = {}
        for row in await self.retried(read):
            namespace = str(row["checkpoint_ns"])
            try:
                if row["type"] != "empty":
                    values[namespace] = self.load(channel, str(row["type"]), bytes(row["blob"] or b""))
            except BadValueError as error:
                raise await self.unreadable(thread_id, namespace, str(row["checkpoint_id"]), error) from error
        return values

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncConnection[DictRow]]:
        """A connection of the pool, for the project's own tables."""
        try:
            async with self.pool.connection() as connection:
                yield connection
        except psycopg.errors.DiskFull as error:
            raise database_full(self.place) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            raise self.lost(error) from error


def _columns(rows: Sequence[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [[row[index] for row in rows] for index in range(count)]


def unreachable(place: str, error: Exception) -> DatabaseUnreachableError:
    """The error for a server that does not answer: where it was looked for and which setting says so."""
    reason = str(error).strip().splitlines()
    return DatabaseUnreachableError(
        f"No Postgres answers at {place}: {reason[0] if reason else type(error).__name__}.",
        hint=f"Check with: {shell_commands.DOCTOR}",
    )


def database_full(place: str) -> DatabaseFullError:
    """The error for a server without space."""
    return DatabaseFullError(
        f"The disk of the Postgres at {place} is full; nothing committed is lost.",
        hint=f"Free some space, then resume the thread: {shell_commands.RESUME_LAST}",
    )

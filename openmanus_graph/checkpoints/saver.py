"""Saver: LangGraph's Postgres saver without its single lock, with every write fenced by the runner's epoch."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, LiteralString, TypeVar, cast
from weakref import WeakKeyDictionary

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
from langgraph.checkpoint.serde.types import ERROR
from langgraph.store.base import BaseStore
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.channel_version import next_version
from openmanus_graph.checkpoints.checked_write import CheckedWrite, refusal, writer_in
from openmanus_graph.checkpoints.encryption.cipher import Cipher
from openmanus_graph.checkpoints.lease import Lease
from openmanus_graph.checkpoints.pruning.delta_channels import STUB
from openmanus_graph.checkpoints.pruning.prune import prune_rows, remove_runs
from openmanus_graph.checkpoints.readable_saver import BadValueError, ReadingSaver
from openmanus_graph.checkpoints.refusals import database_full, end_if_cancelled, refused_writes, unreachable
from openmanus_graph.checkpoints.sequence import go_on_from
from openmanus_graph.checkpoints.serializer import PlainSerializer, StateSerializer, stand_ins
from openmanus_graph.checkpoints.step_rows import checkpoint_write, task_write
from openmanus_graph.checkpoints.thread_id import storable_thread
from openmanus_graph.checkpoints.thread_tables import copy_rows, remove_rows, try_alone
from openmanus_graph.checkpoints.values.encoding import UnstorableError
from openmanus_graph.checkpoints.write_queue import Urgency, Write, WriteQueue, batch_of
from openmanus_graph.errors import DatabaseError, ForeignTypeError, ThreadBusyError, UsageError
from openmanus_graph.fault_points import writing
from openmanus_graph.langgraph_internals import SENDS, send_index
from openmanus_graph.run_config import LEASE
from openmanus_graph.tools.browser.saved_state import remove_states

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")

MOST_REFUSED = 100
"""Refused writes that are remembered."""
_PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id")

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
        self,
        pool: AsyncConnectionPool[AsyncConnection[DictRow]],
        conninfo: str,
        place: str,
        folder: Path | None = None,
        cipher: Cipher | None = None,
    ) -> None:
        """Use an open pool whose connections have our schema on their search path.

        Args:
            pool: The connections.
            conninfo: How to open one more, for a thread's lock.
            place: The server in words and the setting that chose it, for error messages.
            folder: Where the server's data is, if that is on this machine.
            cipher: Seals what is written; the connections open what it sealed.
        """
        super().__init__(pool, serde=StateSerializer(cipher))
        self.lock = _NoLock()
        self.cipher, self.pool, self.conninfo, self.place, self.folder = cipher, pool, conninfo, place, folder
        self.home: Path | None = None
        """The data folder with files of its threads; `None` for that of this process' settings."""
        self._refused: dict[tuple[str, ...], str] = {}
        self._queues: WeakKeyDictionary[Lease, WriteQueue] = WeakKeyDictionary()
        self.closing = AsyncExitStack()
        """Closed with the saver, before its connections: what graphs that run on it need open."""
        self.store: BaseStore | None = None
        """Where what outlives threads is kept, for graphs that were compiled without a store of their own."""
        self.aclose: Callable[[], Awaitable[None]] = pool.close
        """Closes the pool, and lets go of the embedded server if this saver holds it."""

    @property
    def _serializer(self) -> StateSerializer:
        return cast("StateSerializer", self.serde)

    def for_plain_values(self) -> ThreadSaver:
        """This saver for graphs of ours, whose values are plain so that old threads load after the code moved."""
        return self._with(PlainSerializer)

    def for_any_values(self) -> ThreadSaver:
        """This saver for users' graphs, whose states may hold all that comes back as it was."""
        return self._with(StateSerializer)

    def _with(self, serializer: type[StateSerializer]) -> ThreadSaver:
        if type(self.serde) is serializer:
            return self
        other = copy(self)
        other.serde = serializer(self.cipher)
        return other

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
        thread_id = storable_thread(configurable["thread_id"])
        full = (thread_id, None if lease is None else lease.epoch, *row)
        with writing(what), refused_writes(thread_id):
            return await self.retried(lambda: self._one_row(query, full))

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
                end_if_cancelled(error)
                logger.info("A connection broke; the operation is tried once more.", extra={"sqlstate": error.sqlstate})
                await self.pool.check()  # the pool's other connections may be as dead as this one
                return await operation()
        except psycopg.errors.DiskFull as error:
            raise database_full(self.place) from error
        except (psycopg.OperationalError, PoolTimeout) as error:
            end_if_cancelled(error)
            raise self.lost(error) from error

    def lost(self, error: Exception) -> DatabaseError:
        """The error for a server that went away: for lack of space, if its disk says so, else unreachable."""
        if self.folder is not None and shutil.disk_usage(self.folder).free < LITTLE_SPACE:
            return database_full(self.place)
        return unreachable(self.place, error)

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The version of a channel's next value."""
        return next_version(current)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read a checkpoint, as the base does, surviving one broken connection; stubs of pruning count as absent."""
        configurable: dict[str, Any] = config.get("configurable", {})
        storable_thread(configurable["thread_id"])
        lease: Lease | None = LEASE.get(configurable)
        if lease is not None and configurable.get("checkpoint_ns") in lease.unwritten:
            lease.unwritten.discard(configurable["checkpoint_ns"])  # it writes there next
            return None
        stored = await self.retried(lambda: super(ThreadSaver, self).aget_tuple(config))
        if stored is None or STUB in stored.metadata:
            return None
        go_on_from(stored.checkpoint["id"])
        return stored

    def _search_where(
        self, config: RunnableConfig | None, filter: Any, before: RunnableConfig | None = None
    ) -> tuple[str, list[Any]]:
        """The condition for the checkpoints that are listed: that of the base, without the stubs left by pruning."""
        if config is not None and "thread_id" in (config.get("configurable") or {}):
            storable_thread(config["configurable"]["thread_id"])  # type: ignore[index]
        where, values = super()._search_where(config, filter, before)
        return f"{where} {'AND' if where else 'WHERE'} NOT metadata ? %s", [*values, STUB]

    async def adelete_thread(self, thread_id: str) -> None:
        """Remove a thread from every table, and what its browsers kept.

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
        await asyncio.to_thread(remove_states, str(thread_id), self.home)

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
        namespace = str(configurable["checkpoint_ns"])
        try:
            write = checkpoint_write(
                CheckedWrite(self._serializer, config),
                configurable,
                checkpoint,
                get_serializable_checkpoint_metadata(config, metadata),
                new_versions,
            )
        except UnstorableError as error:
            raise await self._refusal(config, error) from error
        await self._queued(config, write, f"checkpoint {namespace}", _urgency(configurable, metadata))
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
        try:
            write = task_write(
                CheckedWrite(self._serializer, config, task_path), configurable, writes, task_id, task_path
            )
        except UnstorableError as error:
            raise await self._refusal(config, error, task_path) from error
        # LangGraph goes on meanwhile, and awaits what it wrote only where a graph ends.
        await self._queued(config, write, f"writes {configurable['checkpoint_ns']}", "soon")

    async def _queued(self, config: RunnableConfig, write: Write, what: str, urgency: Urgency) -> None:
        """Store rows of a thread behind the fence, together with others of its runner.

        Raises:
            StaleRunnerError: If another runner has taken the thread.
            ThreadBusyError: If the write has no lease and somebody runs the thread.
        """
        configurable: dict[str, Any] = config.get("configurable", {})
        lease: Lease | None = LEASE.get(configurable)
        thread_id = storable_thread(configurable["thread_id"])
        with writing(what), refused_writes(thread_id):
            if lease is None:
                await self._store(thread_id, None, [write])
                return
            if lease not in self._queues:
                self._queues[lease] = WriteQueue(partial(self._store, thread_id, lease.epoch))
            await self._queues[lease].put(write, urgency)

    async def end_writes(self, lease: Lease) -> None:
        """Store nothing more of a runner that ends."""
        if lease in self._queues:
            await self._queues[lease].close()

    async def _store(self, thread_id: str, epoch: int | None, writes: Sequence[Write]) -> None:
        """Store rows in one statement and one commit."""
        row = (thread_id, epoch, *batch_of(writes))
        await self.retried(lambda: self._one_row("SELECT put_batch(%s, %s, %s::jsonb, %s::bytea[])", row))

    async def _one_row(self, query: LiteralString, row: Sequence[Any]) -> DictRow | None:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(query, row)
            return await cursor.fetchone()

    async def recorded_tasks(self, thread_id: str) -> set[str]:
        """Ids of the tasks that have ended after a thread's newest checkpoint, without reading what they wrote."""

        async def read() -> list[DictRow]:
            async with self._cursor() as cursor:
                await cursor.execute(
                    "SELECT DISTINCT task_id FROM checkpoint_writes WHERE thread_id = %(thread)s AND checkpoint_ns = ''"
                    " AND checkpoint_id = newest_checkpoint(%(thread)s) AND idx >= 0",
                    {"thread": thread_id},
                )
                return await cursor.fetchall()

        return {str(row["task_id"]) for row in await self.retried(read)}

    async def namespaces(self, thread_id: str, prefix: str) -> set[str]:
        """The namespaces of a thread that begin so and in which a checkpoint is stored."""

        async def read() -> list[DictRow]:
            async with self._cursor() as cursor:
                await cursor.execute(
                    "SELECT DISTINCT checkpoint_ns FROM checkpoints"
                    " WHERE thread_id = %s AND starts_with(checkpoint_ns, %s)",
                    (thread_id, prefix),
                )
                return await cursor.fetchall()

        return {str(row["checkpoint_ns"]) for row in await self.retried(read)}

    async def task_paths(self, thread_id: str, namespace: str, checkpoint_id: str) -> dict[str, str]:
        """The paths of the tasks that have written after a checkpoint, by task id."""

        async def read() -> list[DictRow]:
            async with self._cursor() as cursor:
                await cursor.execute(
                    "SELECT DISTINCT task_id, task_path FROM checkpoint_writes"
                    " WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s",
                    (thread_id, namespace, checkpoint_id),
                )
                return await cursor.fetchall()

        return {str(row["task_id"]): str(row["task_path"]) for row in await self.retried(read)}

    async def _refusal(
        self, config: RunnableConfig, error: UnstorableError, task_path: str | None = None
    ) -> ForeignTypeError:
        """The error for a value that cannot be stored, with the node that wrote it.

        Of a task's write and the checkpoint after it, LangGraph raises what fails there, which does not know the node.
        """
        place = tuple(str(config["configurable"].get(key)) for key in _PLACE)  # type: ignore[typeddict-item]
        if task_path is not None:
            if len(self._refused) >= MOST_REFUSED:
                self._refused.clear()
            self._refused[*place, error.channel] = task_path
        path = self._refused.get((*place, error.channel), "")
        writer, index = writer_in(path), send_index(path)
        if index is not None:
            with stand_ins():
                stored = await self.aget_tuple(config)
            sends: list[Any] = [] if stored is None else stored.checkpoint["channel_values"].get(SENDS) or []
            writer = f"the node {sends[index].node!r}" if index < len(sends) else None
        return refusal(error, writer)

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
            end_if_cancelled(error)
            raise self.lost(error) from error


def _urgency(configurable: Mapping[str, Any], metadata: CheckpointMetadata) -> Urgency:
    """How soon a checkpoint is stored: what a step may only begin after is waited for."""
    namespace = str(configurable["checkpoint_ns"])
    if not namespace:
        return "now"
    if metadata.get("source") == "input":
        return "along"  # what a graph inside another was given is worth nothing without the step that follows
    lease: Lease | None = LEASE.get(configurable)
    if lease is not None and metadata.get("step", 0) <= lease.harmless.get(namespace, -1):
        return "behind"
    return "now"

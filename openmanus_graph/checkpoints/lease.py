"""Lease: one runner per thread, by a session lock and an epoch that fences every write.

The lock says who may run; the epoch says who still may write. A lock alone is not enough: the connection that
holds it can die unnoticed while its runner lives on, and then two runners would write (Kleppmann, "How to do
distributed locking", 2016: the fencing token).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb, set_json_dumps

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.encryption.cipher import Cipher, refuse_locked
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_item, sealed_texts, sealed_value, sealed_whole
from openmanus_graph.errors import StaleRunnerError, ThreadBusyError
from openmanus_graph.fault_points import writing
from openmanus_graph.values.storable_json import plain_json, storable_json, storable_text
from openmanus_graph.workspace import is_to_be_made

logger = logging.getLogger(__name__)

KEEPALIVES = {"keepalives": 1, "keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}
"""How a connection finds out, within half a minute, that the other side is gone."""


RETAKE_TRIES = 30
"""How often, every 100 ms, a runner tries to get its own lock back, or that of a process that was killed."""

UNLOCK_S = 1.0
"""How long a server that may have gone is given to take back a lock; psycopg then tries for 10 s to cancel that."""

CHECK_SECONDS = 1.0
"""How often a runner looks whether its lock's connection is still there."""


def _me() -> dict[str, Any]:
    # Not its arguments: they may hold secrets, and this is stored.
    return {"host": socket.gethostname(), "pid": os.getpid(), "program": Path(sys.argv[0]).name[:120]}


def describe_runner(runner: dict[str, Any] | None, since: datetime | None) -> str:
    """The holder of a thread, in words: host, process and since when."""
    who = "another process" if not runner else f"process {runner['pid']} on {runner['host']}"
    return who if since is None else f"{who} since {since.astimezone():%Y-%m-%d %H:%M:%S}"


def _has_ended(runner: Mapping[str, Any] | None) -> bool:
    """Whether a runner was a process of this machine that is there no more."""
    if not runner or runner["host"] != socket.gethostname():
        return False
    try:
        os.kill(runner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another account's
        pass
    return False


_LISTEN = "LISTEN openmanus_graph_answers"
_TAKE: LiteralString = """
INSERT INTO threads (thread_id, graph, title, plan, plan_file, settings, sandbox, workspace,
                     fingerprint, forced, input_type, input, input_after,
                     status, runner_epoch, runner, runner_since, owner, made_workspace, encrypted_with)
VALUES (%(thread_id)s, %(graph)s, %(title)s, %(plan)s, %(plan_file)s, %(settings)s,
        %(sandbox)s, %(workspace)s, %(fingerprint)s, %(forced)s,
        %(input_type)s, %(input)s, newest_checkpoint(%(thread_id)s),
        'running', nextval('runner_epochs'), %(runner)s, clock_timestamp(), %(owner)s, %(made_workspace)s,
        %(encrypted_with)s)
ON CONFLICT (thread_id) DO UPDATE SET
    graph = EXCLUDED.graph,
    title = CASE WHEN EXCLUDED.title = '' THEN threads.title ELSE EXCLUDED.title END,
    plan = coalesce(EXCLUDED.plan, threads.plan),
    plan_file = coalesce(EXCLUDED.plan_file, threads.plan_file),
    settings = EXCLUDED.settings,
    sandbox = EXCLUDED.sandbox,
    workspace = coalesce(EXCLUDED.workspace, threads.workspace),
    made_workspace = CASE WHEN EXCLUDED.workspace IS DISTINCT FROM threads.workspace AND EXCLUDED.workspace IS NOT NULL
                          THEN EXCLUDED.made_workspace ELSE threads.made_workspace END,
    fingerprint = coalesce(EXCLUDED.fingerprint, threads.fingerprint),
    forced = threads.forced || EXCLUDED.forced,
    input_type = coalesce(EXCLUDED.input_type, threads.input_type),
    input = coalesce(EXCLUDED.input, threads.input),
    input_after = CASE WHEN EXCLUDED.input IS NULL THEN threads.input_after ELSE EXCLUDED.input_after END,
    status = 'running', error = NULL, finished_at = NULL, questions = '[]',
    updated_at = clock_timestamp(),
    owner = CASE WHEN threads.owner = '' THEN EXCLUDED.owner ELSE threads.owner END,
    runner_epoch = EXCLUDED.runner_epoch,
    runner = EXCLUDED.runner, runner_since = EXCLUDED.runner_since,
    request_started_at = CASE WHEN %(new_request)s THEN EXCLUDED.request_started_at
                              ELSE threads.request_started_at END,
    active_s = CASE WHEN %(new_request)s THEN 0 ELSE threads.active_s END,
    allowed_sites = CASE WHEN %(new_request)s THEN '[]' ELSE threads.allowed_sites END,
    encrypted_with = CASE WHEN EXCLUDED.encrypted_with <@ threads.encrypted_with THEN threads.encrypted_with
                          ELSE threads.encrypted_with || EXCLUDED.encrypted_with END
WHERE threads.encrypted_with <@ %(keys)s::text[]
RETURNING runner_epoch, owner
"""
"""Makes the thread's row, or takes it over from an earlier runner, if every key that it was encrypted with is there."""


def _row_values(thread_id: str, row: Mapping[str, Any], cipher: Cipher | None) -> dict[str, Any]:
    """The values of a thread's row, as `_TAKE` takes them."""
    given = row.get("input") or (None, None)
    title: Any = storable_text(row.get("title") or "")
    file, plan = row.get("plan_file"), row.get("plan")
    file = None if file is None else storable_text(file)
    settings: Any = row.get("settings") or {}
    graph, fingerprint = row["graph"], row.get("fingerprint")
    forced: Any = row.get("forced") or []
    if cipher is not None:
        graph, forced = sealed_item(cipher, graph), sealed_texts(cipher, forced)
        fingerprint = None if fingerprint is None else sealed_item(cipher, fingerprint)
        title, file = sealed_value(cipher, title), sealed_value(cipher, file)
        settings, plan = sealed_texts(cipher, settings), sealed_whole(cipher, plan)
    return {
        "thread_id": thread_id,
        "graph": Jsonb(graph),
        "title": title,
        "plan": _json(plan),
        "plan_file": file,
        "settings": Jsonb(settings),
        "encrypted_with": [] if cipher is None else [cipher.id],
        "keys": [] if cipher is None else list(cipher.ids),
        "sandbox": row.get("sandbox") or "auto",
        "workspace": row.get("workspace"),
        "made_workspace": is_to_be_made(row.get("workspace"), thread_id),
        "fingerprint": _json(fingerprint),
        "forced": Jsonb(forced),
        "input_type": given[0],
        "input": given[1],
        "new_request": bool(row.get("new_request")),
        "runner": Jsonb(_me()),
        "owner": storable_text(row.get("owner") or ""),
    }


class Lease:
    """The right to run one thread, held by a connection of its own as long as that lives."""

    def __init__(
        self,
        conninfo: str,
        thread_id: str,
        connection: AsyncConnection[DictRow],
        epoch: int,
        cipher: Cipher | None = None,
    ) -> None:
        self.thread_id = thread_id
        self._cipher = cipher
        self.epoch = epoch
        self.owner = ""
        """Whose thread it is: who began it, whoever runs it now."""
        self.lost: StaleRunnerError | None = None
        """Why the run must stop, once another runner has taken the thread."""
        self.progress: dict[str, int] | None = None
        """What lists show of the run: `done` and `total` subtasks; written every `CHECK_SECONDS` when it changed."""
        self.active: Callable[[], float] | None = None
        """Seconds that the request has been running, for its budget of time; written every `CHECK_SECONDS`."""
        self.unwritten: set[str] = set()
        """Namespaces of the thread in which nothing is stored: this runner knows, and nobody else can change it."""
        self.harmless: dict[str, int] = {}
        """Up to which step of a namespace's graph nothing is lost if the next step begins before it is committed."""
        self._noted: dict[str, int] | None = None
        self._conninfo = conninfo
        self._connection = connection
        self._backend = connection.info.backend_pid
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def acquire(
        cls,
        conninfo: str,
        thread_id: str,
        row: dict[str, Any],
        check: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
        *,
        cipher: Cipher | None = None,
    ) -> Lease:
        """Take the thread, creating its row if there is none.

        Args:
            conninfo: Where the database is.
            thread_id: The thread to take.
            row: Values of the thread's row for a new thread, and of its changing columns for an old one;
                `new_request` says whether budgets count from here, `input` is the input as the saver's serializer
                gives it, until a checkpoint has it.
            check: Called once nobody else can have the thread and before anything is written; it gives more columns
                (`fingerprint`, `forced`), or raises to leave the thread as it is.
            cipher: Seals what of the row people or models wrote.

        Raises:
            ThreadBusyError: If another runner holds it; the message says who and since when.
            EncryptionKeyError: If it was encrypted with a key that the cipher has not.
        """
        connection = await _connect(conninfo, thread_id, cipher)
        try:
            await _lock(connection, thread_id)
            if check is not None:
                row = {**row, **await check()}
            with writing("lease"):
                async with connection.transaction():
                    # Waits for writes of an earlier runner that are in flight; later ones see the new epoch and fail.
                    await connection.execute("SELECT pg_advisory_xact_lock(fence_key(%s))", (thread_id,))
                    values = _row_values(thread_id, row, cipher)
                    taken = await (await connection.execute(_TAKE, values)).fetchone()
            if taken is None:
                await _refuse_locked(connection, thread_id, values["keys"])
                raise stale_runner(thread_id)  # its row is another by now, though the lock is ours
            epoch = int(taken["runner_epoch"])
        except BaseException:
            await connection.close()
            raise
        lease = cls(conninfo, thread_id, connection, epoch, cipher)
        lease.owner = str(taken["owner"])
        lease.log("The lease is taken.")
        return lease

    def log(self, text: str, **fields: Any) -> None:
        """Log a transition of the run for operators, with `thread_id` and `epoch` as extra fields."""
        logger.info(text, extra={"thread_id": self.thread_id, "epoch": self.epoch, **fields})

    async def watch(self, on_answer: Callable[[], None] | None, on_loss: Callable[[], None]) -> None:
        """Start to look after the lock's connection, and to listen for answers given by other processes.

        Those that are stored before it returns are the caller's to look for.

        Args:
            on_answer: Called when an answer for this thread was stored, or `None`.
            on_loss: Called once if another runner took the thread; `lost` says why.
        """
        with contextlib.suppress(psycopg.Error, OSError):  # it is tried again
            await self._connection.execute(_LISTEN)
        self._watch = asyncio.create_task(self._keep(on_answer, on_loss), name=f"lease {self.thread_id}")

    async def _keep(self, on_answer: Callable[[], None] | None, on_loss: Callable[[], None]) -> None:
        was_lost = False
        while True:
            try:
                if was_lost:
                    await self._listen_again(on_answer)
                await self._hear(on_answer)
            except (psycopg.Error, OSError):
                was_lost = True
                try:
                    await self._retake()
                except StaleRunnerError as error:
                    self.lost = error
                    self.log("The lease is lost to another runner.")
                    on_loss()
                    return
                except (psycopg.Error, OSError):  # the server is away; writes say so, the lock is retried
                    await asyncio.sleep(0.2)

    async def _listen_again(self, on_answer: Callable[[], None] | None) -> None:
        await self._connection.execute(_LISTEN)
        waiting = await self._connection.execute(
            "SELECT 1 FROM answers WHERE thread_id = %s LIMIT 1", (self.thread_id,)
        )
        if on_answer is not None and await waiting.fetchone() is not None:
            on_answer()  # it came while nobody listened

    async def _hear(self, on_answer: Callable[[], None] | None) -> None:
        while True:
            async for notice in self._connection.notifies(timeout=CHECK_SECONDS):
                if notice.payload == self.thread_id and on_answer is not None:
                    on_answer()
            await self._note()

    async def _note(self) -> None:
        """Store progress and active time; without changes, too, to see whether the server is there."""
        noted = self.progress
        changed = noted != self._noted
        with writing("progress"):
            await self._connection.execute(
                "UPDATE threads SET active_s = coalesce(%(active)s, active_s),"
                " progress = coalesce(%(progress)s, progress),"
                " updated_at = CASE WHEN %(changed)s THEN clock_timestamp() ELSE updated_at END"
                " WHERE thread_id = %(thread_id)s AND runner_epoch = %(epoch)s",
                {
                    "active": self._active_s(),
                    "progress": _json(noted) if changed else None,
                    "changed": changed,
                    "thread_id": self.thread_id,
                    "epoch": self.epoch,
                },
            )
        self._noted = noted

    def _active_s(self) -> float | None:
        return None if self.active is None else self.active()

    async def _retake(self) -> None:
        """Take the lock again on a new connection, if nobody has run the thread in between."""
        old_backend = self._connection.info.backend_pid if not self._connection.closed else self._backend
        await self._connection.close()
        self._connection = await _connect(self._conninfo, self.thread_id, self._cipher)
        self._backend = self._connection.info.backend_pid
        for _ in range(RETAKE_TRIES):
            row = await (
                await self._connection.execute(
                    "SELECT runner_epoch FROM threads WHERE thread_id = %s", (self.thread_id,)
                )
            ).fetchone()
            if row is None or int(row["runner_epoch"]) != self.epoch:
                break
            if await _try_lock(self._connection, self.thread_id):
                self.log("The lease is retaken on a new connection.")
                return
            # Where only our side of the old connection broke, its own back end still holds the lock.
            await self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid = %s AND usename = current_user AND datname = current_database()"
                " AND application_name = %s",
                (old_backend, _application(self.thread_id)),
            )
            await asyncio.sleep(0.1)
        raise stale_runner(self.thread_id)

    async def release(self, **columns: Any) -> None:
        """Record how the run ended and let the thread go; a lost lease records nothing.

        Args:
            columns: `status`, and where they apply `questions` and `error`.
        """
        await self._unwatch()
        try:
            if self.lost is None:
                if self._connection.closed:
                    await self._retake()
                await self.update(**columns)
                self.log("The lease is released.", status=columns["status"])
                await self._unlock()
        finally:
            await self._connection.close()

    async def abandon(self) -> None:
        """Let the thread go without a record of how the run ended, where none can be written."""
        await self._unwatch()
        self.log("The lease is abandoned; the end of the run is not recorded.")
        await self._unlock()
        await self._connection.close()

    async def _unlock(self) -> None:
        """Let go of the lock, which is not left to the end of the connection: the server notices that a moment later,
        and until then whoever looks sees a runner. Should it fail, the connection is broken, and its lock with it.
        """
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(UNLOCK_S):
                await self._connection.execute("SELECT pg_advisory_unlock(runner_key(%s))", (self.thread_id,))

    async def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    async def update(self, **columns: Any) -> None:
        """Set columns of the thread's row, if this runner is still the thread's runner."""
        questions, error = columns.get("questions"), columns.get("error")
        error = None if error is None else storable_text(error)
        if self._cipher is not None:
            questions, error = sealed_value(self._cipher, questions), sealed_value(self._cipher, error)
        with writing("end"):
            await self._connection.execute(
                """
                UPDATE threads SET
                    status = %(status)s,
                    progress = coalesce(%(progress)s, progress),
                    questions = coalesce(%(questions)s, questions),
                    error = %(error)s,
                    active_s = coalesce(%(active)s, active_s),
                    input = CASE WHEN input_after IS NOT DISTINCT FROM newest_checkpoint(thread_id) THEN input END,
                    updated_at = clock_timestamp(),
                    finished_at = CASE WHEN %(status)s IN ('completed', 'failed', 'partial') THEN clock_timestamp() END
                WHERE thread_id = %(thread_id)s AND runner_epoch = %(epoch)s
                """,
                {
                    "thread_id": self.thread_id,
                    "epoch": self.epoch,
                    "status": columns["status"],
                    "progress": _json(self.progress),
                    "questions": _json(questions),
                    "error": error,
                    "active": self._active_s(),
                },
            )


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(value)


async def _refuse_locked(connection: AsyncConnection[DictRow], thread_id: str, keys: Sequence[str]) -> None:
    """Raise for a thread whose key is not there.

    Raises:
        EncryptionKeyError: If one that it is encrypted with is missing.
    """
    query = "SELECT encrypted_with FROM threads WHERE thread_id = %s"
    row = await (await connection.execute(query, (thread_id,))).fetchone()
    refuse_locked(f"The thread {thread_id!r}", row["encrypted_with"] if row else (), keys)


def _application(thread_id: str) -> str:
    return f"openmanus-graph {thread_id}"[:63]


async def _connect(conninfo: str, thread_id: str, cipher: Cipher | None) -> AsyncConnection[DictRow]:
    connection = await AsyncConnection[DictRow].connect(
        make_conninfo(conninfo, **KEEPALIVES),
        autocommit=True,
        prepare_threshold=None,
        row_factory=dict_row,
        connect_timeout=5,
        application_name=_application(thread_id),
    )
    set_json_dumps(plain_json if cipher is None else storable_json, connection)
    await connection.execute("SET search_path TO openmanus_graph")
    return connection


async def _try_lock(connection: AsyncConnection[DictRow], thread_id: str) -> bool:
    row = await (
        await connection.execute("SELECT pg_try_advisory_lock(runner_key(%s)) AS held", (thread_id,))
    ).fetchone()
    return row is not None and bool(row["held"])


async def _lock(connection: AsyncConnection[DictRow], thread_id: str) -> None:
    """Take the lock; one whose holder was killed a moment ago is waited for until the server has noticed it."""
    row: DictRow | None = None
    for _ in range(RETAKE_TRIES):
        if await _try_lock(connection, thread_id):
            return
        row = await (
            await connection.execute("SELECT runner, runner_since FROM threads WHERE thread_id = %s", (thread_id,))
        ).fetchone()
        if row is None or not _has_ended(row["runner"]):
            break
        await asyncio.sleep(0.1)
    who = describe_runner(row["runner"], row["runner_since"]) if row else "another process"
    raise ThreadBusyError(
        f"The thread {thread_id!r} is already running: {who} holds it.",
        hint=f"Wait for it or stop that process, then: {shell_commands.resume(thread_id)}",
    )


def stale_runner(thread_id: str) -> StaleRunnerError:
    """The error of a runner whose thread was taken by another one."""
    return StaleRunnerError(
        f"Another runner has taken the thread {thread_id!r}, so this one stopped; nothing it wrote since is kept.",
        hint=f"See who runs it with: {shell_commands.show_thread(thread_id)}",
    )

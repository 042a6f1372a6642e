"""Threads: the list of threads, their statuses, the answers given to them, and their removal."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from psycopg import sql
from psycopg.types.json import Jsonb

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.encryption.cipher import LOCKED, lenient, named_damage, refuse_locked
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_whole
from openmanus_graph.checkpoints.lease import describe_runner
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_id import storable_thread
from openmanus_graph.checkpoints.thread_tables import remove_rows, try_alone
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import DamagedValueError, ThreadBusyError, UnknownThreadError
from openmanus_graph.fault_points import writing
from openmanus_graph.questions import Answer, Question
from openmanus_graph.state import ThreadStatus
from openmanus_graph.tools.browser.saved_state import remove_states


@dataclass(frozen=True)
class Thread:
    """One thread, as its row says, its status corrected by whether its runner lives."""

    thread_id: str
    graph: dict[str, Any]
    """How to build the graph again."""
    title: str
    """What it is for, in a line."""
    plan: dict[str, Any] | None
    """The plan as last given."""
    plan_file: str | None
    """The file the plan came from."""
    settings: dict[str, Any]
    """Settings that matter, such as `max_parallel`."""
    sandbox: str
    """The confinement it runs with."""
    workspace: str | None
    """Its folder."""
    status: ThreadStatus
    """What it is now."""
    progress: dict[str, int]
    """`done` and `total` subtasks, as last noted by its runner."""
    questions: list[Question]
    """What it waits for."""
    error: str | None
    """What ended it, if it did not end by itself."""
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    runner: dict[str, Any] | None
    """Who runs it, or ran it last: host, pid and command."""
    runner_since: datetime | None
    origin: dict[str, Any] | None = None
    """Where it was forked from: `thread`, and the point's `checkpoint`, `namespace` and `number` there."""
    owner: str = ""
    """Whose it is: who began it; empty for those from before there were owners."""
    made_workspace: bool = False
    """Whether its folder was not there before it began."""
    encrypted_with: Sequence[str] = ()
    """The keys that it was encrypted with, by name; empty: none was set."""
    allowed_sites: Sequence[str] = ()
    """Where a person lets its newest request's calls be made without being asked again."""
    locked: bool = False
    """Whether one of them is not set, so that its texts cannot be shown."""

    @property
    def finished(self) -> bool:
        """Whether it ran to its end."""
        return self.status in ("completed", "failed", "partial")

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in vars(self).items()}


_COLUMNS = sql.SQL(
    "thread_id, graph, title, plan, plan_file, settings, sandbox, workspace, progress, questions, error,"
    " created_at, updated_at, finished_at, runner, runner_since, origin, owner, made_workspace,"
    " encrypted_with, allowed_sites,"
    " CASE WHEN status = 'running' AND NOT has_runner(thread_id) THEN 'stopped' ELSE status END AS status"
)


_HIDDEN: Mapping[str, Any] = {
    "graph": {},
    "plan": None,
    "plan_file": None,
    "settings": {},
    "questions": [],
    "allowed_sites": [],
}
"""What stands for columns that cannot be opened, where a text would not be of their kind."""


def _thread(saver: ThreadSaver, row: dict[str, Any], *, locked_too: bool = False) -> Thread:
    """The thread of a row.

    Raises:
        EncryptionKeyError: If its key is not there, unless locked ones are wanted, too.
    """
    known = () if saver.cipher is None else saver.cipher.ids
    if set(row["encrypted_with"]) <= set(known):
        damaged: dict[str, Any] = {name: without for name, without in _HIDDEN.items() if row[name] == LOCKED}
        return Thread(**{**row, **damaged})
    if not locked_too:
        refuse_locked(f"The thread {row['thread_id']!r}", row["encrypted_with"], known)
    error = None if row["error"] is None else LOCKED
    shown: dict[str, Any] = {**row, "title": LOCKED, **_HIDDEN, "error": error, "locked": True}
    return Thread(**shown)


def _on_its_row(thread_id: str) -> AbstractContextManager[None]:
    """Say in errors for damaged values what can still be done with a thread whose row has one."""
    return named_damage(f"It can still be exported, or removed: {shell_commands.delete_thread(thread_id)}")


async def list_threads(saver: ThreadSaver, *, limit: int = 50, status: str | None = None) -> list[Thread]:
    """The newest threads first; of those whose key is not set, the texts are left out.

    Args:
        saver: The store.
        limit: At most so many.
        status: Only those of this status.
    """
    query = sql.SQL(
        "SELECT * FROM (SELECT {columns} FROM threads) AS listed"
        " WHERE %(status)s::text IS NULL OR status = %(status)s ORDER BY updated_at DESC LIMIT %(limit)s"
    ).format(columns=_COLUMNS)
    with lenient("all"):
        async with saver.connection() as connection:
            rows = await (await connection.execute(query, {"status": status, "limit": limit})).fetchall()
    return [_thread(saver, row, locked_too=True) for row in rows]


_COMPLETED = sql.SQL(
    "SELECT {columns} FROM threads WHERE status = 'completed' AND owner IN ('', %s) ORDER BY created_at, thread_id"
)


async def completed_threads(saver: ThreadSaver, owner: str) -> list[Thread]:
    """The completed threads of an owner, and those from before there were owners, the oldest first.

    Args:
        saver: The store.
        owner: Whose they are.

    Raises:
        EncryptionKeyError: If the key of one is not set.
        DamagedValueError: If a text of a row is damaged.
    """
    query = _COMPLETED.format(columns=_COLUMNS)
    async with saver.connection() as connection:
        try:
            with lenient("keys"):
                rows = await (await connection.execute(query, (owner,))).fetchall()
        except DamagedValueError:
            ids = await (await connection.execute(_COMPLETED.format(columns=sql.SQL("thread_id")), (owner,))).fetchall()
            for row in ids:
                await get_thread(saver, str(row["thread_id"]))  # says which it is
            raise
    return [_thread(saver, row) for row in rows]


async def get_thread(saver: ThreadSaver, thread_id: str, *, locked_too: bool = False) -> Thread | None:
    """The thread of exactly this id, or `None`.

    Args:
        saver: The store.
        thread_id: The id.
        locked_too: Whether one whose key is not set, or whose row is damaged, is given without its texts.

    Raises:
        EncryptionKeyError: If its key is not set, unless `locked_too`.
        DamagedValueError: If a text of its row is damaged, unless `locked_too`.
    """
    query = sql.SQL("SELECT {columns} FROM threads WHERE thread_id = %s").format(columns=_COLUMNS)
    async with saver.connection() as connection:
        with _on_its_row(thread_id), lenient("all" if locked_too else "keys"):
            row = await (await connection.execute(query, (storable_thread(thread_id),))).fetchone()
    return None if row is None else _thread(saver, row, locked_too=locked_too)


async def stored_fingerprint(saver: ThreadSaver, thread_id: str) -> tuple[bool, dict[str, Any] | None]:
    """Whether a thread exists, and the fingerprint of the graph that ran it last; `None` if that is not known."""
    async with saver.connection() as connection:
        with _on_its_row(thread_id):
            query = "SELECT fingerprint FROM threads WHERE thread_id = %s"
            row = await (await connection.execute(query, (thread_id,))).fetchone()
    return row is not None, None if row is None else row["fingerprint"]


async def find_thread(saver: ThreadSaver, name: str | None, *, locked_too: bool = False) -> Thread:
    """The thread of an id, of a unique beginning of an id, or the last one.

    Args:
        saver: The store.
        name: The id or its beginning; `None` means the thread that was touched last.
        locked_too: Whether one whose key is not set, or whose row is damaged, is given without its texts.

    Raises:
        UnknownThreadError: If there is none, or several; the nearest ids are named.
        EncryptionKeyError: If its key is not set, unless `locked_too`.
        DamagedValueError: If a text of its row is damaged, unless `locked_too`.
    """
    if name is None:
        newest = await list_threads(saver, limit=1)
        if not newest:
            raise UnknownThreadError("There is no thread yet.", hint=f"Start one with: {shell_commands.RUN_PLAN}")
        name = newest[0].thread_id
    if (exact := await get_thread(saver, name, locked_too=locked_too)) is not None:
        return exact
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT thread_id FROM threads ORDER BY updated_at DESC LIMIT 5000")
        ).fetchall()
    ids = [str(row["thread_id"]) for row in rows]
    beginning = [known for known in ids if known.startswith(name)] if name else []
    if len(beginning) == 1:
        return cast("Thread", await get_thread(saver, beginning[0], locked_too=locked_too))
    if beginning:
        raise UnknownThreadError(
            f"{len(beginning)} threads begin with {name!r}: {', '.join(beginning[:5])}.",
            hint="Give more of the id.",
        )
    near = get_close_matches(name, ids, 3, 0.5) or ids[:3]
    nearest = f"The nearest are: {', '.join(near)}." if near else "There are no threads yet."
    raise UnknownThreadError(
        f"There is no thread {name!r}. {nearest}", hint=f"List them: {shell_commands.LIST_THREADS}"
    )


async def delete_thread(
    saver: ThreadSaver,
    thread: Thread,
    *,
    files: bool = False,
    unless_changed: bool = False,
    settings: Settings | None = None,
) -> bool:
    """Remove a thread from every table, what its browsers kept, and its workspace if asked.

    Args:
        saver: The store.
        thread: The thread.
        files: Whether its workspace goes, too.
        unless_changed: Whether it stays if it has gone on since it was read.
        settings: What its graph was built with, if its data folder is not that of the store's settings.

    Returns:
        Whether it went.

    Raises:
        ThreadBusyError: If somebody runs it.
    """
    async with saver.connection() as connection, connection.transaction():
        if not await try_alone(connection, thread.thread_id):
            raise ThreadBusyError(
                f"The thread {thread.thread_id!r} is running: "
                f"{describe_runner(thread.runner, thread.runner_since)} holds it.",
                hint="Stop that process first.",
            )
        if unless_changed:
            query = "SELECT updated_at FROM threads WHERE thread_id = %s"
            row = await (await connection.execute(query, (thread.thread_id,))).fetchone()
            if row is not None and row["updated_at"] != thread.updated_at:
                return False
        await remove_rows(connection, [thread.thread_id])
    homes = (saver.home, *(() if settings is None else (settings.home,)))
    await asyncio.to_thread(remove_states, thread.thread_id, *homes)
    if files and thread.workspace:
        with suppress(FileNotFoundError):
            shutil.rmtree(Path(thread.workspace))
    return True


async def store_answers(saver: ThreadSaver, thread_id: str, answers: dict[str, Answer]) -> None:
    """Leave answers for the runner that holds the thread, and wake it."""
    with writing("answers"):
        async with saver.connection() as connection, connection.transaction():
            cipher = saver.cipher
            if cipher is not None:  # a runner without a key, whose thread is plain, could not read it
                query = "SELECT 1 FROM threads WHERE thread_id = %s AND encrypted_with = '{}'"
                plain = await (await connection.execute(query, (thread_id,))).fetchone()
                cipher = cipher if plain is None else None
            for interrupt_id, answer in answers.items():
                await connection.execute(
                    "INSERT INTO answers (thread_id, interrupt_id, value) VALUES (%s, %s, %s)"
                    " ON CONFLICT (thread_id, interrupt_id) DO UPDATE SET value = EXCLUDED.value",
                    (thread_id, interrupt_id, Jsonb(answer if cipher is None else sealed_whole(cipher, answer))),
                )
            await connection.execute("SELECT pg_notify('openmanus_graph_answers', %s)", (thread_id,))


async def waiting_answers(saver: ThreadSaver, thread_id: str) -> dict[str, Answer]:
    """The answers left for a thread, by interrupt id; they stay until they are forgotten."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT interrupt_id, value FROM answers WHERE thread_id = %s", (thread_id,))
        ).fetchall()
    return {str(row["interrupt_id"]): cast("Answer", row["value"]) for row in rows}


async def forget_answers(saver: ThreadSaver, thread_id: str, interrupt_ids: Collection[str]) -> None:
    """Remove answers that the thread has taken up, or whose question is closed."""
    with writing("forgotten answers"):
        async with saver.connection() as connection:
            await connection.execute(
                "DELETE FROM answers WHERE thread_id = %s AND interrupt_id = ANY(%s)", (thread_id, list(interrupt_ids))
            )

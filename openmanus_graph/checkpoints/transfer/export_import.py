"""Export and import: a thread as one file and back, in any database of this program's version or newer.

Export takes a thread that nobody runs, so that its rows and its files belong together. Import is one transaction:
what the file holds is checked before it is taken over, and if anything is wrong, nothing is.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from openmanus_graph import shell_commands
from openmanus_graph._version import __version__
from openmanus_graph.checkpoints.encryption.cipher import SUFFIX, Cipher
from openmanus_graph.checkpoints.migrations import schema_versions
from openmanus_graph.checkpoints.reencryption import encrypt_arrived
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_tables import (
    CHECKPOINT_TABLES,
    THREAD_TABLES,
    THREADS,
    columns_of,
    numbered,
    try_alone,
)
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.checkpoints.transfer.archive import ArchiveRecord, ArchiveWriter, new_archive, open_archive
from openmanus_graph.checkpoints.transfer.arrived_contents import TAKE_CONTENTS, check_contents
from openmanus_graph.checkpoints.transfer.relocation import take_over
from openmanus_graph.checkpoints.transfer.workspace_files import Staging, parts_of, stays_inside, write_workspace
from openmanus_graph.errors import ArchiveError, DamagedValueError, MigrationNeededError, ThreadBusyError, UsageError
from openmanus_graph.values.storable_json import SEAL, path_of

CONTENTS = "file_contents"
"""The table with contents of files, which threads share."""
_ID = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TYPES = ("msgpack", "null", "empty", "bytes", "bytearray")
"""How this program writes values; others could name code to run when they are read."""


@dataclass(frozen=True)
class Moved:
    """The thread that was written into an archive or read from one, and the number of its rows and files."""

    thread_id: str
    """The thread, by its id in this database."""
    rows: int
    """Rows of all tables."""
    files: int
    """Files of the workspace."""
    workspace: str | None
    """The workspace here; `None` if the thread has none."""
    left_out: tuple[str, ...] = ()
    """What of the workspace is not in the archive, and why."""


async def export_thread(saver: ThreadSaver, thread: Thread, path: Path) -> Moved:
    """Write a thread with all its rows and files into one file.

    Args:
        saver: The store.
        thread: The thread; nobody may run it meanwhile.
        path: The file, which must not exist.

    Raises:
        ThreadBusyError: If somebody runs the thread: its files would be of another moment than its rows.
        UsageError: If the file exists.
    """
    name = thread.thread_id
    with new_archive(path) as archive:
        async with saver.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if not await try_alone(connection, name, shared=True):
                raise ThreadBusyError(
                    f"The thread {name!r} is running, and its files would be of another moment than its steps.",
                    hint=f"Stop it first (Ctrl-C pauses it), then go on here or there: threads show {name}",
                )
            about = {
                "kind": "thread",
                "thread": name,
                "workspace": thread.workspace,
                "sandbox": thread.sandbox,
                "program": __version__,
                "schema": list(await schema_versions(connection)),
            }
            archive.record(about)
            rows = 0
            for table in THREAD_TABLES:
                rows += await _write_table(connection, archive, table, name)
            rows += await _write_contents(connection, archive, name)
            folder = Path(thread.workspace) if thread.workspace else None
            files, left_out = 0, list[str]()
            if folder is not None and folder.is_dir():
                files, left_out = await asyncio.to_thread(write_workspace, archive, folder)
        archive.record({"kind": "end"})
    return Moved(name, rows, files, thread.workspace, tuple(left_out))


async def _write_table(connection: AsyncConnection[DictRow], archive: ArchiveWriter, table: str, thread_id: str) -> int:
    columns = [column for column in await columns_of(connection, table) if column != "thread_id"]
    number = await numbered(connection, table)
    query = sql.SQL("SELECT {} FROM {} WHERE thread_id = {}{}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.Identifier(table),
        sql.Literal(thread_id),
        sql.SQL("") if number is None else sql.SQL(" ORDER BY {}").format(sql.Identifier(number)),
    )
    return await _copy_out(connection, archive, table, columns, query)


async def _write_contents(connection: AsyncConnection[DictRow], archive: ArchiveWriter, thread_id: str) -> int:
    query = sql.SQL(
        "SELECT digest, content FROM file_contents WHERE digest IN (SELECT before FROM file_changes"
        " WHERE thread_id = {0} UNION SELECT after FROM file_changes WHERE thread_id = {0})"
    ).format(sql.Literal(thread_id))
    return await _copy_out(connection, archive, CONTENTS, ["digest", "content"], query)


async def _copy_out(
    connection: AsyncConnection[DictRow],
    archive: ArchiveWriter,
    table: str,
    columns: Sequence[str],
    query: sql.Composed,
) -> int:
    archive.begin({"kind": "table", "table": table, "columns": list(columns)})
    async with connection.cursor() as cursor:
        async with cursor.copy(sql.SQL("COPY ({}) TO STDOUT").format(query)) as copy:
            async for piece in copy:
                archive.piece(bytes(piece))
        rows = cursor.rowcount
    archive.end()
    return rows


async def import_thread(
    saver: ThreadSaver, path: Path, *, new_id: str | None = None, workspace: str | Path | None = None
) -> Moved:
    """Make a thread of an archive; it goes on where it was.

    Resuming it runs its plan and its tools, and loads the graph and tools it names: import only what you would run.

    Args:
        saver: The store.
        path: The archive.
        new_id: The thread's id here; by default the one it had.
        workspace: Its folder here, which must not exist or be empty; by default `openmanus-work/<thread>` in the
            current folder.

    Raises:
        ArchiveError: If the archive is damaged, or holds what it must not; nothing is written then.
        UsageError: If there is a thread of that id, or the folder is not empty.
        MigrationNeededError: If it comes from a newer database.
        EncryptionKeyError: If it is encrypted with a key that is not set.
    """
    with open_archive(path) as records:
        about = _about(next(records, None))
        name = new_id if new_id is not None else str(about["thread"])
        if not _ID.fullmatch(name) or not name.strip():
            raise UsageError(f"A thread cannot have the id {name!r}.", hint="Choose another one with: --as NEW")
        folder = _chosen(workspace, name)
        staging = Staging(folder)
        try:
            async with saver.connection() as connection, connection.transaction():
                await _refuse_newer(connection, about)
                await _claim(connection, name)
                rows = 0
                for record in records:
                    if record.fields.get("kind") == "table":
                        rows += await _read_table(connection, record, name, about, saver.cipher)
                    else:
                        await asyncio.to_thread(staging.add, record)
                home = str(folder) if about.get("workspace") else None
                await take_over(connection, name, about, home, saver.cipher)
                if saver.cipher is not None:
                    await encrypt_arrived(connection, saver.cipher, name)
                if about.get("workspace"):
                    await asyncio.to_thread(staging.finish)
        except BaseException as error:
            staging.undo()
            if isinstance(error, (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError)):
                first = str(error).strip().split("\n", maxsplit=1)[0]
                raise ArchiveError(
                    f"The archive {str(path)!r} has rows that do not fit: {first}.", hint="Nothing was imported."
                ) from error
            if isinstance(error, DamagedValueError):
                raise ArchiveError(
                    f"The archive {str(path)!r} cannot be taken over. {error.message}", hint="Nothing was imported."
                ) from error
            raise
    made = cast("Thread", await get_thread(saver, name))
    return Moved(name, rows, staging.files, made.workspace)


def _chosen(workspace: str | Path | None, thread_id: str) -> Path:
    from openmanus_graph.workspace import default_workspace

    return default_workspace(thread_id) if workspace is None else Path(workspace).expanduser().absolute()


def _about(record: ArchiveRecord | None) -> dict[str, Any]:
    fields: Mapping[str, Any] = {} if record is None else record.fields
    schema = fields.get("schema")
    if (
        fields.get("kind") != "thread"
        or not isinstance(fields.get("thread"), str)
        or not isinstance(fields.get("workspace"), str | None)
        or not isinstance(schema, list)
        or [type(number) for number in cast("list[Any]", schema)] != [int, int]
    ):
        raise ArchiveError("The archive does not begin with what it is.", hint="Nothing was imported.")
    return dict(fields)


async def _refuse_newer(connection: AsyncConnection[DictRow], about: Mapping[str, Any]) -> None:
    ours, saver = await schema_versions(connection)
    if about["schema"][0] > ours or about["schema"][1] > saver:
        theirs = ".".join(map(str, about["schema"]))
        raise MigrationNeededError(
            f"The archive comes from a database of version {theirs}, newer than this one's {ours}.{saver}.",
            hint=f"Upgrade the program here: {shell_commands.UPGRADE}",
        )


async def _claim(connection: AsyncConnection[DictRow], thread_id: str) -> None:
    known = None
    if await try_alone(connection, thread_id):
        query = (
            "SELECT 1 FROM threads WHERE thread_id = %(id)s UNION SELECT 1 FROM checkpoints WHERE thread_id = %(id)s"
        )
        known = await (await connection.execute(query, {"id": thread_id})).fetchone()
        if known is None:
            return
    raise UsageError(f"There is already a thread {thread_id!r}.", hint="Give the new one another id with: --as NEW")


async def _read_table(
    connection: AsyncConnection[DictRow],
    record: ArchiveRecord,
    thread_id: str,
    about: Mapping[str, Any],
    cipher: Cipher | None,
) -> int:
    """Take over the rows of a table, all of them under the thread's id here."""
    table, columns = record.fields.get("table"), record.fields.get("columns")
    shared = table == CONTENTS
    allowed = {"digest", "content"} if shared else set[str]()
    if isinstance(table, str) and table in THREAD_TABLES:
        allowed = set(await columns_of(connection, table)) - {"thread_id"}
    if not isinstance(columns, list) or not columns or not set(map(str, cast("list[Any]", columns))) <= allowed:
        raise ArchiveError(
            f"The archive names columns {columns!r} of a table {table!r} that a thread does not have.",
            hint="Nothing was imported.",
        )
    names = sql.SQL(", ").join(sql.Identifier(str(column)) for column in cast("list[Any]", columns))
    into = sql.Identifier(str(table))
    await connection.execute(
        sql.SQL("CREATE TEMP TABLE arriving ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(names, into)
    )
    async with connection.cursor() as cursor:
        async with cursor.copy(sql.SQL("COPY arriving ({}) FROM STDIN").format(names)) as copy:
            for piece in record.pieces():
                await copy.write(piece)
        rows = cursor.rowcount
    await _check(connection, str(table), rows)
    if shared:
        await check_contents(connection, thread_id, str(about["thread"]), cipher)
        query = sql.SQL(TAKE_CONTENTS)
    else:
        query = sql.SQL("INSERT INTO {} (thread_id, {}) SELECT {}, {} FROM arriving ORDER BY ctid").format(
            into, names, sql.Literal(thread_id), names
        )
    await connection.execute(query)
    await connection.execute("DROP TABLE arriving")
    return rows


async def _check(connection: AsyncConnection[DictRow], table: str, rows: int) -> None:
    """Refuse rows that would do more than hold data."""
    problem = None
    if table == THREADS and rows != 1:
        problem = f"{rows} threads instead of one"
    elif table in CHECKPOINT_TABLES[1:]:
        query = "SELECT type FROM arriving WHERE NOT coalesce(type, 'null') = ANY(%s) LIMIT 1"
        row = await (await connection.execute(query, ([*_TYPES, *(kind + SUFFIX for kind in _TYPES)],))).fetchone()
        if row is not None:
            problem = f"values written as {row['type']!r}"
    elif table == "file_changes":
        problem = await _check_changes(connection)
    if problem is not None:
        raise ArchiveError(f"The archive has {problem}.", hint="Nothing was imported.")


async def _check_changes(connection: AsyncConnection[DictRow]) -> str | None:
    """The fault in recorded file changes, which a fork of the thread would make again; `None` if there is none."""
    await connection.execute("UPDATE arriving SET mode = mode & 511 WHERE mode <> mode & 511")  # 0o777
    rows = await (await connection.execute("SELECT DISTINCT path, link FROM arriving")).fetchall()
    for row in rows:
        if row["path"].startswith(SEAL) or (row["link"] or "").startswith(SEAL):  # none is stored so: `storable_path`
            return f"a change of a file {row['path']!r} that would be taken for an encrypted one"
        path = path_of(row["path"])
        if path != "." and parts_of(path) is None:
            return f"a change of a file {path!r}"
        if row["link"] is not None and not stays_inside(path, path_of(row["link"])):
            query = "UPDATE arriving SET link = NULL, left_out = 'a link that leads out' WHERE path = %s AND link = %s"
            await connection.execute(query, (row["path"], row["link"]))
    return None

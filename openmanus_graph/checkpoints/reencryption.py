"""Re-encryption: seals what is stored plain or under an older key with the first one, thread by thread.

Each thread is one transaction, which its runner is kept off; so a run of it that is killed has done some threads whole,
and the next one does the others. What is sealed with the first key already stays as it is, and so does what cannot be
opened: it is left, with the rest of its thread, and named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from psycopg import AsyncConnection, AsyncServerCursor, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb, set_json_loads
from psycopg.types.string import TextBinaryLoader, TextLoader

from openmanus_graph.checkpoints.encryption.cipher import ONLY_A_BACKUP, SUFFIX, Cipher, is_sealed_file, refuse_locked
from openmanus_graph.checkpoints.encryption.sealed_rows import (
    Sealer,
    sealed_checkpoint,
    sealed_event,
    sealed_item,
    sealed_metadata,
    sealed_texts,
    sealed_value,
    sealed_whole,
)
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_tables import THREADS, try_alone
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError

Shape = Callable[[Sealer, Any], Any]

TEXTS: Mapping[str, Mapping[str, Shape]] = {
    THREADS: {"title": sealed_value, "plan_file": sealed_value, "error": sealed_value},
    "effects": {"args": sealed_value, "error": sealed_value, "result": sealed_value, "result_file": sealed_value},
    "ratings": {"why": sealed_value},
}
"""Columns of text, by table."""
JSON: Mapping[str, Mapping[str, Shape]] = {
    THREADS: {
        "graph": sealed_item,
        "plan": sealed_whole,
        "settings": sealed_texts,
        "questions": sealed_value,
        "fingerprint": sealed_item,
        "forced": sealed_texts,
        "allowed_sites": sealed_value,
    },
    "checkpoints": {"checkpoint": sealed_checkpoint, "metadata": sealed_metadata},
    "answers": {"value": sealed_whole},
    "events": {"event": sealed_event},
    "tool_results": {"output": sealed_whole},
    "searches": {"found": sealed_whole},
    "store": {"value": sealed_item},
}
"""Columns of JSON, by table."""
BYTES: Mapping[str, tuple[str, str]] = {
    THREADS: ("input_type", "input"),
    "checkpoint_blobs": ("type", "blob"),
    "checkpoint_writes": ("type", "blob"),
}
"""By table, the column that says how a value is stored, and that of its bytes."""
OF_THREADS = (
    THREADS,
    "checkpoints",
    "checkpoint_blobs",
    "checkpoint_writes",
    "answers",
    "events",
    "ratings",
    "effects",
    "searches",
)
"""Tables with sealed columns and rows of threads."""
_OBJECTS = (sealed_item, sealed_checkpoint, sealed_metadata, sealed_event)
"""Shapes that take objects only."""
_PLAIN_KINDS = ("null", "empty")
"""Kinds of values without bytes."""
_UNOPENED = (EncryptionKeyError, DamagedValueError)
"""Why something cannot be opened."""
BATCH = 200
"""Rows that are read at a time."""
CONTENTS = 10
"""Contents of files that are read at a time."""


class _Noticing:
    """Stands in for a cipher, and notices whether anything is not sealed with its first key yet."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher
        self.stale = False

    def text(self, value: str) -> str:
        self.stale = self.stale or not self._cipher.is_current(value)
        return value

    def json(self, value: Any) -> str:
        return self.text(value)


@dataclass
class Encrypted:
    """What a re-encryption has done."""

    threads: int = 0
    """Threads that were looked through."""
    rows: int = 0
    """Rows of threads, kept results, contents of files and items that were sealed anew."""
    running: int = 0
    """Threads that were left out, since somebody runs them."""
    left: list[str] = field(default_factory=list[str])
    """What could not be opened and is as it was, with the reason: threads, items of the store, contents of files."""
    removed: int = 0
    """Kept results that could not be opened: they are a cache, and are got anew."""


async def encrypt_all(saver: ThreadSaver) -> Encrypted:
    """Seal all that threads store, and what is kept beside them, with the first key.

    Args:
        saver: The store, which has a cipher.

    Returns:
        What was done, and what could not be.
    """
    cipher = cast("Cipher", saver.cipher)
    done = Encrypted()
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT thread_id FROM threads UNION SELECT thread_id FROM checkpoints ORDER BY 1")
        ).fetchall()
        for row in rows:
            await _encrypt_thread(connection, cipher, str(row["thread_id"]), done)
        for table, leave in (("tool_results", _remove_results), ("store", _name_items)):
            there = await (await connection.execute("SELECT to_regclass(%s) AS there", (table,))).fetchone()
            if there is not None and there["there"] is not None:
                unopened: dict[str, str] = {}
                async with connection.transaction():
                    done.rows += await _encrypt_table(connection, cipher, table, sql.SQL("true"), unopened)
                    await leave(connection, unopened, done)
        rows = await (await connection.execute("SELECT digest FROM file_contents ORDER BY digest")).fetchall()
        unopened = {}
        done.rows += await _encrypt_contents(connection, cipher, [str(row["digest"]) for row in rows], unopened)
        done.left += [f"The content of files {digest[:12]!r}: {why}" for digest, why in unopened.items()]
    return done


async def _encrypt_thread(
    connection: AsyncConnection[DictRow], cipher: Cipher, thread_id: str, done: Encrypted
) -> None:
    """Seal a thread in a transaction of its own, or leave it as it is."""
    try:
        async with connection.transaction():
            if await try_alone(connection, thread_id):
                done.rows += await encrypt_rows(connection, cipher, thread_id)
                done.threads += 1
            else:
                done.running += 1
    except _UNOPENED as error:
        whose = f"The thread {thread_id!r}"
        done.left.append(error.message if error.message.startswith(whose) else f"{whose}: {error.message}")


async def _remove_results(connection: AsyncConnection[DictRow], unopened: Mapping[str, str], done: Encrypted) -> None:
    removed = await connection.execute("DELETE FROM tool_results WHERE ctid = ANY(%s::tid[])", (list(unopened),))
    done.removed += removed.rowcount


async def _name_items(connection: AsyncConnection[DictRow], unopened: Mapping[str, str], done: Encrypted) -> None:
    query = "SELECT ctid AS place, prefix, key FROM store WHERE ctid = ANY(%s::tid[]) ORDER BY prefix, key"
    for row in await (await connection.execute(query, (list(unopened),))).fetchall():
        done.left.append(f"The item {row['key']!r} of {row['prefix']!r}: {unopened[row['place']]}")


async def encrypt_arrived(connection: AsyncConnection[DictRow], cipher: Cipher, thread_id: str) -> None:
    """Seal a thread that has just arrived, with the contents of its files.

    Args:
        connection: A connection, in the transaction in which it arrived.
        cipher: Opens what is sealed, and seals.
        thread_id: The thread.

    Raises:
        EncryptionKeyError: If it is encrypted with a key that the cipher has not.
        DamagedValueError: If a value is damaged.
    """
    await encrypt_rows(connection, cipher, thread_id)
    query = (
        "SELECT before AS digest FROM file_changes WHERE thread_id = %(thread)s AND before IS NOT NULL"
        " UNION SELECT after FROM file_changes WHERE thread_id = %(thread)s AND after IS NOT NULL ORDER BY 1"
    )
    rows = await (await connection.execute(query, {"thread": thread_id})).fetchall()
    await _encrypt_contents(connection, cipher, [str(row["digest"]) for row in rows])


async def encrypt_rows(connection: AsyncConnection[DictRow], cipher: Cipher, thread_id: str) -> int:
    """Seal the rows of a thread with the first key.

    Args:
        connection: A connection, in a transaction that keeps runners off the thread.
        cipher: Opens what is sealed, and seals.
        thread_id: The thread.

    Returns:
        How many rows have changed.

    Raises:
        EncryptionKeyError: If it is encrypted with a key that the cipher has not.
        DamagedValueError: If a value is damaged.
    """
    query = "SELECT encrypted_with FROM threads WHERE thread_id = %s"
    row = await (await connection.execute(query, (thread_id,))).fetchone()
    refuse_locked(f"The thread {thread_id!r}", row["encrypted_with"] if row else (), cipher.ids)
    mine = sql.SQL("thread_id = {}").format(sql.Literal(thread_id))
    rows = 0
    for table in OF_THREADS:
        rows += await _encrypt_table(connection, cipher, table, mine)
    await connection.execute(
        "UPDATE threads SET encrypted_with = %(now)s WHERE thread_id = %(thread)s AND encrypted_with <> %(now)s",
        {"now": [cipher.id], "thread": thread_id},
    )
    return rows


async def _encrypt_table(
    connection: AsyncConnection[DictRow],
    cipher: Cipher,
    table: str,
    condition: sql.Composable,
    unopened: dict[str, str] | None = None,
) -> int:
    """Seal some rows of a table anew that are not sealed with the first key; nobody else changes them meanwhile.

    Rows that cannot be opened are put down in `unopened` with the reason; where that is `None`, one is an error.
    """
    columns = [*TEXTS.get(table, {}), *JSON.get(table, {}), *BYTES.get(table, ())]
    query = sql.SQL("SELECT ctid AS place, {} FROM {} WHERE {} FOR UPDATE").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table), condition
    )
    changed = 0
    async with connection.cursor("encrypted") as cursor:
        _leave_sealed(cursor)
        await cursor.execute(query)
        while rows := await cursor.fetchmany(BATCH):
            for row in rows:
                try:
                    sealed = _sealed_columns(cipher, table, row)
                except _UNOPENED as error:
                    if unopened is None:
                        raise
                    unopened[str(row["place"])] = error.message
                    continue
                if sealed:
                    sets = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in sealed]
                    update = sql.SQL("UPDATE {} SET {} WHERE ctid = %(place)s::tid").format(
                        sql.Identifier(table), sql.SQL(", ").join(sets)
                    )
                    await connection.execute(update, {**sealed, "place": row["place"]})
                    changed += 1
    return changed


def _leave_sealed(cursor: AsyncServerCursor[DictRow]) -> None:
    """Read rows as they are stored, to see what is sealed and with which key."""
    cursor.adapters.register_loader("text", TextLoader)
    cursor.adapters.register_loader("text", TextBinaryLoader)
    set_json_loads(json.loads, cursor)


def _sealed_columns(cipher: Cipher, table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row that are not sealed with the first key, sealed."""
    changed: dict[str, Any] = {}
    for shapes, made in ((TEXTS, _same), (JSON, Jsonb)):
        for name, shape in shapes.get(table, {}).items():
            noticing = _Noticing(cipher)
            if row[name] is None:
                continue
            _refuse_malformed(table, name, shape, row[name])
            if not _is_stale(noticing, shape, row[name]):
                continue
            changed[name] = made(shape(cipher, cipher.opened(row[name])))
    if table in BYTES:
        of_kind, of_bytes = BYTES[table]
        kind, data = row[of_kind], row[of_bytes]
        if kind is not None and data is not None and kind not in _PLAIN_KINDS:
            sealed = kind.endswith(SUFFIX)
            if not sealed or not cipher.is_current_blob(bytes(data)):
                plain = kind.removesuffix(SUFFIX)
                opened = cipher.opened_blob(plain, bytes(data)) if sealed else bytes(data)
                changed |= {of_kind: plain + SUFFIX, of_bytes: cipher.blob(plain, opened)}
    return changed


def _refuse_malformed(table: str, name: str, shape: Shape, value: Any) -> None:
    """Raise if a value is not of the form that its column has.

    Raises:
        DamagedValueError: If it is not.
    """
    fits = isinstance(value, dict) if shape in _OBJECTS else True
    if shape is sealed_checkpoint and fits:
        fits = isinstance(value.get("channel_values"), dict)
    if not fits:
        raise DamagedValueError(
            f"A value in the column {name!r} of {table!r} is not of the form that is stored there: it is damaged.",
            hint=ONLY_A_BACKUP,
        )


def _is_stale(noticing: _Noticing, shape: Shape, value: Any) -> bool:
    shape(noticing, value)
    return noticing.stale


def _same(value: Any) -> Any:
    return value


async def _encrypt_contents(
    connection: AsyncConnection[DictRow],
    cipher: Cipher,
    digests: Sequence[str],
    unopened: dict[str, str] | None = None,
) -> int:
    """Seal contents of files anew that are not sealed with the first key, some at a time: runs may add others.

    Those that cannot be opened are put down in `unopened` with the reason; where that is `None`, one is an error.
    """
    changed = 0
    for start in range(0, len(digests), CONTENTS):
        async with connection.transaction():
            query = "SELECT digest, content FROM file_contents WHERE digest = ANY(%s) ORDER BY digest FOR UPDATE"
            for row in await (await connection.execute(query, (list(digests[start : start + CONTENTS]),))).fetchall():
                digest, content = str(row["digest"]), bytes(row["content"])
                if is_sealed_file(digest, content) and cipher.is_current_file(content):
                    continue
                try:
                    sealed = cipher.file(digest, cipher.opened_file(digest, content))
                except _UNOPENED as error:
                    if unopened is None:
                        raise
                    unopened[digest] = error.message
                    continue
                await connection.execute("UPDATE file_contents SET content = %s WHERE digest = %s", (sealed, digest))
                changed += 1
    return changed

"""Relocation: rewrites stored paths when a thread moves to another folder or machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.cipher import SUFFIX, Cipher, refuse_locked
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_value
from openmanus_graph.checkpoints.serializer import StateSerializer, stand_ins
from openmanus_graph.errors import ArchiveError
from openmanus_graph.langgraph_internals import START_CHANNEL


async def take_over(
    connection: AsyncConnection[DictRow],
    thread_id: str,
    about: Mapping[str, Any],
    workspace: str | None,
    cipher: Cipher | None,
) -> None:
    """Adapt the rows of an imported thread to this database.

    Its runner is gone, its folder is another, what it claimed is nobody's, it has no owner yet, and where it was to
    keep a recording or run without a sandbox, it no longer does: nobody here has said so.

    Args:
        connection: A connection, in the transaction in which the rows arrived.
        thread_id: The thread's id here.
        about: What the archive says of it: `thread` and `workspace` as they were.
        workspace: The folder here, or `None`.
        cipher: Opens what is encrypted, and seals what is changed.

    Raises:
        ArchiveError: If no thread has arrived.
        EncryptionKeyError: If it is encrypted with a key that is not set.
    """
    given = {"thread": thread_id, "workspace": workspace, "old": str(about["thread"])}
    if (await connection.execute(_ROW, given)).rowcount != 1:
        raise ArchiveError("The archive has no thread in it.", hint="Nothing was imported.")
    row = await (
        await connection.execute("SELECT encrypted_with FROM threads WHERE thread_id = %(thread)s", given)
    ).fetchone()
    names = row["encrypted_with"] if row else ()
    refuse_locked(f"The archived thread {about['thread']!r}", names, () if cipher is None else cipher.ids)
    await connection.execute("UPDATE effects SET runner_epoch = 0 WHERE thread_id = %(thread)s", given)
    await connection.execute(_EVENTS, given)
    await change_channel(connection, thread_id, "sandbox", "none", "auto", cipher)
    if workspace is not None:
        await change_channel(connection, thread_id, "workspace", about.get("workspace"), workspace, cipher)


async def change_channel(
    connection: AsyncConnection[DictRow], thread_id: str, channel: str, old: Any, new: Any, cipher: Cipher | None
) -> None:
    """Change a text in the state of every point of a graph: in checkpoints, in inputs and results not taken up yet.

    Args:
        connection: A connection, in a transaction.
        thread_id: The thread.
        channel: The channel of the graph's own state.
        old: The value that is changed; others are left.
        new: What it becomes.
        cipher: Opens what is encrypted, and seals what is changed.
    """
    serializer = StateSerializer()
    if cipher is not None:
        await _change_sealed(connection, thread_id, channel, old, new, cipher)
    given = {"thread": thread_id, "path": ["channel_values", channel], "channel": channel}
    given |= {"old": Jsonb(old), "new": Jsonb(new), "was": serializer.dumps_typed(old)[1]}
    given |= {"will": serializer.dumps_typed(new)[1]}
    await connection.execute(_CHECKPOINTS, given)
    await connection.execute(_WRITES, given)
    serializer = StateSerializer(cipher)
    rows = await (await connection.execute(_INPUTS, {**given, "start": START_CHANNEL})).fetchall()
    for row in rows:
        with stand_ins():
            value = serializer.loads_typed((str(row["type"]), bytes(row["blob"] or b"")))
        if not isinstance(value, dict) or cast("dict[str, Any]", value).get(channel) != old:
            continue
        kind, blob = serializer.dumps_typed({**cast("dict[str, Any]", value), channel: new})
        await connection.execute(
            "UPDATE checkpoint_blobs SET type = %(kind)s, blob = %(blob)s WHERE thread_id = %(thread)s"
            " AND checkpoint_ns = '' AND channel = %(start)s AND version = %(version)s",
            {**given, "start": START_CHANNEL, "kind": kind, "blob": blob, "version": row["version"]},
        )


async def _change_sealed(
    connection: AsyncConnection[DictRow], thread_id: str, channel: str, old: Any, new: Any, cipher: Cipher
) -> None:
    """Change a text where SQL cannot compare it: each is opened, and sealed anew if it is the one."""
    serializer = StateSerializer(cipher)
    given = {"thread": thread_id, "channel": channel, "path": ["channel_values", channel]}
    for row in await (await connection.execute(_SEALED_CHECKPOINTS, given)).fetchall():
        if row["value"] == old:
            sealed = Jsonb(sealed_value(cipher, new))
            await connection.execute(_SET_CHECKPOINT, {**given, "id": row["checkpoint_id"], "new": sealed})
    for row in await (await connection.execute(_SEALED_WRITES, {**given, "kind": f"%{SUFFIX}"})).fetchall():
        with stand_ins():
            value = serializer.loads_typed((str(row["type"]), bytes(row["blob"])))
        if type(value) is type(old) and value == old:
            kind, blob = serializer.dumps_typed(new)
            await connection.execute(_SET_WRITE, {**given, **row, "type": kind, "blob": blob})


_SEALED_CHECKPOINTS = """
SELECT checkpoint_id, checkpoint #> %(path)s AS value FROM checkpoints
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND jsonb_typeof(checkpoint #> %(path)s) = 'string'
"""

_SET_CHECKPOINT = """
UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, %(path)s, %(new)s)
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND checkpoint_id = %(id)s
"""

_SEALED_WRITES = """
SELECT checkpoint_id, task_id, idx, type, blob FROM checkpoint_writes
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND channel = %(channel)s AND type LIKE %(kind)s
"""

_SET_WRITE = """
UPDATE checkpoint_writes SET type = %(type)s, blob = %(blob)s
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND checkpoint_id = %(checkpoint_id)s AND task_id = %(task_id)s
  AND idx = %(idx)s
"""

_ROW = """
UPDATE threads SET
    workspace = %(workspace)s, made_workspace = false,
    runner = NULL, runner_since = NULL, runner_epoch = nextval('runner_epochs'),
    owner = '',  -- it is whose who runs it first: an archive cannot ask for anybody's memory
    status = CASE WHEN status = 'running' THEN 'stopped' ELSE status END,
    sandbox = CASE WHEN sandbox = 'none' THEN 'auto' ELSE sandbox END,
    settings = settings #- '{said,record}',
    updated_at = clock_timestamp()
WHERE thread_id = %(thread)s
"""

_EVENTS = """
UPDATE events SET event = event || jsonb_build_object(
    'thread_id', %(thread)s::text,
    'id', CASE WHEN starts_with(event ->> 'id', %(old)s || '/')
               THEN %(thread)s || substr(event ->> 'id', length(%(old)s) + 1) ELSE event ->> 'id' END)
WHERE thread_id = %(thread)s AND %(thread)s <> %(old)s
"""

_CHECKPOINTS = """
UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, %(path)s, %(new)s)
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND checkpoint #> %(path)s = %(old)s
"""

_WRITES = """
UPDATE checkpoint_writes SET blob = %(will)s
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND channel = %(channel)s AND type = 'msgpack' AND blob = %(was)s
"""

_INPUTS = """
SELECT version, type, blob FROM checkpoint_blobs
WHERE thread_id = %(thread)s AND checkpoint_ns = '' AND channel = %(start)s
"""

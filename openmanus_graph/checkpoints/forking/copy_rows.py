"""Row copies: copies a thread's rows into a fork, inside the database."""

from __future__ import annotations

from typing import Any, LiteralString

from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.cipher import Cipher
from openmanus_graph.checkpoints.forking.causality import ForkCut
from openmanus_graph.checkpoints.history.checkpoint_ref import Point, read_points
from openmanus_graph.checkpoints.thread_tables import columns_of, copy_rows
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.checkpoints.transfer.relocation import change_channel
from openmanus_graph.checkpoints.workspace.snapshots import FileState, newest_files
from openmanus_graph.langgraph_internals import NULL_TASK
from openmanus_graph.workspace import is_to_be_made

_WRITES: LiteralString = """
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT %(name)s, w.checkpoint_ns, w.checkpoint_id, w.task_id, w.task_path, w.idx, w.channel, w.type, w.blob
FROM checkpoint_writes w
JOIN kept k ON k.ns = w.checkpoint_ns AND k.id = w.checkpoint_id
WHERE w.thread_id = %(source)s AND NOT k.point
  AND NOT (k.on_path AND w.task_id = %(null_task)s AND w.channel = '__resume__')
  AND NOT EXISTS (SELECT 1 FROM rerun r WHERE (r.ns, r.id, r.task) = (w.checkpoint_ns, w.checkpoint_id, w.task_id))
"""

_BLOBS: LiteralString = """
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT %(name)s, b.checkpoint_ns, b.channel, b.version, b.type, b.blob
FROM (
    SELECT DISTINCT c.checkpoint_ns, v.key, v.value
    FROM checkpoints c
    JOIN kept k ON k.ns = c.checkpoint_ns AND k.id = c.checkpoint_id
    CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v
    WHERE c.thread_id = %(source)s
) wanted
JOIN checkpoint_blobs b ON b.thread_id = %(source)s AND b.checkpoint_ns = wanted.checkpoint_ns
    AND b.channel = wanted.key AND b.version = wanted.value
"""

_CHECKPOINTS: LiteralString = """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
SELECT %(name)s, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.type,
       CASE WHEN c.checkpoint #>> '{channel_values,workspace}' = %(old_folder)s
            THEN jsonb_set(c.checkpoint, '{channel_values,workspace}', to_jsonb(%(folder)s::text))
            ELSE c.checkpoint END,
       c.metadata
FROM checkpoints c
JOIN kept k ON k.ns = c.checkpoint_ns AND k.id = c.checkpoint_id
WHERE c.thread_id = %(source)s
"""

_BEFORE: LiteralString = """
    (%(all)s OR {moment} <= %(moment)s
     OR (%(affected)s::text[] IS NOT NULL AND coalesce({subtask}, '') <> '' AND {subtask} <> ALL(%(affected)s)
         AND (%(until)s::timestamptz IS NULL OR {moment} <= %(until)s)))
"""
"""What was done up to the point, or beside it by subtasks that are not cut."""

_EVENTS: LiteralString = """
INSERT INTO events (thread_id, type, subtask, event)
SELECT %(name)s, type, subtask, event || jsonb_build_object(
    'thread_id', %(name)s::text,
    'id', CASE WHEN starts_with(event ->> 'id', %(source)s || '/')
               THEN %(name)s || substr(event ->> 'id', length(%(source)s) + 1) ELSE event ->> 'id' END)
FROM events WHERE thread_id = %(source)s AND
"""

_CALLS: LiteralString = """
INSERT INTO model_calls ({columns}) SELECT {values} FROM model_calls
WHERE thread_id = %(source)s AND NOT in_flight AND
"""

_FILES_KEPT = sql.SQL("""
    thread_id = %(source)s AND CASE
    WHEN f.checkpoint_id IS NULL THEN %(all)s OR f.made_at <= %(moment)s
    ELSE EXISTS (
        SELECT 1
        FROM jsonb_to_recordset(f.beside || jsonb_build_object('checkpoint_ns', f.checkpoint_ns,
                                'checkpoint_id', f.checkpoint_id, 'task_id', f.task_id))
             AS s (checkpoint_ns text, checkpoint_id text, task_id text)
        JOIN kept k ON k.ns = s.checkpoint_ns AND k.id = s.checkpoint_id
        WHERE NOT k.point AND NOT EXISTS (
            SELECT 1 FROM rerun r WHERE (r.ns, r.id, r.task) = (s.checkpoint_ns, s.checkpoint_id, s.task_id)))
    END
ORDER BY number
""")

_FILES = sql.SQL("INSERT INTO file_changes ({columns}) SELECT {values} FROM file_changes f WHERE {kept}")
_FILES_AT = sql.SQL("SELECT * FROM file_changes f WHERE {kept}")

_EFFECTS: LiteralString = """
INSERT INTO effects ({columns}) SELECT {values} FROM effects e
WHERE thread_id = %(source)s AND EXISTS (
    SELECT 1 FROM kept k WHERE k.ns = e.namespace AND k.step = e.step - 1 AND NOT k.point
)
"""

_RATINGS: LiteralString = """
INSERT INTO ratings ({columns}) SELECT {values} FROM ratings
WHERE thread_id = %(source)s AND (%(all)s OR request < (
    SELECT (state ->> 'request')::int + (coalesce(state ->> 'status', '') <> '')::int
    FROM (
        SELECT checkpoint -> 'channel_values' AS state FROM checkpoints
        WHERE thread_id = %(name)s AND checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1
    ) newest
    WHERE state ->> 'request' ~ '^[0-9]{{1,9}}$' AND state ? 'stage'
))
"""
"""Those of requests that are over at the point; one that is not is done again. A graph of one's own has none."""

_SEARCHES: LiteralString = """
INSERT INTO searches ({columns}) SELECT {values} FROM searches
WHERE thread_id = %(source)s AND (%(all)s OR made_at <= %(moment)s)
"""

_ROW: LiteralString = """
INSERT INTO threads ({columns}) SELECT {values} FROM threads WHERE thread_id = %(source)s
"""


async def copy_up_to(
    connection: AsyncConnection[DictRow],
    source: Thread,
    name: str,
    folder: str,
    cut: ForkCut | None,
    here: Point,
    cipher: Cipher | None,
) -> None:
    """Copy the rows of a thread, all or up to a cut, to a new one; sealed values go as they are."""
    origin = {
        "thread": source.thread_id,
        "checkpoint": here.id,
        "namespace": here.namespace,
        "number": here.number,
        "everything": cut is None,
    }
    given: dict[str, Any] = {
        "source": source.thread_id,
        "name": name,
        "folder": folder,
        "made_folder": is_to_be_made(folder, name),
        "old_folder": source.workspace,
        "null_task": NULL_TASK,
        "all": cut is None,
        "moment": here.made_at,
        "affected": None if cut is None or cut.affected is None else sorted(cut.affected),
        "until": None if cut is None else cut.until,
        "origin": Jsonb(origin),
        "key": [] if cipher is None or cipher.id in source.encrypted_with else [cipher.id],
    }
    await _insert(connection, sql.SQL(_ROW), "threads", given, _row_values())
    await _mark_kept(connection, source.thread_id, cut, here)
    for statement in (_CHECKPOINTS, _BLOBS, _WRITES):
        await connection.execute(statement, given)
    if cut is None:
        await copy_rows(connection, source.thread_id, name, ["answers"])
    if cut is None or cipher is not None:  # SQL has changed what is not sealed
        await change_channel(connection, name, "workspace", source.workspace, folder, cipher)
    moments = {"moment": sql.SQL("(event ->> 'time')::timestamptz"), "subtask": sql.SQL("subtask")}
    await connection.execute(sql.SQL(_EVENTS + _BEFORE + " ORDER BY number").format(**moments), given)
    moments = {"moment": sql.SQL("created_at"), "subtask": sql.SQL("subtask")}
    calls = sql.SQL(_CALLS + _BEFORE + " ORDER BY number")
    await _insert(connection, calls, "model_calls", given, {}, **moments)
    await _insert(connection, _FILES, "file_changes", given, {}, kept=_FILES_KEPT)
    await _insert(connection, sql.SQL(_EFFECTS), "effects", given, {})
    await _insert(connection, sql.SQL(_RATINGS), "ratings", given, {})
    await _insert(connection, sql.SQL(_SEARCHES), "searches", given, {})


def _row_values() -> dict[str, LiteralString]:
    """Columns of the new thread's row that are not copied from the old one's, with their values in SQL."""
    return {
        "status": "'paused'",
        "workspace": "%(folder)s",
        "made_workspace": "%(made_folder)s",
        "settings": "settings #- '{said,record}'",
        "questions": "'[]'",
        "error": "NULL",
        "origin": "%(origin)s",
        "created_at": "clock_timestamp()",
        "updated_at": "clock_timestamp()",
        "finished_at": "NULL",
        "runner": "NULL",
        "runner_since": "NULL",
        "runner_epoch": "nextval('runner_epochs')",
        "request_started_at": "clock_timestamp()",
        "active_s": "0",
        "allowed_sites": "'[]'",  # a person said it of the other run
        # The graph may have changed since the point, so the first run looks whether it fits there.
        "fingerprint": """fingerprint || '{"unchecked": true}'""",
        "forced": "'[]'",
        "encrypted_with": "encrypted_with || %(key)s::text[]",  # its edits are sealed with the present key
        "input": "CASE WHEN %(all)s THEN input END",  # it came after every earlier point
    }


async def _insert(
    connection: AsyncConnection[DictRow],
    query: sql.SQL,
    table: str,
    given: dict[str, Any],
    values: dict[str, LiteralString],
    **parts: sql.Composable,
) -> None:
    """Run an `INSERT … SELECT` over all columns of a table, `values` in place of some."""
    columns = await columns_of(connection, table)
    values = {"thread_id": "%(name)s", **values}
    chosen = [sql.SQL(values[name]) if name in values else sql.Identifier(name) for name in columns]
    statement = query.format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)), values=sql.SQL(", ").join(chosen), **parts
    )
    await connection.execute(statement, given)


async def _mark_kept(connection: AsyncConnection[DictRow], thread_id: str, cut: ForkCut | None, here: Point) -> None:
    """Make temporary tables of the checkpoints that are kept and of the tasks whose writes are left out."""
    await connection.execute(
        "CREATE TEMPORARY TABLE kept (ns text, id text, step int, point boolean, on_path boolean,"
        " PRIMARY KEY (ns, id)) ON COMMIT DROP"
    )
    await connection.execute("CREATE TEMPORARY TABLE rerun (ns text, id text, task text) ON COMMIT DROP")
    steps = {(point.namespace, point.id): point.step for point in await read_points(connection, thread_id)}
    kept = steps.keys() if cut is None else cut.kept
    path = {(level.namespace, level.id) for level in cut.path} if cut else set[tuple[str, str]]()
    at = (here.namespace, here.id) if cut else None
    rows = [(*key, steps[key], key == at, key in path) for key in kept if key in steps]
    async with connection.cursor() as cursor:
        async with cursor.copy("COPY kept FROM STDIN") as copy:
            for row in rows:
                await copy.write_row(row)
        async with cursor.copy("COPY rerun FROM STDIN") as copy:
            for row in cut.rerun if cut else ():
                await copy.write_row(row)
    await connection.execute("ANALYZE kept")


async def files_kept(connection: AsyncConnection[DictRow], cut: ForkCut) -> dict[str, FileState]:
    """The files that a fork at a cut gets, by path, as far as steps have changed any.

    Args:
        connection: A connection, in a transaction.
        cut: The cut.
    """
    point = cut.point
    given = {"source": point.thread_id, "all": False, "moment": point.made_at}
    await _mark_kept(connection, point.thread_id, cut, point)
    rows = await (await connection.execute(_FILES_AT.format(kept=_FILES_KEPT), given)).fetchall()
    return newest_files(rows)

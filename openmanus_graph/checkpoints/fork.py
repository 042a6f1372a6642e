"""Fork: a new thread that goes on from a point of another one, which never changes.

The rows are copied inside the database, from one consistent view of it, so a thread that runs gives what it has
committed. Checkpoint ids do not depend on the thread, so writes and interrupts still fit; what came causally after the
point stays behind (`lineage`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import AsyncConnection, IsolationLevel, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.edit import Edit, edited
from openmanus_graph.checkpoints.lineage import DISPATCHED, NULL_TASK, Cut, Lineage, Task
from openmanus_graph.checkpoints.points import Point, find_place, newest_point, points_of, read_points
from openmanus_graph.checkpoints.progress import plan_in, state_values, subtask_progress
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.snapshots import restore_files
from openmanus_graph.checkpoints.tables import columns_of, copy_rows
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.checkpoints.values import config_of
from openmanus_graph.errors import UsageError
from openmanus_graph.plan import Plan

_MOVED = sql.SQL("CASE WHEN {there} THEN jsonb_set({column}, {path}, to_jsonb(%(folder)s::text)) ELSE {column} END")
_FREE = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Fork:
    """A thread that was forked off."""

    thread: Thread
    """The new thread; nothing of it has run yet."""
    source: Thread
    """The thread it came from, as it was."""
    cut: Cut | None
    """What was taken over; `None` for a copy of everything."""
    ended: bool
    """Whether the request had ended at the point, so that nothing comes after it."""
    missing: list[str] = field(default_factory=list[str])
    """Files of the point whose content was not kept and is gone."""


async def fork_thread(
    saver: ThreadSaver,
    address: str,
    *,
    new_id: str | None = None,
    workspace: str | Path | None = None,
    edits: Sequence[Edit] = (),
) -> Fork:
    """Make a new thread that goes on from a point of another one.

    Run it with `await app.ainvoke(None, {"configurable": {"thread_id": fork.thread.thread_id}})`; what comes after the
    point is then done again, with real calls. The thread it comes from never changes.

    Args:
        saver: The store.
        address: `THREAD@POINT`, see `find_point`; `THREAD` copies all that it has committed.
        new_id: The new thread's id; by default the old one with a number.
        workspace: The new thread's folder; by default beside the old one's. It gets the files as of the point.
        edits: Changes of the state at the point.

    Raises:
        UnknownThreadError: If there is no such thread.
        UnknownPointError: If the thread has no such point.
        UsageError: If there is a thread of the new id, the folder is not empty, or an edit does not fit.
    """
    source, point = await find_place(saver, address)
    name = new_id or await _free_id(saver, source.thread_id)
    folder = _folder(source, name, workspace)
    points = await points_of(saver, source.thread_id)
    here = point or newest_point(points, source.thread_id)
    if edits and point is None:
        raise UsageError("Only a fork at a point can be edited.", hint=f"Name one: {source.thread_id}@{here.number}")
    cut = None if point is None else await cut_at(saver, point, points)
    replaced = None if point is None else await edited(saver, point, edits, str(folder))
    ended = _had_ended(source, here, points)
    try:
        async with saver.connection() as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            try:
                async with connection.transaction():
                    await _copy(connection, source, name, str(folder), cut, here)
                    if replaced is not None:
                        await replaced.put(connection, name)
            finally:
                await connection.set_isolation_level(None)
    except psycopg.errors.UniqueViolation as error:
        raise UsageError(f"There is already a thread {name!r}.", hint="Choose another id.") from error
    missing = await restore_files(saver, name, Path(source.workspace) if source.workspace else None, folder)
    await _note(saver, name, source, ended=ended)
    made = cast("Thread", await get_thread(saver, name))
    return Fork(made, source, cut, ended, missing)


async def _free_id(saver: ThreadSaver, source: str) -> str:
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT thread_id FROM threads WHERE starts_with(thread_id, %s)", (_FREE.sub("", source),)
            )
        ).fetchall()
    taken = {str(row["thread_id"]) for row in rows}
    base = _FREE.sub("", source) if _FREE.sub("", source) in taken else source
    return next(name for number in range(2, len(taken) + 3) if (name := f"{base}-{number}") not in taken)


def _folder(source: Thread, name: str, chosen: str | Path | None) -> Path:
    """The new thread's folder: what was chosen, else beside the old one's."""
    from openmanus_graph.nodes.dispatcher import default_workspace

    plain = default_workspace(name)
    if chosen is not None:
        folder = Path(chosen).expanduser().absolute()
    elif source.workspace and Path(source.workspace).parent.name == plain.parent.name:
        folder = Path(source.workspace).parent / plain.name
    else:
        folder = plain
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"The folder {str(folder)!r} is not empty.", hint="Name another one for the new thread.")
    return folder


def _had_ended(source: Thread, point: Point, points: Sequence[Point]) -> bool:
    """Whether nothing comes after a point but another request."""
    if point.namespace:
        return False
    after = Lineage(points).next_of(point)
    return source.finished if after is None else after.source == "input"


async def cut_at(saver: ThreadSaver, point: Point, points: Sequence[Point] | None = None) -> Cut:
    """What a fork at a point takes over.

    Args:
        saver: The store.
        point: The point.
        points: The points of its thread, if they are known.
    """
    lineage = Lineage(points if points is not None else await points_of(saver, point.thread_id))
    path = lineage.path_to(point)
    async with saver.connection() as connection:
        tasks = await _tasks(connection, point.thread_id, path)
    for level, inner in pairwise(path):
        found = DISPATCHED.match(inner.namespace.removeprefix(level.namespace))
        if found is None:
            continue
        plan, given = await _plan_at(saver, level, found["id"], found["definition"])
        cut = lineage.cut(point, tasks, _downstream(plan, found["id"]))
        # The plan was edited while the dispatcher ran, and the edited one has no such subtask.
        return cut if given else replace(cut, rerun=cut.rerun | {(level.namespace, level.id, NULL_TASK)})
    return lineage.cut(point, tasks)


def _downstream(plan: Plan | None, subtask: str) -> set[str]:
    """A subtask, and all that depend on it, directly or not."""
    dependants = plan.dependants() if plan is not None else {}
    found, waiting = {subtask}, [subtask]
    while waiting:
        new = set(dependants.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


async def _plan_at(saver: ThreadSaver, point: Point, subtask: str, definition: str) -> tuple[Plan | None, bool]:
    """The plan with a subtask that a checkpoint's dispatcher executed, and whether what was given there stays."""
    found = await saver.aget_tuple(config_of(point))
    if found is None:
        return None, True
    held = plan_in(found.checkpoint["channel_values"])
    writes = found.pending_writes or []
    edits = [plan_in({"plan": value}) for task, channel, value in writes if task == NULL_TASK and channel == "plan"]
    plan = edits[-1] if edits else held
    if edits and plan is not None and plan.definition_hashes().get(subtask) != definition:
        return held, False
    return plan, True


async def _tasks(connection: AsyncConnection[DictRow], thread_id: str, path: Sequence[Point]) -> list[Task]:
    rows = await (
        await connection.execute(
            """
            SELECT DISTINCT w.checkpoint_ns, w.checkpoint_id, w.task_id, w.task_path
            FROM checkpoint_writes w
            JOIN unnest(%s::text[], %s::text[]) AS p (ns, id) ON w.checkpoint_ns = p.ns AND w.checkpoint_id = p.id
            WHERE w.thread_id = %s
            """,
            ([point.namespace for point in path], [point.id for point in path], thread_id),
        )
    ).fetchall()
    return [Task(row["checkpoint_ns"], row["checkpoint_id"], row["task_id"], row["task_path"]) for row in rows]


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
WHERE thread_id = %(source)s AND
"""

_FILES: LiteralString = """
INSERT INTO file_changes ({columns}) SELECT {values} FROM file_changes f
WHERE thread_id = %(source)s AND CASE
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
"""

_EFFECTS: LiteralString = """
INSERT INTO effects ({columns}) SELECT {values} FROM effects e
WHERE thread_id = %(source)s AND EXISTS (
    SELECT 1 FROM kept k WHERE k.ns = e.namespace AND k.step = e.step - 1 AND NOT k.point
)
"""

_ROW: LiteralString = """
INSERT INTO threads ({columns}) SELECT {values} FROM threads WHERE thread_id = %(source)s
"""


async def _copy(
    connection: AsyncConnection[DictRow], source: Thread, name: str, folder: str, cut: Cut | None, here: Point
) -> None:
    """Copy the rows of a thread, all or up to a cut, to a new one."""
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
        "old_folder": source.workspace,
        "null_task": NULL_TASK,
        "all": cut is None,
        "moment": here.made_at,
        "affected": None if cut is None or cut.affected is None else sorted(cut.affected),
        "until": None if cut is None else cut.until,
        "origin": Jsonb(origin),
    }
    await _insert(connection, _ROW, "threads", given, _row_values())
    await _mark_kept(connection, source.thread_id, cut, here)
    for statement in (_CHECKPOINTS, _BLOBS, _WRITES):
        await connection.execute(statement, given)
    if cut is None:
        await copy_rows(connection, source.thread_id, name, ["answers"])
    moments = {"moment": sql.SQL("(event ->> 'time')::timestamptz"), "subtask": sql.SQL("subtask")}
    await connection.execute(sql.SQL(_EVENTS + _BEFORE + " ORDER BY number").format(**moments), given)
    moments = {"moment": sql.SQL("created_at"), "subtask": sql.SQL("subtask")}
    await _insert(connection, _CALLS + _BEFORE + " ORDER BY number", "model_calls", given, {}, **moments)
    await _insert(connection, _FILES, "file_changes", given, {})
    await _insert(connection, _EFFECTS, "effects", given, {})


def _row_values() -> dict[str, LiteralString]:
    """What the new thread's row does not take from the old one's."""
    return {
        "status": "'paused'",
        "workspace": "%(folder)s",
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
    }


async def _insert(
    connection: AsyncConnection[DictRow],
    query: LiteralString,
    table: str,
    given: dict[str, Any],
    values: dict[str, LiteralString],
    **parts: sql.Composable,
) -> None:
    """Run an `INSERT … SELECT` over all columns of a table, `values` in place of some."""
    columns = await columns_of(connection, table)
    values = {"thread_id": "%(name)s", **values}
    chosen = [sql.SQL(values[name]) if name in values else sql.Identifier(name) for name in columns]
    statement = sql.SQL(query).format(
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)), values=sql.SQL(", ").join(chosen), **parts
    )
    await connection.execute(statement, given)


async def _mark_kept(connection: AsyncConnection[DictRow], thread_id: str, cut: Cut | None, here: Point) -> None:
    """Make temporary tables of what is taken over."""
    await connection.execute(
        "CREATE TEMPORARY TABLE kept (ns text, id text, step int, point boolean, on_path boolean,"
        " PRIMARY KEY (ns, id)) ON COMMIT DROP"
    )
    await connection.execute("CREATE TEMPORARY TABLE rerun (ns text, id text, task text) ON COMMIT DROP")
    steps = {(one.namespace, one.id): one.step for one in await read_points(connection, thread_id)}
    kept = steps.keys() if cut is None else cut.kept
    path = {(one.namespace, one.id) for one in cut.path} if cut else set[tuple[str, str]]()
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


async def _note(saver: ThreadSaver, name: str, source: Thread, *, ended: bool) -> None:
    """Write down what the new thread's row shows: its plan and progress as of the point."""
    values = await state_values(saver, name)
    plan = plan_in(values)
    progress = await subtask_progress(saver, name, live=False)
    done = sum(1 for one in progress if one.result is not None)
    status = (values.get("status") or source.status) if ended else "paused"
    async with saver.connection() as connection:
        await connection.execute(
            "UPDATE threads SET plan = coalesce(%s, plan), progress = %s, status = %s,"
            " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE thread_id = %s",
            (
                None if plan is None else Jsonb(plan.to_dict()),
                Jsonb({"done": done, "total": len(progress)} if progress else {}),
                status if status in ("completed", "failed", "partial", "paused") else "completed",
                ended,
                name,
            ),
        )

"""Fork: a new thread that goes on from a point of another one, which never changes.

The rows are copied inside the database, from one consistent view of it, so a thread that runs gives what it has
committed. Checkpoint ids do not depend on the thread, so writes and interrupts still fit; what came causally after the
point stays behind (`lineage`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import psycopg
from langgraph.types import Command
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_whole
from openmanus_graph.checkpoints.forking.causality import ForkCut, Lineage, WritingTask
from openmanus_graph.checkpoints.forking.copy_rows import copy_up_to, files_kept
from openmanus_graph.checkpoints.forking.edit import StateEdit, edited
from openmanus_graph.checkpoints.history.checkpoint_ref import Point, find_place, newest_point, points_of
from openmanus_graph.checkpoints.history.values import config_of, next_nodes, values_at
from openmanus_graph.checkpoints.progress import plan_in, state_values, subtask_progress
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import stand_ins
from openmanus_graph.checkpoints.threads import Thread, get_thread
from openmanus_graph.checkpoints.workspace.snapshots import FileState, restore_files
from openmanus_graph.errors import UsageError
from openmanus_graph.langgraph_internals import NULL_TASK, START_CHANNEL
from openmanus_graph.namespaces import DISPATCHER, dispatched
from openmanus_graph.plan import Plan
from openmanus_graph.state import PLAN_GIVEN
from openmanus_graph.tools.browser.saved_state import copy_states

_FREE = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Fork:
    """A thread that was forked off."""

    thread: Thread
    """The new thread; nothing of it has run yet."""
    source: Thread
    """The thread it came from, as it was."""
    cut: ForkCut | None
    """What was taken over; `None` for a copy of everything."""
    ended: bool
    """Whether the request had ended at the point, so that nothing comes after it."""
    given: Any = None
    """What its graph is to be invoked with."""
    missing: list[str] = field(default_factory=list[str])
    """Files of the point whose content was not kept and is gone."""


async def fork_thread(
    saver: ThreadSaver,
    address: str,
    *,
    new_id: str | None = None,
    workspace: str | Path | None = None,
    edits: Mapping[str, Any] | None = None,
    plan: Plan | Mapping[str, Any] | None = None,
) -> Fork:
    """Make a new thread that goes on from a point of another one.

    Once it runs, what comes after the point is done again, with real calls. The thread it comes from never changes.

    Args:
        saver: The store.
        address: `THREAD@POINT`, see `find_point`; `THREAD` copies all that it has committed.
        new_id: The new thread's id; by default the old one with a number.
        workspace: The new thread's folder; by default beside the old one's. It gets the files as of the point.
        edits: Changes of the state at the point: values by path, such as `{"task": …}` or
            `{"subtask.args.command": …}`.
        plan: A plan to go on with; what it leaves unchanged is kept.

    Returns:
        The fork; `await app.ainvoke(fork.given, …)` runs it.

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
    changes = [StateEdit(tuple(path.split(".")), value) for path, value in (edits or {}).items()]
    if changes and point is None:
        raise UsageError("Only a fork at a point can be edited.", hint=f"Name one: {source.thread_id}@{here.number}")
    cut = None if point is None else await cut_at(saver, point, points)
    ended = _had_ended(source, here, points)
    given, changes, goto = await _with_plan(saver, here, plan, changes, inside=point is not None and not ended)
    replaced = None if point is None else await edited(saver, point, changes, str(folder), goto=goto)
    try:
        async with saver.connection() as connection:
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            try:
                async with connection.transaction():
                    await copy_up_to(connection, source, name, str(folder), cut, here, saver.cipher)
                    if replaced is not None:
                        await replaced.put(connection, name)
            finally:
                await connection.set_isolation_level(None)
    except psycopg.errors.UniqueViolation as error:
        raise UsageError(f"There is already a thread {name!r}.", hint="Choose another id.") from error
    missing = await restore_files(saver, source, name, folder)
    await asyncio.to_thread(copy_states, source.thread_id, name, saver.home, saver.cipher)
    await _note(saver, name, source, ended=ended)
    made = cast("Thread", await get_thread(saver, name))
    return Fork(made, source, cut, ended, given, missing)


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
    from openmanus_graph.workspace import default_workspace

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


async def _with_plan(
    saver: ThreadSaver, point: Point, plan: Plan | Mapping[str, Any] | None, changes: list[StateEdit], *, inside: bool
) -> tuple[Any, list[StateEdit], str | None]:
    """How a plan gets into a fork: as its graph's input, or as edits of the state and the node to go on with."""
    if plan is None:
        return None, changes, None
    plain = Plan.parse(plan).to_dict()
    if not inside:
        return {"plan": plain}, changes, None
    if point.namespace:
        return Command(update={"plan": plain}), changes, None
    changes = [*changes, StateEdit(("plan",), plain)]
    nodes = await next_nodes(saver, point)
    if nodes != [START_CHANNEL]:
        return None, changes, None if nodes == [DISPATCHER] else DISPATCHER
    given = await values_at(saver, point)
    return None, [*changes, StateEdit(("stage",), PLAN_GIVEN)] if "stage" in given else changes, None


def _had_ended(source: Thread, point: Point, points: Sequence[Point]) -> bool:
    """Whether nothing comes after a point but another request."""
    if point.namespace:
        return False
    after = Lineage(points).next_of(point)
    return source.finished if after is None else after.source == "input"


async def cut_at(saver: ThreadSaver, point: Point, points: Sequence[Point] | None = None) -> ForkCut:
    """The checkpoints and tasks that a fork at a point takes over.

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
        task = dispatched(inner.namespace, level.namespace)
        if task is None:
            continue
        plan, given = await _plan_at(saver, level, task.subtask, task.definition)
        cut = lineage.cut(point, tasks, _downstream(plan, task.subtask))
        # The plan was edited while the dispatcher ran, and the edited one has no such subtask.
        return cut if given else replace(cut, rerun=cut.rerun | {(level.namespace, level.id, NULL_TASK)})
    return lineage.cut(point, tasks)


def _downstream(plan: Plan | None, subtask: str) -> set[str]:
    """A subtask, and all that depend on it, directly or not."""
    dependants = plan.dependants() if plan is not None else {}
    affected, waiting = {subtask}, [subtask]
    while waiting:
        new = set(dependants.get(waiting.pop(), ())) - affected
        affected |= new
        waiting += new
    return affected


async def _plan_at(saver: ThreadSaver, point: Point, subtask: str, definition: str) -> tuple[Plan | None, bool]:
    """The plan with a subtask that a checkpoint's dispatcher executed, and whether what was given there stays."""
    with stand_ins():
        stored = await saver.aget_tuple(config_of(point))
    if stored is None:
        return None, True
    held = plan_in(stored.checkpoint["channel_values"])
    writes = stored.pending_writes or []
    edits = [plan_in({"plan": value}) for task, channel, value in writes if task == NULL_TASK and channel == "plan"]
    plan = edits[-1] if edits else held
    if edits and plan is not None and plan.definition_hashes().get(subtask) != definition:
        return held, False
    return plan, True


async def _tasks(connection: AsyncConnection[DictRow], thread_id: str, path: Sequence[Point]) -> list[WritingTask]:
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
    return [WritingTask(row["checkpoint_ns"], row["checkpoint_id"], row["task_id"], row["task_path"]) for row in rows]


async def files_at(saver: ThreadSaver, point: Point) -> dict[str, FileState]:
    """The files as of a point, by path, as far as steps have changed any: what a fork there gets."""
    cut = await cut_at(saver, point)
    async with saver.connection() as connection, connection.transaction():
        return await files_kept(connection, cut)


async def _note(saver: ThreadSaver, name: str, source: Thread, *, ended: bool) -> None:
    """Set the plan, progress and status in the new thread's row as of the point."""
    values = await state_values(saver, name)
    plan = plan_in(values)
    progress = await subtask_progress(saver, name, live=False)
    done = sum(1 for subtask in progress if subtask.result is not None)
    kept: Any = None if plan is None else plan.to_dict()
    if saver.cipher is not None:
        kept = sealed_whole(saver.cipher, kept)
    status = (values.get("status") or source.status) if ended else "paused"
    async with saver.connection() as connection:
        await connection.execute(
            "UPDATE threads SET plan = coalesce(%s, plan), plan_file = CASE WHEN %s THEN plan_file END,"
            " progress = %s, status = %s,"
            " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE thread_id = %s",
            (
                None if kept is None else Jsonb(kept),
                plan is None or plan.to_dict() == source.plan,
                Jsonb({"done": done, "total": len(progress)} if progress else {}),
                status if status in ("completed", "failed", "partial", "paused") else "completed",
                ended,
                name,
            ),
        )

"""Checkpoint references: the points of a thread, and the addresses by which people name them.

A point is a stored checkpoint: of the graph itself, or of what runs inside it, such as a step of a subtask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, find_thread, get_thread
from openmanus_graph.errors import UnknownPointError
from openmanus_graph.namespaces import innermost_subtask, subtask_at

SHORTEST_BEGINNING = 4
"""Characters of a checkpoint's id that are enough to name it, if no other one begins or ends so."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a thread."""

    thread_id: str
    """The thread."""
    number: int
    """Its place among the thread's points, from 1, by time."""
    id: str
    """The checkpoint's id."""
    namespace: str
    """Where it is: empty for the graph itself, else the namespace of what runs inside."""
    parent: str | None
    """The checkpoint before it in the same namespace."""
    step: int
    """LangGraph's count of steps in the namespace; -1 is its input."""
    source: str
    """What made it: `input`, `loop` (a step), `update` or `fork` (an edit)."""
    parents: Mapping[str, str]
    """For each namespace around it, the checkpoint it came from."""
    made_at: datetime
    """When it was made, by the clock of the process that made it."""
    pruned: bool = False
    """Whether only what later points need of it is left, so that it cannot be looked at or gone back to."""

    @property
    def subtask(self) -> str | None:
        """The subtask it belongs to, the innermost one; `None` outside of any."""
        task = innermost_subtask(self.namespace)
        return task.subtask if task else None

    @property
    def address(self) -> str:
        """How to name it on the command line."""
        return f"{self.thread_id}@{self.number}"


_POINTS = """
SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, coalesce((metadata ->> 'step')::int, -2) AS step,
       coalesce(metadata ->> 'source', '') AS source, coalesce(metadata -> 'parents', '{}') AS parents,
       checkpoint ->> 'ts' AS ts, metadata ? 'pruned' AS pruned
FROM checkpoints WHERE thread_id = %s AND checkpoint_id > %s ORDER BY checkpoint_id, checkpoint_ns
"""


async def read_points(connection: AsyncConnection[DictRow], thread_id: str, after: Point | None = None) -> list[Point]:
    """The points of a thread, oldest first.

    Args:
        connection: Of the store.
        thread_id: The thread.
        after: Only those that are newer.
    """
    began, first = ("", 1) if after is None else (after.id, after.number + 1)
    rows = await (await connection.execute(_POINTS, (thread_id, began))).fetchall()
    return [_point(thread_id, number, row) for number, row in enumerate(rows, first)]


def _point(thread_id: str, number: int, row: Mapping[str, Any]) -> Point:
    return Point(
        thread_id=thread_id,
        number=number,
        id=str(row["checkpoint_id"]),
        namespace=str(row["checkpoint_ns"]),
        parent=row["parent_checkpoint_id"],
        step=int(row["step"]),
        source=str(row["source"]),
        parents=row["parents"],
        made_at=datetime.fromisoformat(str(row["ts"])),
        pruned=bool(row["pruned"]),
    )


async def points_of(saver: ThreadSaver, thread_id: str) -> list[Point]:
    """The points of a thread, oldest first."""
    async with saver.connection() as connection:
        return await read_points(connection, thread_id)


async def find_place(saver: ThreadSaver, address: str) -> tuple[Thread, Point | None]:
    """The thread and the point that an address names; no point where it names a thread only.

    Args:
        saver: The store.
        address: `THREAD` or `THREAD@POINT`. The thread is an id or its unique beginning. The point is a number of
            `threads history`, the unique beginning or end of a checkpoint's id, or `SUBTASK:STEP`.

    Raises:
        UnknownThreadError: If there is no such thread.
        UnknownPointError: If the thread has no such point, or several.
    """
    name, separator, place = address.rpartition("@")
    if not separator or await get_thread(saver, address) is not None:
        return await find_thread(saver, address), None
    thread = await find_thread(saver, name)
    return thread, chosen_point(await points_of(saver, thread.thread_id), place, thread.thread_id)


async def find_point(saver: ThreadSaver, address: str) -> Point:
    """The point that `THREAD@POINT` names; for `THREAD`, the graph's newest one.

    Raises:
        UnknownThreadError: If there is no such thread.
        UnknownPointError: If the thread has no such point, or several, or none at all.
    """
    thread, point = await find_place(saver, address)
    return point or newest_point(await points_of(saver, thread.thread_id), thread.thread_id)


def newest_point(points: Sequence[Point], thread_id: str) -> Point:
    """The newest point of the graph itself.

    Raises:
        UnknownPointError: If the thread has none.
    """
    own = [point for point in points if not point.namespace and not point.pruned]
    if not own:
        raise UnknownPointError(f"The thread {thread_id!r} has no point yet: nothing of it was committed.")
    return own[-1]


def chosen_point(points: Sequence[Point], place: str, thread_id: str) -> Point:
    """The point of a thread that a number, an id or `SUBTASK:STEP` names.

    Args:
        points: The thread's points.
        place: A number, the beginning or end of an id, or `SUBTASK:STEP`.
        thread_id: The thread, for the message.

    Raises:
        UnknownPointError: If there is none, or several.
    """
    if place.isdigit() and 1 <= int(place) <= len(points) and not points[int(place) - 1].pruned:
        return points[int(place) - 1]
    points = [point for point in points if not point.pruned]
    subtask, separator, step = place.rpartition(":")
    if separator and subtask:
        return _step_of(points, subtask, step, thread_id)
    matches: list[Point] = []
    if len(place) >= SHORTEST_BEGINNING:
        matches = [point for point in points if point.id.startswith(place) or point.id.endswith(place)]
    if len(matches) == 1:
        return matches[0]
    hint = f"List its points: {shell_commands.thread_history(thread_id)}"
    if matches:
        numbers = ", ".join(str(point.number) for point in matches[:5])
        raise UnknownPointError(
            f"{len(matches)} points of {thread_id!r} have an id like {place!r}: {numbers}.", hint=hint
        )
    raise UnknownPointError(f"The thread {thread_id!r} has no point {place!r}; it has {len(points)}.", hint=hint)


def _step_of(points: Sequence[Point], subtask: str, step: str, thread_id: str) -> Point:
    tasks = ((point, subtask_at(point.namespace)) for point in points)
    own = [(point, task) for point, task in tasks if task is not None and task.subtask == subtask]
    hint = f"List its points: {shell_commands.thread_history(thread_id)}"
    if not own:
        known = dict.fromkeys(point.subtask for point in points if point.subtask)
        named = f"It has: {', '.join(map(str, known))}." if known else "It has none."
        raise UnknownPointError(f"The thread {thread_id!r} has no points of a subtask {subtask!r}. {named}", hint=hint)
    newest = max(task.round for _, task in own)
    here = [point for point, task in own if task.round == newest]
    matches = [point for point in here if str(point.step) == step]
    if not matches:
        steps = f"{here[0].step} to {here[-1].step}"
        raise UnknownPointError(
            f"The subtask {subtask!r} of {thread_id!r} has no step {step!r}, only {steps}.", hint=hint
        )
    return matches[-1]

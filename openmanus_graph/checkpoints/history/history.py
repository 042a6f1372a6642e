"""History: every point of a thread with the step that led to it, in words, and the threads forked off there."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from openmanus_graph.checkpoints.history.checkpoint_ref import Point, points_of, read_points
from openmanus_graph.checkpoints.history.step_summary import READ, Write, nodes_of, what_changed, what_is_asked
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import stand_ins
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.values.storable_json import path_of

LATEST = 8
"""Points at the end of a history whose step is looked for again where it was not stored yet."""
LARGEST_SHOWN = 100_000
"""Bytes of a write above which its content is not told."""


@dataclass
class Moment:
    """A point of a thread, and the step that led to it."""

    point: Point
    """The point."""
    nodes: list[str] = field(default_factory=list[str])
    """The nodes whose step led to it."""
    what: str = ""
    """What that step changed, in words."""
    tokens: int = 0
    """Tokens that the step's calls of models used."""
    cost_usd: float | None = 0.0
    """What they cost, in US dollars; `None` if a price is unknown."""
    files: list[str] = field(default_factory=list[str])
    """Files of the workspace that the step changed."""
    asks: str = ""
    """What a person is asked at the point, or was."""
    forks: list[str] = field(default_factory=list[str])
    """Threads that were forked off at the point."""

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        point = self.point
        return {
            "number": point.number,
            "id": point.id,
            "namespace": point.namespace,
            "parent": point.parent,
            "subtask": point.subtask,
            "step": point.step,
            "source": point.source,
            "nodes": self.nodes,
            "what": self.what,
            "asks": self.asks,
            "time": point.made_at.isoformat(),
            "tokens": self.tokens,
            "cost_usd": self.cost_usd,
            "files": self.files,
            "forks": self.forks,
        }


async def thread_history(saver: ThreadSaver, thread_id: str, *, known: Sequence[Moment] = ()) -> list[Moment]:
    """Every point of a thread, oldest first, with the step that led to it.

    Args:
        saver: The store.
        thread_id: The thread's id, or its unique beginning.
        known: The history as it was read before, which makes reading it again quicker.

    Raises:
        UnknownThreadError: If there is no such thread.
    """
    thread = await find_thread(saver, thread_id)
    points = await points_of(saver, thread.thread_id)
    known_by_key = {(moment.point.namespace, moment.point.id): moment for moment in known}
    given = {"thread": thread.thread_id}
    async with saver.connection() as connection:
        writes = await _writes(
            connection, saver, thread.thread_id, _checkpoints_to_read(points, known_by_key) if known_by_key else None
        )
        calls = await _rows(connection, _CALLS, given)
        files = await _rows(connection, _FILES, given)
        forks = await _rows(connection, _FORKS, given)
    pruned = {(point.namespace, point.id) for point in points if point.pruned}
    for key in pruned:  # what is left there is of many steps
        writes.pop(key, None)
    moments = [_moment(point, writes, known_by_key) for point in points if not point.pruned]
    _add_usage(moments, calls)
    children = {
        (moment.point.namespace, moment.point.parent): moment
        for moment in reversed(moments)
        if (moment.point.namespace, moment.point.parent) not in pruned
    }
    _add_files(children, files)
    by_key = {(moment.point.namespace, moment.point.id): moment for moment in moments}
    for row in forks:
        origin: dict[str, Any] = row["origin"]
        forked = by_key.get((origin["namespace"], origin["checkpoint"]))
        if forked is not None:
            forked.forks.append(str(row["thread_id"]))
    return moments


@dataclass
class Growth:
    """A thread's history as one run makes it longer: known points are not read again.

    It holds only while this process runs the thread, and only where every step that began before has been committed.
    """

    moments: list[Moment] = field(default_factory=list[Moment])
    """The history, oldest first."""
    call: int = 0
    """The number of the newest call of a model that is counted in it."""
    change: int = 0
    """The number of the newest change of a file in it."""
    early: tuple[list[DictRow], list[DictRow]] = field(default_factory=lambda: ([], []))
    """Calls and changes of files whose step has not been committed, since others beside it have not run."""

    @classmethod
    async def read(cls, saver: ThreadSaver, thread_id: str, known: Sequence[Moment] = ()) -> Growth:
        """Read the whole history."""
        async with saver.connection() as connection:
            row = await (await connection.execute(_NEWEST, {"thread": thread_id})).fetchone()
        numbers = row or {"call": 0, "change": 0}
        return cls(await thread_history(saver, thread_id, known=known), int(numbers["call"]), int(numbers["change"]))

    async def follow(self, saver: ThreadSaver, thread_id: str, asking: Collection[str]) -> list[Point]:
        """Read the points that have been added.

        Args:
            saver: The store.
            thread_id: The thread.
            asking: Namespaces at whose newest points somebody may have been asked since.

        Returns:
            The new points.
        """
        last = self.moments[-1].point if self.moments else None
        asked = self._newest(asking)
        # LangGraph may store what a step wrote a moment after the point that the step led to.
        late = [moment for moment in self.moments[-LATEST:] if moment.point.step > 0 and not moment.nodes]
        given = {"thread": thread_id, "call": self.call, "change": self.change}
        async with saver.connection() as connection:
            new = await read_points(connection, thread_id, after=last)
            only = [
                *(moment.point.id for moment in asked.values()),
                *(point.id for point in new),
                *(point.parent for point in (*new, *(behind.point for behind in late)) if point.parent),
            ]
            writes = await _writes(connection, saver, thread_id, only)
            calls = await _rows(connection, _NEW_CALLS, given)
            files = await _rows(connection, _NEW_FILES, given)
        for moment in asked.values():
            moment.asks = what_is_asked(writes.get((moment.point.namespace, moment.point.id), ())) or moment.asks
        for moment in late:
            made = writes.get((moment.point.namespace, moment.point.parent or ""), ())
            moment.nodes, moment.what = nodes_of(made), what_changed(moment.point, made)
        added = [_moment(point, writes, {}) for point in new]
        self.moments = [*self.moments, *added]
        self._count(added, calls, files)
        return new

    def _newest(self, namespaces: Collection[str]) -> dict[str, Moment]:
        """The newest moments of some namespaces."""
        newest: dict[str, Moment] = {}
        for moment in reversed(self.moments):
            if len(newest) == len(namespaces):
                break
            if moment.point.namespace in namespaces:
                newest.setdefault(moment.point.namespace, moment)
        return newest

    def _count(self, added: Sequence[Moment], calls: Sequence[DictRow], files: Sequence[DictRow]) -> None:
        """Give calls and changes of files to the steps that made them, which are new."""
        self.call = max([self.call, *(int(row["number"]) for row in calls)])
        self.change = max([self.change, *(int(row["number"]) for row in files)])
        calls, files = [*self.early[0], *calls], [*self.early[1], *files]
        subtasks = {moment.point.subtask or "" for moment in added}
        children = {(moment.point.namespace, moment.point.parent): moment for moment in reversed(added)}
        self.early = (
            [row for row in calls if row["subtask"] not in subtasks],
            [row for row in files if (row["checkpoint_ns"], row["checkpoint_id"]) not in children],
        )
        _add_usage(added, calls)
        _add_files(children, files)


def _moment(
    point: Point, writes: Mapping[tuple[str, str], Sequence[Write]], known: Mapping[tuple[str, str], Moment]
) -> Moment:
    here = what_is_asked(writes.get((point.namespace, point.id), ()))
    old = known.get((point.namespace, point.id))
    if old is not None:
        return Moment(point, old.nodes, old.what, asks=here or old.asks)
    made = writes.get((point.namespace, point.parent or ""), ())
    return Moment(point, nodes_of(made), what_changed(point, made), asks=here)


def _checkpoints_to_read(points: Sequence[Point], known: Mapping[tuple[str, str], Moment]) -> list[str]:
    """Ids of the checkpoints whose writes are read: new points, their parents, and the newest of each namespace."""
    newest = {point.namespace: point.id for point in points}
    new = [point for point in points if (point.namespace, point.id) not in known]
    return [*newest.values(), *(point.id for point in new), *(point.parent for point in new if point.parent)]


def _add_usage(moments: Sequence[Moment], calls: Iterable[Mapping[str, Any]]) -> None:
    """Give each call of a model to the step during which it was made."""
    by_subtask: dict[str, list[Moment]] = defaultdict(list)
    for moment in moments:
        by_subtask[moment.point.subtask or ""].append(moment)
    times: dict[str, list[datetime]] = {
        key: [moment.point.made_at for moment in group] for key, group in by_subtask.items()
    }
    for call in calls:
        group = by_subtask.get(str(call["subtask"])) or []
        if not group:
            continue
        # The step that made it was over at the first point after it.
        place = bisect_left(times[str(call["subtask"])], call["created_at"])
        moment = group[min(place, len(group) - 1)]
        moment.tokens += int(call["tokens"])
        cost: float | None = call["cost_usd"]
        moment.cost_usd = None if cost is None or moment.cost_usd is None else moment.cost_usd + cost


def _add_files(children: Mapping[tuple[str, str | None], Moment], files: Iterable[Mapping[str, Any]]) -> None:
    """Give each change of a file to the point that its step led to, by the one it came of."""
    for row in files:
        changed = children.get((row["checkpoint_ns"], row["checkpoint_id"]))
        if changed is not None and (path := path_of(str(row["path"]))) not in changed.files:
            changed.files.append(path)


async def _rows(connection: AsyncConnection[DictRow], query: Any, given: Mapping[str, Any]) -> list[DictRow]:
    return await (await connection.execute(query, given)).fetchall()


async def _writes(
    connection: AsyncConnection[DictRow], saver: ThreadSaver, thread_id: str, only: Sequence[str] | None
) -> dict[tuple[str, str], list[Write]]:
    """Writes of tasks, by the checkpoint at which they ran, all or some; values only of channels that are shown."""
    given = {"thread": thread_id, "told": list(READ), "largest": LARGEST_SHOWN, "only": only}
    cursor = await connection.execute(_WRITES, given)
    writes: dict[tuple[str, str], list[Write]] = defaultdict(list)
    for row in await cursor.fetchall():
        value = None
        if row["blob"] is not None:
            with stand_ins():
                value = saver.serde.loads_typed((str(row["type"]), bytes(row["blob"])))
        key = (str(row["checkpoint_ns"]), str(row["checkpoint_id"]))
        writes[key].append(Write(str(row["task_id"]), str(row["task_path"]), str(row["channel"]), value))
    return writes


_WRITES = """
SELECT checkpoint_ns, checkpoint_id, task_id, task_path, channel, type,
       CASE WHEN channel = ANY(%(told)s) AND length(blob) <= %(largest)s THEN blob END AS blob
FROM checkpoint_writes
WHERE thread_id = %(thread)s AND (%(only)s::text[] IS NULL OR checkpoint_id = ANY(%(only)s))
ORDER BY checkpoint_ns, checkpoint_id, task_path, task_id, idx
"""

_CALLS = """
SELECT subtask, created_at, input_tokens + output_tokens AS tokens, cost_usd
FROM model_calls WHERE thread_id = %(thread)s AND NOT in_flight ORDER BY number
"""

_FILES = """
SELECT checkpoint_ns, checkpoint_id, path FROM file_changes
WHERE thread_id = %(thread)s AND checkpoint_id IS NOT NULL AND path NOT LIKE '.openmanus/%%' ORDER BY number
"""

_NEWEST = """
SELECT (SELECT coalesce(max(number), 0) FROM model_calls WHERE thread_id = %(thread)s) AS call,
       (SELECT coalesce(max(number), 0) FROM file_changes WHERE thread_id = %(thread)s) AS change
"""

_NEW_CALLS = """
SELECT subtask, created_at, input_tokens + output_tokens AS tokens, cost_usd, number
FROM model_calls WHERE thread_id = %(thread)s AND NOT in_flight AND number > %(call)s ORDER BY number
"""

_NEW_FILES = """
SELECT checkpoint_ns, checkpoint_id, path, number FROM file_changes
WHERE thread_id = %(thread)s AND number > %(change)s
  AND checkpoint_id IS NOT NULL AND path NOT LIKE '.openmanus/%%' ORDER BY number
"""

_FORKS = "SELECT thread_id, origin FROM threads WHERE origin ->> 'thread' = %(thread)s ORDER BY created_at"

"""History: every point of a thread with what led to it, in words, and the threads that were forked off there."""

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
from openmanus_graph.checkpoints.threads import find_thread

LATEST = 8
"""Points at the end of a history whose step is looked for again where it was not stored yet."""
LARGEST_TOLD = 100_000
"""Bytes of a write above which its content is not told."""


@dataclass
class Moment:
    """A point of a thread, and what led to it."""

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
    """Every point of a thread, oldest first, with what led to it.

    Args:
        saver: The store.
        thread_id: The thread's id, or its unique beginning.
        known: The history as it was read before, which makes reading it again quicker.

    Raises:
        UnknownThreadError: If there is no such thread.
    """
    thread = await find_thread(saver, thread_id)
    points = await points_of(saver, thread.thread_id)
    told = {(one.point.namespace, one.point.id): one for one in known}
    given = {"thread": thread.thread_id}
    async with saver.connection() as connection:
        writes = await _writes(connection, saver, thread.thread_id, _untold(points, told) if told else None)
        calls = await _rows(connection, _CALLS, given)
        files = await _rows(connection, _FILES, given)
        forks = await _rows(connection, _FORKS, given)
    pruned = {(point.namespace, point.id) for point in points if point.pruned}
    for key in pruned:  # what is left there is of many steps
        writes.pop(key, None)
    found = [_moment(point, writes, told) for point in points if not point.pruned]
    _add_usage(found, calls)
    children = {
        (one.point.namespace, one.point.parent): one
        for one in reversed(found)
        if (one.point.namespace, one.point.parent) not in pruned
    }
    _add_files(children, files)
    by_key = {(one.point.namespace, one.point.id): one for one in found}
    for row in forks:
        origin: dict[str, Any] = row["origin"]
        forked = by_key.get((origin["namespace"], origin["checkpoint"]))
        if forked is not None:
            forked.forks.append(str(row["thread_id"]))
    return found


@dataclass
class Growth:
    """A thread's history as one run makes it longer: what is known is not read again.

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
        """Read all of it."""
        async with saver.connection() as connection:
            row = await (await connection.execute(_NEWEST, {"thread": thread_id})).fetchone()
        numbers = row or {"call": 0, "change": 0}
        return cls(await thread_history(saver, thread_id, known=known), int(numbers["call"]), int(numbers["change"]))

    async def follow(self, saver: ThreadSaver, thread_id: str, asking: Collection[str]) -> list[Point]:
        """Read what has been added.

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
        late = [one for one in self.moments[-LATEST:] if one.point.step > 0 and not one.nodes]
        given = {"thread": thread_id, "call": self.call, "change": self.change}
        async with saver.connection() as connection:
            new = await read_points(connection, thread_id, after=last)
            only = [
                *(one.point.id for one in asked.values()),
                *(one.id for one in new),
                *(one.parent for one in (*new, *(behind.point for behind in late)) if one.parent),
            ]
            writes = await _writes(connection, saver, thread_id, only)
            calls = await _rows(connection, _NEW_CALLS, given)
            files = await _rows(connection, _NEW_FILES, given)
        for one in asked.values():
            one.asks = what_is_asked(writes.get((one.point.namespace, one.point.id), ())) or one.asks
        for one in late:
            made = writes.get((one.point.namespace, one.point.parent or ""), ())
            one.nodes, one.what = nodes_of(made), what_changed(one.point, made)
        added = [_moment(point, writes, {}) for point in new]
        self.moments = [*self.moments, *added]
        self._count(added, calls, files)
        return new

    def _newest(self, namespaces: Collection[str]) -> dict[str, Moment]:
        """The newest moments of some namespaces."""
        found: dict[str, Moment] = {}
        for one in reversed(self.moments):
            if len(found) == len(namespaces):
                break
            if one.point.namespace in namespaces:
                found.setdefault(one.point.namespace, one)
        return found

    def _count(self, added: Sequence[Moment], calls: Sequence[DictRow], files: Sequence[DictRow]) -> None:
        """Give calls and changes of files to the steps that made them, which are new."""
        self.call = max([self.call, *(int(row["number"]) for row in calls)])
        self.change = max([self.change, *(int(row["number"]) for row in files)])
        calls, files = [*self.early[0], *calls], [*self.early[1], *files]
        subtasks = {one.point.subtask or "" for one in added}
        children = {(one.point.namespace, one.point.parent): one for one in reversed(added)}
        self.early = (
            [row for row in calls if row["subtask"] not in subtasks],
            [row for row in files if (row["checkpoint_ns"], row["checkpoint_id"]) not in children],
        )
        _add_usage(added, calls)
        _add_files(children, files)


def _moment(
    point: Point, writes: Mapping[tuple[str, str], Sequence[Write]], told: Mapping[tuple[str, str], Moment]
) -> Moment:
    here = what_is_asked(writes.get((point.namespace, point.id), ()))
    old = told.get((point.namespace, point.id))
    if old is not None:
        return Moment(point, old.nodes, old.what, asks=here or old.asks)
    made = writes.get((point.namespace, point.parent or ""), ())
    return Moment(point, nodes_of(made), what_changed(point, made), asks=here)


def _untold(points: Sequence[Point], told: Mapping[tuple[str, str], Moment]) -> list[str]:
    """Checkpoints whose writes say something new: those that new points came of, and the newest of each namespace."""
    newest = {one.namespace: one.id for one in points}
    new = [one for one in points if (one.namespace, one.id) not in told]
    return [*newest.values(), *(one.id for one in new), *(one.parent for one in new if one.parent)]


def _add_usage(found: Sequence[Moment], calls: Iterable[Mapping[str, Any]]) -> None:
    """Give each call of a model to the step during which it was made."""
    by_subtask: dict[str, list[Moment]] = defaultdict(list)
    for one in found:
        by_subtask[one.point.subtask or ""].append(one)
    times: dict[str, list[datetime]] = {key: [one.point.made_at for one in group] for key, group in by_subtask.items()}
    for call in calls:
        group = by_subtask.get(str(call["subtask"])) or []
        if not group:
            continue
        # The step that made it was over at the first point after it.
        place = bisect_left(times[str(call["subtask"])], call["created_at"])
        one = group[min(place, len(group) - 1)]
        one.tokens += int(call["tokens"])
        cost: float | None = call["cost_usd"]
        one.cost_usd = None if cost is None or one.cost_usd is None else one.cost_usd + cost


def _add_files(children: Mapping[tuple[str, str | None], Moment], files: Iterable[Mapping[str, Any]]) -> None:
    """Give each change of a file to the point that its step led to, by the one it came of."""
    for row in files:
        changed = children.get((row["checkpoint_ns"], row["checkpoint_id"]))
        if changed is not None and row["path"] not in changed.files:
            changed.files.append(str(row["path"]))


async def _rows(connection: AsyncConnection[DictRow], query: Any, given: Mapping[str, Any]) -> list[DictRow]:
    return await (await connection.execute(query, given)).fetchall()


async def _writes(
    connection: AsyncConnection[DictRow], saver: ThreadSaver, thread_id: str, only: Sequence[str] | None
) -> dict[tuple[str, str], list[Write]]:
    """What tasks wrote, by the checkpoint at which they ran, of all or only some; contents only of what can be told."""
    given = {"thread": thread_id, "told": list(READ), "largest": LARGEST_TOLD, "only": only}
    cursor = await connection.execute(_WRITES, given)
    found: dict[tuple[str, str], list[Write]] = defaultdict(list)
    for row in await cursor.fetchall():
        value = None
        if row["blob"] is not None:
            value = saver.serde.loads_typed((str(row["type"]), bytes(row["blob"])))
        key = (str(row["checkpoint_ns"]), str(row["checkpoint_id"]))
        found[key].append(Write(str(row["task_id"]), str(row["task_path"]), str(row["channel"]), value))
    return found


_WRITES = """
SELECT checkpoint_ns, checkpoint_id, task_id, task_path, channel, type,
       CASE WHEN channel = ANY(%(told)s) AND length(blob) <= %(largest)s THEN blob END AS blob
FROM checkpoint_writes
WHERE thread_id = %(thread)s AND (%(only)s::text[] IS NULL OR checkpoint_id = ANY(%(only)s))
ORDER BY checkpoint_ns, checkpoint_id, task_path, task_id, idx
"""

_CALLS = """
SELECT subtask, created_at, input_tokens + output_tokens AS tokens, cost_usd
FROM model_calls WHERE thread_id = %(thread)s ORDER BY number
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
FROM model_calls WHERE thread_id = %(thread)s AND number > %(call)s ORDER BY number
"""

_NEW_FILES = """
SELECT checkpoint_ns, checkpoint_id, path, number FROM file_changes
WHERE thread_id = %(thread)s AND number > %(change)s
  AND checkpoint_id IS NOT NULL AND path NOT LIKE '.openmanus/%%' ORDER BY number
"""

_FORKS = "SELECT thread_id, origin FROM threads WHERE origin ->> 'thread' = %(thread)s ORDER BY created_at"

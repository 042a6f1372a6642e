"""Causality: the checkpoints of a thread that came before a point, and those that follow from it.

Time alone does not say it: while one subtask took a step, others took theirs, and those stay whatever becomes of it.
After a point came its own step, the later steps of its namespace and of those around it, what ran inside of them, and
the subtasks that depend on the one it belongs to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.langgraph_internals import NULL_TASK, call_in, is_pushed, pulled_node
from openmanus_graph.namespaces import LEVEL, dispatched, task_ids_in

Key = tuple[str, str]
"""Namespace and id of a checkpoint."""


@dataclass(frozen=True, slots=True)
class WritingTask:
    """A task that has written something at a checkpoint."""

    namespace: str
    checkpoint_id: str
    task_id: str
    path: str
    """Where in the step it was: by an edge, by a `Send` or by a call of a `@task`."""


@dataclass(frozen=True)
class ForkCut:
    """The checkpoints and tasks that a fork at a point takes over."""

    point: Point
    """The point; the fork goes on from it."""
    kept: frozenset[Key]
    """The checkpoints."""
    path: tuple[Point, ...]
    """The checkpoints that were being worked on at the point, the outermost first, the point last."""
    rerun: frozenset[tuple[str, str, str]]
    """Tasks (namespace, checkpoint, task) whose writes are left out, although their checkpoint is kept."""
    affected: frozenset[str] | None
    """Subtasks of the dispatch at hand whose work is cut: the point's and its dependants. `None`: no dispatch."""
    until: datetime | None
    """When that dispatch had ended; `None` if it has not."""

    @property
    def root(self) -> Point:
        """The checkpoint of the graph itself that the fork goes on from."""
        return self.path[0]


class Lineage:
    """The checkpoints of one thread, and which of them follows from which."""

    def __init__(self, points: Sequence[Point]) -> None:
        """Index a thread's points."""
        self.points = points
        self.by_key: dict[Key, Point] = {(point.namespace, point.id): point for point in points}

    def path_to(self, point: Point) -> tuple[Point, ...]:
        """The checkpoints that were being worked on at a point, the outermost first, the point last."""
        around = [self.by_key[key] for key in point.parents.items() if key in self.by_key and key[0] != point.namespace]
        return (*sorted(around, key=lambda level: _depth(level.namespace)), point)

    def ancestors(self, point: Point) -> set[str]:
        """The ids of the checkpoints before a point in its own namespace."""
        ids: set[str] = set()
        parent = point.parent
        while parent is not None and parent not in ids and (point.namespace, parent) in self.by_key:
            ids.add(parent)
            parent = self.by_key[point.namespace, parent].parent
        return ids

    def next_of(self, point: Point) -> Point | None:
        """The checkpoint that follows a point in its own namespace, the newest if there are several."""
        later = [
            candidate
            for candidate in self.points
            if candidate.namespace == point.namespace and candidate.parent == point.id
        ]
        return later[-1] if later else None

    def cut(self, point: Point, tasks: Iterable[WritingTask], affected: Collection[str] = ()) -> ForkCut:
        """The checkpoints and tasks that a fork at a point takes over.

        Args:
            point: The point.
            tasks: The tasks that have written at the checkpoints of `path_to(point)`.
            affected: The point's subtask and all that depend on it, if it is in one.
        """
        path = self.path_to(point)
        rerun = _rerun(path, tasks)
        stale = {task_id for _, _, task_id in rerun}
        before = {level.namespace: self.ancestors(level) for level in path}
        at = {level.namespace: level.id for level in path}
        kept = {
            (candidate.namespace, candidate.id)
            for candidate in self.points
            if self._stays(candidate, path, before, at, stale, frozenset(affected))
        }
        dispatching = next((level for level, inner in pairwise(path) if dispatches(level, inner)), None)
        after = None if dispatching is None else self.next_of(dispatching)
        return ForkCut(
            point=point,
            kept=frozenset(kept),
            path=path,
            rerun=rerun,
            affected=None if dispatching is None else frozenset(affected),
            until=None if after is None else after.made_at,
        )

    def _stays(
        self,
        candidate: Point,
        path: Sequence[Point],
        before: Mapping[str, set[str]],
        at: Mapping[str, str],
        stale: Collection[str],
        affected: Collection[str],
    ) -> bool:
        if candidate.namespace in at:
            return candidate.id == at[candidate.namespace] or candidate.id in before[candidate.namespace]
        around = [level for level in path if level.namespace in candidate.parents]
        if not around:
            return False
        level = around[-1]
        came_from = candidate.parents[level.namespace]
        if came_from in before[level.namespace]:
            return True
        if came_from != level.id or level is path[-1]:
            return False
        # It ran beside what led to the point.
        inside = candidate.namespace.removeprefix(level.namespace)
        if any(task_id in stale for task_id in task_ids_in(inside)):
            return False
        task = dispatched(candidate.namespace, level.namespace)
        return task is None or task.subtask not in affected


def dispatches(level: Point, inner: Point) -> bool:
    """Whether `inner` is (in) a subtask that the graph at `level` dispatched."""
    return dispatched(inner.namespace, level.namespace) is not None


def _rerun(path: Sequence[Point], tasks: Iterable[WritingTask]) -> frozenset[tuple[str, str, str]]:
    """The tasks around the point whose writes go: those it ran in, and calls their node made after theirs."""
    rerun: set[tuple[str, str, str]] = set()
    known = list(tasks)
    for level, inner in pairwise(path):
        here = [task for task in known if (task.namespace, task.checkpoint_id) == (level.namespace, level.id)]
        rerun |= {(level.namespace, level.id, name) for name in _around(level, inner, here)}
    return frozenset(rerun)


def _around(level: Point, inner: Point, here: Sequence[WritingTask]) -> set[str]:
    inside = inner.namespace.removeprefix(level.namespace).removeprefix(LEVEL)
    if dispatches(level, inner):
        # Results of subtasks are read from their own namespaces; what the dispatcher had of them is made again.
        return {task.task_id for task in here if task.task_id != NULL_TASK}
    named = set(task_ids_in(inside))
    if not named:  # a namespace that is the same at every step does not say which task it was
        node = inside.split(LEVEL, 1)[0]
        named = {task.task_id for task in here if pulled_node(task.path) == node}
        named |= {task.task_id for task in here if is_pushed(task.path)} if not named else set()
    callers = {task.path for task in here if task.task_id in named}
    places = {call[0]: call[1] for path in callers if (call := call_in(path))}
    for task in here:
        call = call_in(task.path)
        if call and call[0] in {*callers, *places} and call[1] >= places.get(call[0], 0):
            named.add(task.task_id)
    return named


def _depth(namespace: str) -> int:
    return namespace.count(LEVEL) + 1 if namespace else 0

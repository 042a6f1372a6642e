"""Rerun target: which step `rerun()` runs again, and from which point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.errors import UsageError
from openmanus_graph.namespaces import DISPATCHER, innermost_subtask
from openmanus_graph.stepping.record import StoredThread


@dataclass(frozen=True)
class RerunTarget:
    """A step to run again."""

    subtask: str
    """The subtask it is in; empty for the graph itself."""
    before: int
    """The number of the point it begins at."""
    committed: bool
    """Whether it was committed; if not, it simply runs in its thread."""


def step_to_rerun(
    points: Sequence[Point], record: StoredThread, *, subtask: str | None, last: str | None, cut: bool
) -> RerunTarget:
    """Resolve the step that a person means.

    Args:
        points: The thread's points, up to the cursor.
        record: What is stored of the thread.
        subtask: The subtask that a person named.
        last: The subtask that failed or was stepped last; `None` if nobody knows.
        cut: Whether the last run ended in the midst of a step, of `last` if that is known.

    Raises:
        UsageError: If there is no such step, or several are meant.
    """
    name = subtask if subtask is not None else last
    if name is None:
        name = _under_way(record) if cut else points[-1].subtask or "" if points else ""
    own = steps_of(points, name)
    cut = cut and last in (None, name) and name not in cast("Mapping[str, Any]", record.values.get("results") or {})
    if cut and own:
        return RerunTarget(name, own[-1].number, committed=False)
    before = next((point for point in own if point.id == own[-1].parent), None)
    if before is None:
        raise UsageError(
            f"There is no step of {name!r} to run again." if name else "There is no step to run again.",
            hint=_nearest(points, name) if name and not own else "Take a step first.",
        )
    return RerunTarget(name, before.number, committed=True)


def steps_of(points: Sequence[Point], subtask: str) -> list[Point]:
    """The points of a subtask in its newest round, or of the graph itself, without those of graphs inside of it."""
    if not subtask:
        return [point for point in points if not point.namespace]
    own = [point for point in points if point.subtask == subtask]
    newest = [point for point in own if innermost_subtask(point.namespace) == innermost_subtask(own[-1].namespace)]
    home = min((point.namespace for point in newest), key=len, default="")
    return [point for point in newest if point.namespace == home]


def _under_way(record: StoredThread) -> str:
    """The subtask whose step had begun when the process ended."""
    results = cast("Mapping[str, Any]", record.values.get("results") or {})
    open_ones = sorted(subtask for subtask in record.begun if subtask not in results)
    if DISPATCHER not in record.next or not open_ones:
        return ""
    if len(open_ones) > 1:
        raise UsageError(
            f"Several subtasks were under way: {', '.join(open_ones)}.", hint=f"Name one: rerun({open_ones[0]!r})."
        )
    return open_ones[0]


def _nearest(points: Sequence[Point], name: str) -> str:
    known = list(dict.fromkeys(point.subtask for point in points if point.subtask))
    near = get_close_matches(name, known, 3, 0.5) or known[:5]
    return f"The nearest are: {', '.join(near)}." if near else "No subtask has begun."

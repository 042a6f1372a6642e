"""Events: the one typed stream that every view reads.

They travel through LangGraph's `custom` stream as plain dicts, so `astream(..., stream_mode="custom")` of any graph
of ours yields them, and `openmanus-graph run --json` prints them, one a line. Each has a `type`, the `thread_id`, a
`time` (ISO 8601, UTC) and an `id` that stays the same when a suspended node repeats its beginning at a resume.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

EventType = Literal[
    "run_started",
    "plan_started",
    "subtask_started",
    "subtask_progress",
    "subtask_retrying",
    "subtask_waiting",
    "subtask_finished",
    "plan_finished",
    "run_finished",
]
"""`run_*` frame one process's work on a thread; `plan_*` one dispatch; `subtask_*` one subtask of it."""


class Event(TypedDict, total=False):
    """One thing that happened; which keys there are besides the first four depends on `type`."""

    type: EventType
    """What happened."""
    id: str
    """The same for the same happening, however often a resume repeats it."""
    thread_id: str
    """The thread it happened in."""
    time: str
    """When, ISO 8601 in UTC."""
    subtask: str
    """`subtask_*`: the subtask's id."""
    text: str
    """`subtask_progress`: what it is doing, in a few words."""
    attempt: int
    """`subtask_started`, `subtask_retrying`: which attempt, from 1."""
    delay_s: float
    """`subtask_retrying`: seconds until the next attempt."""
    status: str
    """`subtask_finished`, `plan_finished`, `run_finished`: how it ended."""
    error: str | None
    """`*_finished`, `subtask_retrying`: what went wrong, or `None`."""
    elapsed_s: float
    """`subtask_finished`, `run_finished`: seconds it took."""
    preview: str
    """`subtask_finished`: the beginning of its output."""
    question: dict[str, Any]
    """`subtask_waiting`: `id`, `kind`, `subtask` and `question` of what a person is asked."""
    subtasks: list[dict[str, Any]]
    """`plan_started`: id, goal, needs and what runs it, in plan order."""
    goal: str
    """`plan_started`: what the plan is for."""
    kept: list[str]
    """`plan_started`: subtasks whose committed results are kept."""
    counts: dict[str, int]
    """`plan_finished`: subtasks by status."""
    next: str
    """`run_finished`: the command that goes on, where there is one."""


Emit = Callable[[Event], None]
"""Sends one event to whoever watches the run."""


def now() -> str:
    """The present moment as results and events carry it: ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def seconds_between(start: str, end: str) -> float:
    """Seconds from one such moment to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()

"""A run for pictures: events at so many seconds after its start, and the rows that they fill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from openmanus_graph.drawing.timeline import TimelineRow
from openmanus_graph.events import Event

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def at(seconds: float, kind: str, subtask: str = "", **fields: Any) -> Event:
    """An event so many seconds after the start."""
    moment = (START + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    named = {"subtask": subtask} if subtask else {}
    return cast("Event", {"type": kind, "time": moment, "thread_id": "t", **named, **fields})


def done(seconds: float, subtask: str, status: str = "completed", **fields: Any) -> Event:
    """The event with which a subtask ends."""
    return at(seconds, "subtask_finished", subtask, status=status, **fields)


ROWS = [
    TimelineRow("a", "bash"),
    TimelineRow("b", "bash", ("a",)),
    TimelineRow("c", "bash", ("a",)),
    TimelineRow("d", "executor", ("b", "c")),
]


def a_run() -> list[Event]:
    """A run of all rows, decided by `a`, `c` and `d`."""
    return [
        at(0, "run_started"),
        at(1, "subtask_started", "a"),
        done(3, "a"),
        at(3, "subtask_started", "b"),
        at(3, "subtask_started", "c"),
        done(4, "b"),
        done(8, "c"),
        at(8, "subtask_started", "d"),
        done(9, "d"),
        at(9, "run_finished", status="completed"),
    ]

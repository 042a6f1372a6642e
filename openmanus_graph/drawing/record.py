"""Record: plan, events and costs of a thread, read from the store for pictures and reports."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from psycopg import sql

from openmanus_graph.checkpoints.progress import SubtaskProgress, plan_in, subtask_progress
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.standing import Standing, standing_of
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.checkpoints.usage import Spent, spent_in
from openmanus_graph.drawing.diagram import State
from openmanus_graph.drawing.timeline import Timeline, TimelineRow, timeline_of
from openmanus_graph.events import Event
from openmanus_graph.plan import Plan

MOST_EVENTS = 50_000
"""Events that are read; of more, the newest."""
_LONG = ["text", "preview", "args", "data", "subtasks", "plan", "question"]
"""Fields that a timeline does without, and that can be long."""
_ALL = sql.SQL("SELECT number, event FROM events WHERE thread_id = %(thread)s ORDER BY number DESC LIMIT %(most)s")
_SHORT = sql.SQL(
    "SELECT number, event - %(long)s::text[] AS event FROM events WHERE thread_id = %(thread)s"
    " ORDER BY number DESC LIMIT %(most)s"
)
_NOTED = sql.SQL(
    "SELECT active_s, (SELECT count(*) FROM events WHERE thread_id = %(thread)s) AS events"
    " FROM threads WHERE thread_id = %(thread)s"
)


@dataclass(frozen=True)
class Record:
    """One thread with its plan, events and costs, as of one moment."""

    thread: Thread
    plan: Plan | None
    """The plan of its newest request; `None` without one."""
    progress: list[SubtaskProgress]
    """How far its subtasks are, in plan order."""
    spent: list[Spent]
    """What its calls of models used."""
    standing: Standing
    """Where it stands, with the state's values, messages left out."""
    events: list[Event]
    """Everything that happened, each time it happened, oldest first."""
    left_out: int
    """How many older events there are besides."""
    moment: float
    """When it was read, in seconds since the epoch."""
    active_s: float | None = None
    """Seconds that its newest request has been at work, as last noted."""

    @property
    def values(self) -> Mapping[str, Any]:
        """The state's values, messages left out."""
        return self.standing.values

    @property
    def states(self) -> dict[str, State]:
        """State of every subtask, by id."""
        return {item.subtask.id: item.status for item in self.progress}

    @property
    def timeline(self) -> Timeline:
        """Timeline of the newest request that has a plan."""
        results = {str(item.subtask.id): item.result for item in self.progress if item.result is not None}
        rows = [
            TimelineRow(subtask.id, str(subtask.tool or subtask.agent), tuple(subtask.prerequisites()))
            for subtask in (self.plan.subtasks if self.plan else ())
        ]
        now = self.moment if self.thread.status == "running" else None
        events = newest_request(self.events) if rows else self.events
        title = self.thread.title or self.thread.thread_id
        return timeline_of(events, rows, results, title=title, now=now, active_s=self.active_s)


async def record_of(saver: ThreadSaver, thread: Thread, *, whole: bool = False) -> Record:
    """Read the record of a thread.

    Args:
        saver: The store.
        thread: The thread.
        whole: Whether to read the events' texts too, as a report needs them.
    """
    live = thread.status == "running"
    standing = await standing_of(saver, thread)
    if standing.error is not None:
        raise standing.error
    progress = await subtask_progress(saver, thread.thread_id, live=live)
    spent = await spent_in(saver, thread)
    given = {"thread": thread.thread_id, "most": MOST_EVENTS, "long": _LONG}
    async with saver.connection() as connection:
        rows = await (await connection.execute(_ALL if whole else _SHORT, given)).fetchall()
        noted = await (await connection.execute(_NOTED, given)).fetchone()
    events = [cast("Event", {**row["event"], "number": row["number"]}) for row in reversed(rows)]
    left_out = (int(noted["events"]) if noted else 0) - len(events)
    active_s = float(noted["active_s"]) if noted else None
    plan = plan_in(standing.values)
    return Record(thread, plan, progress, spent, standing, events, max(left_out, 0), time.time(), active_s)


def newest_request(events: Sequence[Event]) -> Sequence[Event]:
    """The events since the answer before the last dispatch: earlier requests may have had subtasks of the same ids."""
    dispatched = max((index for index, event in enumerate(events) if event.get("type") == "plan_started"), default=0)
    answered = [index for index, event in enumerate(events[:dispatched]) if event.get("type") == "answered"]
    return events[answered[-1] + 1 :] if answered else events

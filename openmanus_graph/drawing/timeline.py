"""Timeline: stretches of work, waits for people and waits for another attempt, from a thread's stored events.

Every process that worked on the thread left its own events, and every second how long it had been at work, so what was
under way when one was killed ends with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast

from openmanus_graph.drawing.diagram import State
from openmanus_graph.events import Event
from openmanus_graph.state import SubtaskResult

Kind = Literal["work", "person", "backoff"]
"""What a subtask was doing: its work, waiting for a person's answer, or waiting for its next attempt."""

ENDS: frozenset[str] = frozenset({"completed", "failed", "blocked", "skipped"})


@dataclass(frozen=True)
class Stretch:
    """A stretch of one kind without a break."""

    kind: Kind
    start: float
    """Seconds since the Unix epoch."""
    end: float


@dataclass(frozen=True)
class TimelineRow:
    """Stretches of one subtask, node or role."""

    key: str
    """Its id."""
    note: str = ""
    """What runs it."""
    needs: tuple[str, ...] = ()
    """What it waited for."""
    state: State = ""
    """What it came to, or stands at."""
    attempts: int = 0
    """How often it was tried."""
    times: int = 0
    """How often it ran, where that says nothing of failures: as a node in a loop does."""
    stretches: tuple[Stretch, ...] = ()
    """In order; empty if it never ran."""
    error: str = ""
    """Why it failed."""

    @property
    def end(self) -> float | None:
        """When it last did anything, in seconds since the epoch; `None` if it never ran."""
        return self.stretches[-1].end if self.stretches else None

    @property
    def worked(self) -> float:
        """Seconds that it was at work."""
        return sum(stretch.end - stretch.start for stretch in self.stretches if stretch.kind == "work")


@dataclass(frozen=True)
class Timeline:
    """Rows over time."""

    rows: tuple[TimelineRow, ...]
    title: str = ""
    critical: tuple[str, ...] = ()
    """Keys of the chain that the end had to wait for, first to last."""
    live: bool = False
    """Whether it still goes on."""

    @property
    def start(self) -> float:
        """When the first thing began, in seconds since the epoch; 0 if nothing did."""
        return min((row.stretches[0].start for row in self.rows if row.stretches), default=0.0)

    @property
    def end(self) -> float:
        """When the last thing ended."""
        return max((stretch.end for row in self.rows for stretch in row.stretches), default=self.start)

    @property
    def states(self) -> dict[str, State]:
        """State of every row, by key."""
        return {row.key: row.state for row in self.rows}


@dataclass
class _Process:
    """One process's work on the thread."""

    start: float
    active_s: float
    """Seconds that the request had been at work when it began."""

    def last_seen(self, active_s: Any) -> float:
        """When it was last at work, as far as it noted how long the request has been."""
        return self.start + (float(active_s) - self.active_s if isinstance(active_s, int | float) else 0.0)


@dataclass
class _Track:
    """A row in the making."""

    done: list[Stretch] = field(default_factory=list[Stretch])
    kind: Kind | None = None
    since: float = 0.0
    state: State = "pending"
    attempts: int = 0
    times: int = 0
    error: str = ""
    ended: set[str] = field(default_factory=set[str])
    """Ids of the node's tasks that have ended."""

    def turn(self, kind: Kind | None, moment: float) -> None:
        if self.kind is not None and moment >= self.since:
            self.done.append(Stretch(self.kind, self.since, moment))
        self.kind, self.since = kind, moment


def timeline_of(
    events: Iterable[Event],
    rows: Sequence[TimelineRow] = (),
    results: Mapping[str, SubtaskResult] | None = None,
    *,
    title: str = "",
    now: float | None = None,
    active_s: float | None = None,
) -> Timeline:
    """Timeline of the subtasks of a plan; without a plan, of a graph's nodes or the agent's roles.

    Args:
        events: The thread's events, repeated ones included, oldest first.
        rows: The subtasks with id, note and needs, in plan order; empty where there is no plan.
        results: Committed results by id; what events do not tell, such as that of a kept subtask, is taken from them.
        title: What it is of.
        now: The present moment, in seconds since the epoch, where a runner holds the thread, so that what is
            under way goes on until then; `None` where nobody does.
        active_s: Seconds that the request has been at work, as its last process noted; `None` if that is not known.
    """
    tracks: dict[str, _Track] = {row.key: _Track() for row in rows}
    notes: dict[str, str] = {}
    last, process = _follow(events, tracks, notes, planned=bool(rows))
    stop = now if now is not None else max(last, process.last_seen(active_s)) if process else last
    for key, track in tracks.items():
        if now is None and track.state == "running":
            track.state = "pending"
        track.turn(None, stop)
        _take_result(track, (results or {}).get(key))
    known = {row.key: row for row in rows}
    made = tuple(
        replace(
            known.get(key) or TimelineRow(key, notes.get(key, "")),
            state=track.state,
            attempts=track.attempts,
            times=track.times,
            stretches=tuple(track.done),
            error=track.error,
        )
        for key, track in tracks.items()
    )
    return Timeline(made, title, critical_path(made), now is not None)


def _follow(
    events: Iterable[Event], tracks: dict[str, _Track], notes: dict[str, str], *, planned: bool
) -> tuple[float, _Process | None]:
    """Add all events to the tracks; return the moment of the last one, and the process without a noted end."""
    last = 0.0
    process: _Process | None = None
    for event in events:
        moment = _seconds(event.get("time"))
        if moment is None:
            continue
        if event.get("type") == "run_started":
            # A process that was killed left no `run_finished`: what it did ends with the last that is known of it.
            seen = process.last_seen(event.get("active_s")) if process else 0.0
            _broken_off(tracks.values(), min(max(last, seen) or moment, moment))
            active = event.get("active_s")
            process = None if active is None else _Process(moment, active)
        elif event.get("type") == "run_finished":
            _broken_off(tracks.values(), moment)
            process = None
        elif planned:
            track = tracks.get(str(event.get("subtask", "")))
            if track is not None:
                _subtask_event(track, event, moment)
        else:
            _other_event(tracks, notes, event, moment)
        last = max(last, moment)
    return last, process


def _take_result(track: _Track, result: SubtaskResult | None) -> None:
    if result is None:
        return
    track.state, track.error = result["status"], result["error"] or track.error
    track.attempts = max(track.attempts, result["attempts"])
    start, end = _seconds(result["started_at"]), _seconds(result["finished_at"])
    if not track.done and start is not None and end is not None:
        track.done.append(Stretch("work", start, max(start, end)))


def _seconds(moment: Any) -> float | None:
    try:
        return datetime.fromisoformat(str(moment)).timestamp()
    except ValueError:
        return None


def _broken_off(tracks: Iterable[_Track], moment: float) -> None:
    """End the stretches of work of a process that ended; questions stay open."""
    for track in tracks:
        if track.kind in ("work", "backoff"):
            track.turn(None, moment)
            track.state = "pending"


def _subtask_event(track: _Track, event: Event, moment: float) -> None:
    kind = event.get("type")
    if kind == "subtask_started":
        # Also a node that asked somebody: it begins again once the answer is there.
        track.turn("work", moment)
        track.state, track.attempts = "running", int(event.get("attempt", track.attempts + 1))
    elif kind == "subtask_waiting":
        track.turn("person", moment)
        track.state = "waiting"
    elif kind == "subtask_retrying":
        track.turn("backoff", moment)
        track.error = str(event.get("error") or "")
    elif kind == "subtask_finished":
        status = str(event.get("status"))
        track.turn(None, moment)
        track.state = cast("State", status) if status in ENDS else "failed"
        track.error = str(event.get("error") or "")
    elif track.kind == "person" and kind in ("tool_called", "tool_returned", "model_started", "subtask_progress"):
        track.turn("work", moment)
        track.state = "running"


def _other_event(tracks: dict[str, _Track], notes: dict[str, str], event: Mapping[str, Any], moment: float) -> None:
    """Add an event of a graph that is not ours, or of the agent's roles by their calls of models."""
    kind = str(event.get("type"))
    if kind in ("node_started", "node_finished"):
        key = str(event.get("node"))
    elif kind in ("model_started", "model_finished"):
        key = str(event.get("role"))
        notes[key] = str(event.get("model") or notes.get(key, ""))
    else:
        return
    track = tracks.setdefault(key, _Track())
    task = str(event.get("id", "")).rpartition("/")[0]
    if kind.endswith("started"):
        if kind == "node_started" and task in track.ended:
            return  # its result is kept: a process that goes on with the step names it again and runs it no more
        track.times += track.kind != "person"  # once the answer is there, a node begins again
        track.turn("work", moment)
        track.state = "running"
        return
    status = "failed" if event.get("error") else str(event.get("status") or "completed")
    track.turn("person" if status == "waiting" else None, moment)
    track.state = cast("State", status) if status in (*ENDS, "waiting") else "failed"
    track.error = str(event.get("error") or "")
    if status == "completed":
        track.ended.add(task)


def critical_path(rows: Sequence[TimelineRow]) -> tuple[str, ...]:
    """The chain of rows that the end had to wait for: from the last to end, back over what each waited for longest.

    Args:
        rows: What was done, with what each waited for.

    Returns:
        Keys, first to last; empty if the last waited for nothing.
    """
    ended = {row.key: row.end for row in rows if row.end is not None}
    by_key = {row.key: row for row in rows}
    if not ended or not any(row.needs for row in rows):
        return ()
    # Of two that ended together the one earlier in the plan counts, so that the picture is always the same.
    chain = [max(ended, key=lambda key: (ended[key], -list(by_key).index(key)))]
    while True:
        before = [need for need in by_key[chain[-1]].needs if need in ended and need not in chain]
        if not before:
            return tuple(reversed(chain)) if len(chain) > 1 else ()
        chain.append(max(before, key=lambda key: ended[key]))

"""Timeline: what a thread did when, from its stored events: work, waits for people and for another attempt.

Every process that worked on the thread left its own events, so what was under way when one was killed ends with it.
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
    """One thing done without a break."""

    kind: Kind
    start: float
    """Seconds since the Unix epoch."""
    end: float


@dataclass(frozen=True)
class Row:
    """All that one subtask, node or role did."""

    key: str
    """Its id."""
    note: str = ""
    """What runs it."""
    needs: tuple[str, ...] = ()
    """What it waited for."""
    state: State = ""
    """What it came to."""
    attempts: int = 0
    stretches: tuple[Stretch, ...] = ()
    """In order; empty if it never ran."""
    error: str = ""
    """Why it failed."""

    @property
    def end(self) -> float | None:
        """When it last did anything, in seconds since the epoch; `None` if it never ran."""
        return self.stretches[-1].end if self.stretches else None


@dataclass(frozen=True)
class Timeline:
    """Rows over time."""

    rows: tuple[Row, ...]
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
        """What every row came to, by key."""
        return {row.key: row.state for row in self.rows}


@dataclass
class _Track:
    """A row in the making."""

    done: list[Stretch] = field(default_factory=list[Stretch])
    kind: Kind | None = None
    since: float = 0.0
    state: State = "pending"
    attempts: int = 0
    error: str = ""

    def turn(self, kind: Kind | None, moment: float) -> None:
        if self.kind is not None and moment >= self.since:
            self.done.append(Stretch(self.kind, self.since, moment))
        self.kind, self.since = kind, moment


def timeline_of(
    events: Iterable[Event],
    rows: Sequence[Row] = (),
    results: Mapping[str, SubtaskResult] | None = None,
    *,
    title: str = "",
    now: float | None = None,
) -> Timeline:
    """What the subtasks of a plan did, or, without a plan, the nodes of a graph or the roles of the agent.

    Args:
        events: The thread's events, repeated ones included, oldest first.
        rows: The subtasks with id, note and needs, in plan order; empty where there is no plan.
        results: Committed results by id; what events do not tell, such as that of a kept subtask, is taken from them.
        title: What it is of.
        now: The present moment, in seconds since the epoch, where a runner holds the thread, so that what is
            under way goes on until then; `None` where nobody does.
    """
    tracks: dict[str, _Track] = {row.key: _Track() for row in rows}
    notes: dict[str, str] = {}
    last = 0.0
    for event in events:
        moment = _seconds(event.get("time"))
        if moment is None:
            continue
        if event.get("type") in ("run_started", "run_finished"):
            # A process that was killed left no `run_finished`: what it did ends with the last that is known of it.
            _broken_off(tracks.values(), moment if event.get("type") == "run_finished" else last or moment)
        elif rows:
            track = tracks.get(str(event.get("subtask", "")))
            if track is not None:
                _subtask_event(track, event, moment)
        else:
            _other_event(tracks, notes, event, moment)
        last = max(last, moment)
    for key, track in tracks.items():
        if now is None and track.state == "running":
            track.state = "pending"
        track.turn(None, now if now is not None else last)
        _take_result(track, (results or {}).get(key))
    known = {row.key: row for row in rows}
    made = tuple(
        replace(
            known.get(key) or Row(key, notes.get(key, "")),
            state=track.state,
            attempts=track.attempts,
            stretches=tuple(track.done),
            error=track.error,
        )
        for key, track in tracks.items()
    )
    return Timeline(made, title, critical_path(made), now is not None)


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
    """A process ended: what was at work stopped there; a question stays open."""
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
    """Nodes of a graph that is not ours, or the agent's roles by their calls of models."""
    kind = str(event.get("type"))
    if kind in ("node_started", "node_finished"):
        key = str(event.get("node"))
    elif kind in ("model_started", "model_finished"):
        key = str(event.get("role"))
        notes[key] = str(event.get("model") or notes.get(key, ""))
    else:
        return
    track = tracks.setdefault(key, _Track())
    if kind.endswith("started"):
        track.turn("work", moment)
        track.state, track.attempts = "running", track.attempts + 1
        return
    track.turn(None, moment)
    status = str(event.get("status") or "completed")
    track.state = cast("State", status) if status in (*ENDS, "waiting") else "failed"
    track.error = str(event.get("error") or "")
    if event.get("error"):
        track.state = "failed"


def critical_path(rows: Sequence[Row]) -> tuple[str, ...]:
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

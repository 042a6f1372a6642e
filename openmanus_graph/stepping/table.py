"""Table: steps of a thread with their time and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from openmanus_graph.checkpoints.history.history import Moment
from openmanus_graph.graphs.subtask import BACKOFF
from openmanus_graph.namespaces import plain_namespace
from openmanus_graph.stepping.hold_point import FinishedNode
from openmanus_graph.stepping.record import StoredThread
from openmanus_graph.stepping.view import Branch, HistoryItem, Row


def table_of(
    moments: Sequence[Moment], ran: Sequence[FinishedNode], branches: Sequence[Branch], record: StoredThread
) -> list[Row]:
    """Steps of a thread; those that are next or run come last.

    Args:
        moments: The thread's history.
        ran: Nodes that this stepper has run, by their end.
        branches: Where the run stands.
        record: What is stored of the thread.
    """
    if not moments:  # a store that keeps no history that could be read
        return [_done(finished) for finished in ran] + [_standing(branch, {}) for branch in branches]
    timed = _seconds(moments, ran)
    attempts: dict[str, int] = {}
    rows: list[Row] = []
    last: dict[str, Row] = {}
    for moment in moments:
        if not moment.nodes or moment.point.source == "input":
            continue
        subtask = moment.point.subtask or ""
        if subtask and (BACKOFF in moment.nodes or subtask not in attempts):
            attempts[subtask] = attempts.get(subtask, 0) + 1
        row = Row(
            number=moment.point.number,
            node=", ".join(dict.fromkeys(moment.nodes)),
            subtask=subtask,
            status="done",
            attempt=attempts.get(subtask, 0) if subtask else 0,
            seconds=timed.get(moment.point.number),
            tokens=moment.tokens,
            cost_usd=moment.cost_usd,
            what=moment.what,
        )
        rows.append(row)
        if subtask:
            last[subtask] = row
    for key, result in cast("Mapping[str, Any]", record.values.get("results") or {}).items():
        if key in last:
            last[key]["status"] = str(result["status"])
    return rows + [_standing(branch, attempts) for branch in branches]


def history_of(moments: Sequence[Moment], cursor: int | None) -> list[HistoryItem]:
    """A thread's history as views show it.

    Args:
        moments: It.
        cursor: The number of the point that is looked at; `None`: the newest.
    """
    here = moments[-1].point.number if cursor is None and moments else cursor
    return [cast("HistoryItem", {**moment.as_json(), "current": moment.point.number == here}) for moment in moments]


def _done(finished: FinishedNode) -> Row:
    return Row(
        number=None,
        node=finished.node,
        subtask="",
        status="done",
        attempt=0,
        seconds=finished.seconds,
        tokens=0,
        cost_usd=0.0,
        what="",
    )


def _standing(branch: Branch, attempts: Mapping[str, int]) -> Row:
    return Row(
        number=None,
        node=branch["node"],
        subtask=branch["name"],
        status=branch["status"],
        attempt=max(attempts.get(branch["name"], 1), 1) if branch["name"] else 0,
        seconds=None,
        tokens=0,
        cost_usd=0.0,
        what="",
    )


def _seconds(moments: Sequence[Moment], ran: Sequence[FinishedNode]) -> dict[int, float]:
    """Seconds of the points that this stepper led to: the longest of the nodes that ran side by side."""
    waiting: dict[tuple[str, str], list[FinishedNode]] = {}
    for finished in ran:
        waiting.setdefault((finished.namespace, finished.node), []).append(finished)
    seconds: dict[int, float] = {}
    for moment in moments:
        made = moment.point.made_at.timestamp()
        for node in moment.nodes:
            own = waiting.get((plain_namespace(moment.point.namespace), node), [])
            while own and own[0].ended_at <= made:
                took = own.pop(0)
                seconds[moment.point.number] = max(seconds.get(moment.point.number, 0.0), took.seconds)
    return seconds

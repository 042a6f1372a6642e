"""Table: every step of a thread, what it took and what it cost."""

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
    """The steps of a thread, those that stand or run last.

    Args:
        moments: The thread's history.
        ran: Nodes that this stepper has run, by their end.
        branches: Where the run stands.
        record: What is stored of the thread.
    """
    if not moments:  # a store that keeps no history that could be read
        return [_done(one) for one in ran] + [_standing(one, {}) for one in branches]
    timed = _seconds(moments, ran)
    attempts: dict[str, int] = {}
    rows: list[Row] = []
    last: dict[str, Row] = {}
    for one in moments:
        if not one.nodes or one.point.source == "input":
            continue
        subtask = one.point.subtask or ""
        if subtask and (BACKOFF in one.nodes or subtask not in attempts):
            attempts[subtask] = attempts.get(subtask, 0) + 1
        row = Row(
            number=one.point.number,
            node=", ".join(dict.fromkeys(one.nodes)),
            subtask=subtask,
            status="done",
            attempt=attempts.get(subtask, 0) if subtask else 0,
            seconds=timed.get(one.point.number),
            tokens=one.tokens,
            cost_usd=one.cost_usd,
            what=one.what,
        )
        rows.append(row)
        if subtask:
            last[subtask] = row
    for key, result in cast("Mapping[str, Any]", record.values.get("results") or {}).items():
        if key in last:
            last[key]["status"] = str(result["status"])
    return rows + [_standing(one, attempts) for one in branches]


def history_of(moments: Sequence[Moment], cursor: int | None) -> list[HistoryItem]:
    """A thread's history as it is shown.

    Args:
        moments: It.
        cursor: The number of the point that is looked at; `None`: the newest.
    """
    here = moments[-1].point.number if cursor is None and moments else cursor
    return [cast("HistoryItem", {**one.as_json(), "current": one.point.number == here}) for one in moments]


def _done(one: FinishedNode) -> Row:
    return Row(
        number=None,
        node=one.node,
        subtask="",
        status="done",
        attempt=0,
        seconds=one.seconds,
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
    for one in ran:
        waiting.setdefault((one.namespace, one.node), []).append(one)
    found: dict[int, float] = {}
    for moment in moments:
        made = moment.point.made_at.timestamp()
        for node in moment.nodes:
            own = waiting.get((plain_namespace(moment.point.namespace), node), [])
            while own and own[0].ended_at <= made:
                took = own.pop(0)
                found[moment.point.number] = max(found.get(moment.point.number, 0.0), took.seconds)
    return found

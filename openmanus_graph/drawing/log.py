"""Log: messages, calls and results of a run, subtask by subtask, for a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from openmanus_graph.checkpoints.progress import SubtaskProgress
from openmanus_graph.display_text import counted, in_flight_text
from openmanus_graph.drawing.label import escaped
from openmanus_graph.drawing.page import block, clipped_text, muted, status_text
from openmanus_graph.drawing.record import Record
from openmanus_graph.drawing.scale import short_time
from openmanus_graph.drawing.timeline import TimelineRow
from openmanus_graph.events import Event, Usage
from openmanus_graph.usage import add_usage

MOST_ENTRIES = 400
"""Entries of one subtask that are shown."""
MOST_LOG = 3_000_000
"""Characters of all entries together; then come only counts."""
CUT_AT = frozenset({160, 300})
"""Characters of a tool's and of a node's result that events have; one that is as long was cut."""

_TOLD = frozenset(
    {"model_finished", "tool_called", "tool_returned", "subtask_verified", "subtask_waiting", "question_asked"}
    | {"subtask_retrying", "decided", "plan_refused", "budget_reached", "warned", "node_finished", "site_allowed"}
)


class _Room:
    """Number of characters that may still be written."""

    def __init__(self, characters: int) -> None:
        self.left = characters


def log_sections(record: Record) -> Iterator[str]:
    """Events outside of subtasks, such as the agent's decisions or a graph's own nodes; then each subtask.

    Args:
        record: What the store has of the thread, read with `whole=True`.
    """
    log: dict[str, dict[str, Event]] = {}
    for event in record.events:
        asks = event.get("type") == "node_finished" and event.get("status") == "waiting"  # told as its question
        if event.get("type") in _TOLD and not asks:
            # One that a resume repeated is told once, as it last was.
            log.setdefault(str(event.get("subtask", "")), {})[str(event.get("id"))] = event
    room = _Room(MOST_LOG)
    if record.left_out:
        yield f'<p class="muted">{counted(record.left_out, "older event")} left out.</p>'
    own = list(log.pop("", {}).values())
    if own:
        roles = any("role" in event for event in own)
        yield f"<h2>{'Coordinator, planner and reporter' if roles else 'What happened'}</h2>"
        count = counted(len(own), "entry", "entries")
        yield f"<details{' open' * (not record.progress)}><summary>{count}</summary>{''.join(_entries(own, room))}"
        yield "</details>"
    known = {item.subtask.id for item in record.progress}
    if record.progress or log:
        yield "<h2>Subtasks</h2>"
    rows = {row.key: row for row in record.timeline.rows}
    used: dict[str, Usage] = {}
    for spent in record.spent:
        used[spent.subtask] = add_usage(used.get(spent.subtask), spent.usage)
    for item in record.progress:
        key = item.subtask.id
        yield _subtask(item, rows.get(key), used.get(key), list(log.get(key, {}).values()), room)
    for key, events in log.items():
        if key not in known:
            entries = "".join(_entries(list(events.values()), room))
            yield f"<details><summary>{escaped(key)} (of an earlier plan)</summary>{entries}</details>"


def _subtask(
    item: SubtaskProgress, row: TimelineRow | None, used: Usage | None, events: Sequence[Event], room: _Room
) -> str:
    subtask, result = item.subtask, item.result
    runs = str(subtask.tool or subtask.agent)
    goal = f' <bdi class="goal">{clipped_text(subtask.goal, 200)}</bdi>' if subtask.goal else ""
    parts = [f"<summary>{status_text(item.status)} <b>{escaped(subtask.id)}</b> {muted(runs)}{goal}</summary>"]
    parts.append(f"<p>{muted(_facts(item, row, used))}</p>")
    if len(subtask.goal) > 200:
        parts.append(f"<h3>Goal</h3>{block(subtask.goal)}")
    changed = None if result is None else result.get("args")
    if result is not None and changed is not None:
        who = escaped(result.get("args_by") or "a person")
        parts.append(f"<h3>Arguments, as {who} changed them</h3>{block(changed)}")
    if subtask.args:
        head = "Arguments" if changed is None else "Arguments in the plan"
        parts.append(f"<h3>{head}</h3>{block(subtask.args)}")
    if result is not None:
        if result["error"]:
            parts.append(f"<h3>Why not</h3>{block(result['error'])}")
        if result["output"] is not None:
            parts.append(f"<h3>Output</h3>{_output(result['output'], result.get('output_file'))}")
        if sources := result.get("sources"):
            parts.append("<h3>Read</h3>" + block("\n".join(sources)))
        if result.get("verified_why"):
            passed = "passed" if result.get("verified") else "not passed"
            parts.append(f"<h3>Check: {passed}</h3>{block(result.get('verified_why'))}")
    if events:
        parts += ["<h3>What happened</h3>", *_entries(events, room)]
    opened = " open" if item.status == "failed" else ""
    return f'<details id="subtask-{escaped(subtask.id)}"{opened}>{"".join(parts)}</details>'


def _facts(item: SubtaskProgress, row: TimelineRow | None, used: Usage | None) -> str:
    """Prerequisites, time at work, attempts and usage of a subtask."""
    needs = item.subtask.prerequisites()
    facts = [f"after {', '.join(needs)}" if needs else "needs nothing"]
    if row is not None and row.worked > 0:
        facts.append(f"{short_time(row.worked)} at work")
    if row is not None and row.attempts > 1:
        facts.append(f"{row.attempts} tries")
    if used is not None:
        facts.append(used_text(used))
    return " · ".join(facts)


def used_text(usage: Usage) -> str:
    """Usage of models in a line."""
    cost = "unknown cost" if usage["cost_usd"] is None else f"${usage['cost_usd']:.4f}"
    tokens = counted(usage["input_tokens"] + usage["output_tokens"], "token")
    return f"{counted(usage['calls'], 'model call')}{in_flight_text(usage)}, {tokens}, {cost}"


def _output(output: Any, file: str | None) -> str:
    """An output, or the beginning of one that was kept in a file."""
    if file is None or not isinstance(output, dict) or "preview" not in output:
        return block(output)
    kept = cast("dict[str, Any]", output)
    rest = f"The beginning of {int(kept.get('characters') or 0):,} characters, which are in {file}."
    return f"{block(str(kept['preview']) + '…')}<p>{muted(rest)}</p>"


def _entries(events: Sequence[Event], room: _Room) -> Iterator[str]:
    for count, event in enumerate(events):
        if count >= MOST_ENTRIES or room.left <= 0:
            yield f'<p class="muted">… and {len(events) - count:,} more.</p>'
            return
        text = _entry(event)
        room.left -= len(text)
        yield text


def _entry(event: Event) -> str:
    head, detail = _head_and_detail(event)
    took = f" {muted(short_time(event['elapsed_s']))}" if "elapsed_s" in event else ""
    when = f"{muted(str(event.get('time', ''))[11:19])} "
    return f'<div class="entry">{when}<b>{escaped(head)}</b>{took}{block(detail) if detail else ""}</div>'


def _head_and_detail(event: Event) -> tuple[str, Any]:
    """Title of an event, and its text or value to read."""
    kind = str(event.get("type"))
    detail: Any = event.get("text") or event.get("error") or _preview(event)
    if kind == "model_finished":
        return f"{event.get('role')} {'said' if detail else 'replied without words'}", detail
    if kind == "tool_called":
        return f"called {event.get('tool')}", event.get("args") or {}
    if kind == "tool_returned":
        failed = event.get("error")
        return f"{event.get('tool')} {'failed' if failed else 'returned'}", failed or _preview(event)
    if kind == "node_finished":
        return f"{event.get('node')} {event.get('status') or 'ended'}", detail
    if kind in ("subtask_waiting", "question_asked"):
        return "asked", (event.get("question") or {}).get("question", "")
    if kind == "decided":
        return f"decided: {event.get('decision')}", detail
    if kind == "plan_refused":
        return "the plan was refused", "\n".join(event.get("problems") or [])
    if kind == "subtask_retrying":
        return f"failed, and is tried again in {short_time(event.get('delay_s') or 0.0)}", detail
    if kind == "subtask_verified":
        passed = event.get("verified")
        return f"checked: {'nothing to check by' if passed is None else 'passed' if passed else 'not passed'}", detail
    if kind == "site_allowed":
        return "a person allowed a site for the request", detail
    if kind == "budget_reached":
        return f"the budget {event.get('budget')} is used up", detail
    return "warning" if kind == "warned" else kind.replace("_", " "), detail


def _preview(event: Event) -> str:
    preview = str(event.get("preview") or "")
    return f"{preview}…" if len(preview) in CUT_AT else preview

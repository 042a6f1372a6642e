"""Report: a run as one self-contained HTML page: DAG, Gantt, messages, tool calls, artefacts and costs.

Everything that came from models, tools, pages and people is escaped, and the page's own policy forbids scripts and
whatever would have to be fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, cast

from openmanus_graph.display_text import counted
from openmanus_graph.drawing.artefacts import Artefact, artefacts_in
from openmanus_graph.drawing.gantt import gantt_svg
from openmanus_graph.drawing.label import escaped, plain
from openmanus_graph.drawing.log import log_sections, used_text
from openmanus_graph.drawing.page import LONGEST, block, clipped_text, muted, page, status_text
from openmanus_graph.drawing.plan import plan_svg
from openmanus_graph.drawing.record import Record
from openmanus_graph.drawing.scale import moment_text
from openmanus_graph.events import Usage
from openmanus_graph.usage import NO_USAGE, add_usage

LARGEST_DRAWN = 600
"""Subtasks up to which the DAG is drawn."""
LONGEST_TITLE = 160
MOST_REQUESTS = 100


def report_html(record: Record) -> str:
    """The report of a thread.

    Args:
        record: What the store has of it, read with `whole=True`.
    """
    artefacts, more = artefacts_in(record.thread.workspace)
    title = _title(record)
    sections = [
        *_summary(record, title),
        *_requests(record),
        *_pictures(record, title),
        *log_sections(record),
        *_state(record),
        *_artefacts(artefacts, more),
        *_costs(record),
    ]
    return page(title, sections)


def _title(record: Record) -> str:
    """Task of the thread; the list of threads keeps only its beginning."""
    title = plain(record.thread.title) or record.thread.thread_id
    known = [str(record.values.get("task") or ""), record.plan.goal if record.plan else ""]
    full = next((text for text in map(plain, known) if text.startswith(title)), title)
    if len(full) <= LONGEST_TITLE:
        return full
    return full[:LONGEST_TITLE].rsplit(" ", 1)[0].rstrip(" ,;:.(") + "…"


def _total(record: Record) -> Usage:
    return reduce(add_usage, (spent.usage for spent in record.spent), NO_USAGE)


def _summary(record: Record, title: str) -> Iterator[str]:
    thread = record.thread
    yield f'<h1 dir="auto">{escaped(title)}</h1>'
    facts = [f"Thread <code>{escaped(thread.thread_id)}</code>", status_text(thread.status)]
    facts.append(
        f"begun {thread.created_at:%Y-%m-%d %H:%M:%S %Z}, last touched {thread.updated_at:%Y-%m-%d %H:%M:%S %Z}"
    )
    if thread.status == "running":
        facts.append(f"as of {moment_text(record.moment)}")
    if thread.status in ("stopped", "paused"):
        facts.append(escaped(record.standing.text))
    if record.progress:
        done = sum(item.status == "completed" for item in record.progress)
        facts.append(f"{done} of {counted(len(record.progress), 'subtask')} completed")
    if record.spent:
        facts.append(escaped(used_text(_total(record))))
    if thread.origin is not None:
        origin = f"{thread.origin['thread']}@{thread.origin['number']}"
        facts.append(f"forked from <code>{escaped(origin)}</code>")
    yield f"<p>{' · '.join(facts)}</p>"
    if thread.error:
        yield f"<h3>What ended it</h3>{block(thread.error)}"
    for question in thread.questions:
        yield f"<h3>It waits for an answer</h3>{block(question['question'])}"


def _requests(record: Record) -> Iterator[str]:
    values = record.values
    requests = [(str(earlier.get("task", "")), str(earlier.get("answer") or "")) for earlier in _earlier(values)]
    task, answer = values.get("task"), values.get("answer")
    if task and not (requests and requests[-1][0] == task and record.thread.finished):
        requests.append((str(task), str(answer or "") if record.thread.finished else ""))
    elif requests and answer and record.thread.finished:
        requests[-1] = (requests[-1][0], str(answer))  # whole, where the earlier ones are clipped
    if not requests:
        return
    yield "<h2>Messages</h2>"
    if len(requests) > MOST_REQUESTS:
        yield f'<p class="muted">{counted(len(requests) - MOST_REQUESTS, "earlier request")} left out.</p>'
    for asked, answered in requests[-MOST_REQUESTS:]:
        yield f'<div class="entry"><b>Asked</b>{block(asked)}</div>'
        if answered:
            yield f'<div class="entry"><b>Answered</b>{block(answered, 4 * LONGEST)}</div>'


def _earlier(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    requests = values.get("earlier")
    if not isinstance(requests, list):
        return []
    return [request for request in cast("list[Any]", requests) if isinstance(request, dict)]


def _pictures(record: Record, title: str) -> Iterator[str]:
    timeline = record.timeline
    if record.plan is not None:
        yield "<h2>Plan</h2>"
        for text in dict.fromkeys((record.plan.name, record.plan.goal)):
            if text and plain(text) != title:
                yield f'<p dir="auto">{clipped_text(text, 1000)}</p>'
        if len(record.plan.subtasks) <= LARGEST_DRAWN:
            picture = plan_svg(record.plan, record.states, timeline.critical, headline=False)
            yield f'<div class="wide">{picture}</div>'
        else:
            count = len(record.plan.subtasks)
            yield f'<p class="muted">The plan of {count} subtasks is too large to be drawn here.</p>'
    if any(row.stretches for row in timeline.rows):
        yield f'<h2>Timeline</h2><div class="wide">{gantt_svg(timeline, headline=False)}</div>'


def _state(record: Record) -> Iterator[str]:
    """State of a user's own graph at its end; plan and messages show that of ours."""
    ours = record.plan is not None or "task" in record.values
    values = {key: value for key, value in record.values.items() if ":" not in key and not key.startswith("__")}
    if values and not ours:
        yield f"<h2>State</h2>{block(values, 4 * LONGEST)}"


def _artefacts(artefacts: Sequence[Artefact], more: int) -> Iterator[str]:
    if not artefacts:
        return
    yield "<h2>Artefacts</h2>"
    for artefact in artefacts:
        head = f"<code>{escaped(artefact.path)}</code> {muted(counted(artefact.size, 'byte'))}"
        if artefact.image is not None:
            image = f'<img alt="{escaped(artefact.path)}" src="{escaped(artefact.image)}">'
            yield f"<details><summary>{head}</summary>{image}</details>"
        elif artefact.text is not None:
            cut = artefact.size - len(artefact.text.encode())
            end = f"<p>{muted('… ' + counted(cut, 'more byte'))}</p>" if cut > 0 else ""
            text = f'<pre dir="auto">{escaped(artefact.text)}</pre>'
            yield f"<details><summary>{head}</summary>{text}{end}</details>"
        else:
            yield f'<div class="entry">{head}</div>'
    if more:
        yield f'<p class="muted">… and {counted(more, "more file")}.</p>'


def _costs(record: Record) -> Iterator[str]:
    if not record.spent:
        return
    yield '<h2>Costs</h2><div class="wide"><table>'
    yield "<tr><th>Role</th><th>Subtask</th><th>Model</th>"
    heads = ("Calls", "Tokens in", "Cached", "Tokens out", "Seconds", "US$")
    yield "".join(f'<th class="num">{head}</th>' for head in heads) + "</tr>"
    for spent in record.spent[:1000]:
        names = "".join(f"<td>{clipped_text(name, 120)}</td>" for name in (spent.role, spent.subtask, spent.model))
        yield f"<tr>{names}{_numbers(spent.usage, spent.elapsed_s)}</tr>"
    if len(record.spent) > 1000:
        yield f'<tr><td colspan="9" class="muted">… and {counted(len(record.spent) - 1000, "more row")}</td></tr>'
    elapsed = sum(spent.elapsed_s for spent in record.spent)
    yield f'<tr><th colspan="3">In all</th>{_numbers(_total(record), elapsed)}</tr></table></div>'


def _numbers(usage: Usage, elapsed_s: float) -> str:
    cost = "unknown" if usage["cost_usd"] is None else f"{usage['cost_usd']:.4f}"
    counts = [usage["calls"], usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]]
    cells = [*(f"{count:,}" for count in counts), f"{elapsed_s:.1f}", cost]
    return "".join(f'<td class="num">{cell}</td>' for cell in cells)

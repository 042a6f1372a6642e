"""Report: a run as one HTML page that needs nothing else: DAG, Gantt, messages, tool calls, artefacts and costs.

Everything that came from models, tools, pages and people is escaped, and the page's own policy forbids scripts and
whatever would have to be fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, cast

from openmanus_graph.checkpoints.progress import SubtaskProgress
from openmanus_graph.drawing.artefacts import Artefact, artefacts_in
from openmanus_graph.drawing.gantt import gantt_svg
from openmanus_graph.drawing.label import escaped
from openmanus_graph.drawing.plan import plan_svg
from openmanus_graph.drawing.record import Record
from openmanus_graph.drawing.scale import seconds_text
from openmanus_graph.drawing.style import SIGNS
from openmanus_graph.events import Event, Usage

LONGEST = 6_000
"""Characters of one text that are shown."""
MOST_ENTRIES = 400
"""Messages and tool calls of one subtask that are shown."""
MOST_LOG = 3_000_000
"""Characters of all messages and tool calls together; then come only counts."""
LARGEST_DRAWN = 600
"""Subtasks up to which the DAG is drawn."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1f2328;--paper:#fff;--soft:#f6f8fa;--line:#d0d7de;--muted:#57606a;--good:#1a7f37;
--bad:#cf222e;--wait:#8a5d00}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--soft:#161b22;--line:#30363d;--muted:#9da7b3;
--good:#3fb950;--bad:#f85149;--wait:#d29922}}
body{font:15px/1.5 ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif;color:var(--ink);
background:var(--paper);margin:0 auto;max-width:1080px;padding:24px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:32px 0 8px;border-bottom:1px solid var(--line)}
h3{font-size:15px;margin:16px 0 4px}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--soft);border:1px solid var(--line);border-radius:6px;
padding:8px 10px;margin:6px 0;font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;max-height:480px;
overflow:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.num,th.num{text-align:right;font-variant-numeric:tabular-nums}
details{border:1px solid var(--line);border-radius:6px;margin:6px 0;padding:4px 10px}
summary{cursor:pointer}.muted{color:var(--muted)}.picture{overflow:auto}.picture svg{max-width:none}
.completed{color:var(--good)}.failed{color:var(--bad)}.waiting{color:var(--wait)}.entry{margin:8px 0}
.entry b{font-weight:600}img{max-width:100%}
"""


def report_html(record: Record) -> str:
    """The report of a thread.

    Args:
        record: What the store has of it, read with `whole=True`.
    """
    thread = record.thread
    title = thread.title or thread.thread_id
    artefacts, more = artefacts_in(thread.workspace)
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head><body>"
    )
    sections = [
        *_summary(record, title),
        *_requests(record),
        *_pictures(record),
        *_subtasks(record),
        *_artefacts(artefacts, more),
        *_costs(record),
    ]
    return "\n".join([head, *sections, "</body></html>\n"])


def _clipped(text: str, longest: int = LONGEST) -> str:
    """The text, escaped; of a long one the beginning, and how much more there is."""
    if len(text) <= longest:
        return escaped(text)
    return f'{escaped(text[:longest])}<span class="muted">\n… {len(text) - longest:,} more characters</span>'


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _pre(value: Any) -> str:
    return f"<pre>{_clipped(_words(value))}</pre>"


def _status(status: str) -> str:
    sign = SIGNS.get(cast("Any", status), "")
    return f'<span class="{escaped(status)}">{sign} {escaped(status)}</span>'


def _summary(record: Record, title: str) -> Iterator[str]:
    thread = record.thread
    yield f"<h1>{_clipped(title, 300)}</h1>"
    facts = [f"Thread <code>{escaped(thread.thread_id)}</code>", _status(thread.status)]
    facts.append(
        f"begun {thread.created_at:%Y-%m-%d %H:%M:%S %Z}, last touched {thread.updated_at:%Y-%m-%d %H:%M:%S %Z}"
    )
    if record.progress:
        done = sum(item.status == "completed" for item in record.progress)
        facts.append(f"{done} of {len(record.progress)} subtasks completed")
    yield f"<p>{' · '.join(facts)}</p>"
    if thread.error:
        yield f"<h3>What ended it</h3>{_pre(thread.error)}"
    for question in thread.questions:
        yield f"<h3>It waits for an answer</h3>{_pre(question['question'])}"


def _requests(record: Record) -> Iterator[str]:
    values = record.values
    requests = [(str(one.get("task", "")), str(one.get("answer") or "")) for one in _earlier(values)]
    task, answer = values.get("task"), values.get("answer")
    if task and not (requests and requests[-1][0] == task and record.thread.finished):
        requests.append((str(task), str(answer or "") if record.thread.finished else ""))
    elif requests and answer and record.thread.finished:
        requests[-1] = (requests[-1][0], str(answer))  # whole, where the earlier ones are clipped
    if not requests:
        return
    yield "<h2>Messages</h2>"
    for asked, answered in requests[-100:]:
        yield f'<div class="entry"><b>Asked</b>{_pre(asked)}</div>'
        if answered:
            yield f'<div class="entry"><b>Answered</b><pre>{_clipped(answered, 4 * LONGEST)}</pre></div>'


def _earlier(values: dict[str, Any]) -> list[dict[str, Any]]:
    found = values.get("earlier")
    return [one for one in cast("list[Any]", found) if isinstance(one, dict)] if isinstance(found, list) else []


def _pictures(record: Record) -> Iterator[str]:
    timeline = record.timeline
    if record.plan is not None:
        yield "<h2>Plan</h2>"
        if len(record.plan.subtasks) <= LARGEST_DRAWN:
            picture = plan_svg(record.plan, record.states, timeline.critical)
            yield f'<div class="picture">{picture}</div>'
        else:
            count = len(record.plan.subtasks)
            yield f'<p class="muted">The plan of {count} subtasks is too large to be drawn here.</p>'
    if any(row.stretches for row in timeline.rows):
        yield f'<h2>Timeline</h2><div class="picture">{gantt_svg(timeline)}</div>'


def _subtasks(record: Record) -> Iterator[str]:
    """What was said and called: the roles' own calls, then subtask by subtask."""
    log: dict[str, dict[str, Event]] = {}
    for event in record.events:
        if event.get("type") in _TOLD:
            # One that a resume repeated is told once, as it last was.
            log.setdefault(str(event.get("subtask", "")), {})[str(event.get("id"))] = event
    room = _Room(MOST_LOG)
    if record.left_out:
        yield f'<p class="muted">{record.left_out:,} older events are left out.</p>'
    own = list(log.pop("", {}).values())
    if own:
        yield "<h2>Coordinator, planner and reporter</h2>"
        yield f"<details><summary>{len(own)} messages</summary>{''.join(_entries(own, room))}</details>"
    known = {item.subtask.id for item in record.progress}
    if record.progress or log:
        yield "<h2>Subtasks</h2>"
    for item in record.progress:
        yield _subtask(item, list(log.get(item.subtask.id, {}).values()), room)
    for key, events in log.items():
        if key not in known:
            entries = "".join(_entries(list(events.values()), room))
            yield f"<details><summary>{escaped(key)} (of an earlier plan)</summary>{entries}</details>"


class _Room:
    """How many characters may still be written."""

    def __init__(self, characters: int) -> None:
        self.left = characters


_TOLD = frozenset(
    {"model_finished", "tool_called", "tool_returned", "subtask_verified", "subtask_waiting", "question_asked"}
    | {"subtask_retrying", "decided", "plan_refused", "budget_reached", "warned"}
)


def _subtask(item: SubtaskProgress, events: Sequence[Event], room: _Room) -> str:
    subtask, result = item.subtask, item.result
    runs = subtask.tool or subtask.agent
    parts = [
        f"<summary>{_status(item.status)} <b>{escaped(subtask.id)}</b> <span class='muted'>{escaped(str(runs))}</span>"
        f" {_clipped(subtask.goal, 200)}</summary>"
    ]
    if subtask.args:
        parts.append(f"<h3>Arguments</h3>{_pre(subtask.args)}")
    if result is not None:
        if result["error"]:
            parts.append(f"<h3>Why not</h3>{_pre(result['error'])}")
        if result["output"] is not None:
            parts.append(f"<h3>Output</h3>{_pre(result['output'])}")
        if result.get("verified_why"):
            passed = "passed" if result.get("verified") else "not passed"
            parts.append(f"<h3>Check: {passed}</h3>{_pre(result.get('verified_why'))}")
    if events:
        parts += ["<h3>What happened</h3>", *_entries(events, room)]
    opened = " open" if item.status == "failed" else ""
    return f'<details id="subtask-{escaped(subtask.id)}"{opened}>{"".join(parts)}</details>'


def _entries(events: Sequence[Event], room: _Room) -> Iterator[str]:
    for count, event in enumerate(events):
        if count >= MOST_ENTRIES or room.left <= 0:
            yield f'<p class="muted">… and {len(events) - count:,} more.</p>'
            return
        text = _entry(event)
        room.left -= len(text)
        yield text


def _entry(event: Event) -> str:
    kind = str(event.get("type"))
    took = f" <span class='muted'>{seconds_text(event['elapsed_s'])}</span>" if "elapsed_s" in event else ""
    when = f" <span class='muted'>{escaped(str(event.get('time', ''))[11:19])}</span>"
    said: Any = event.get("text") or event.get("error") or event.get("preview") or ""
    if kind == "model_finished":
        head = f"{escaped(str(event.get('role')))} said"
    elif kind == "tool_called":
        head, said = f"called {escaped(str(event.get('tool')))}", event.get("args") or {}
    elif kind == "tool_returned":
        failed = event.get("error")
        head = f"{escaped(str(event.get('tool')))} {'failed' if failed else 'returned'}"
        said = failed or event.get("preview") or ""
    elif kind in ("subtask_waiting", "question_asked"):
        head, said = "asked", (event.get("question") or {}).get("question", "")
    elif kind == "decided":
        head = f"decided: {escaped(str(event.get('decision')))}"
    elif kind == "plan_refused":
        head, said = "the plan was refused", "\n".join(event.get("problems") or [])
    else:
        head = escaped(kind.replace("_", " "))
    return f'<div class="entry"><b>{head}</b>{when}{took}{_pre(said) if said else ""}</div>'


def _artefacts(artefacts: Sequence[Artefact], more: int) -> Iterator[str]:
    if not artefacts:
        return
    yield "<h2>Artefacts</h2>"
    for one in artefacts:
        head = f"<code>{escaped(one.path)}</code> <span class='muted'>{one.size:,} bytes</span>"
        if one.image is not None:
            image = f'<img alt="{escaped(one.path)}" src="{escaped(one.image)}">'
            yield f"<details><summary>{head}</summary>{image}</details>"
        elif one.text is not None:
            cut = one.size - len(one.text.encode())
            end = f"<p class='muted'>… {cut:,} more bytes</p>" if cut > 0 else ""
            yield f"<details><summary>{head}</summary><pre>{escaped(one.text)}</pre>{end}</details>"
        else:
            yield f'<div class="entry">{head}</div>'
    if more:
        yield f'<p class="muted">… and {more:,} more files.</p>'


def _costs(record: Record) -> Iterator[str]:
    from openmanus_graph.models.spending import NOTHING, together

    if not record.spent:
        return
    yield "<h2>Costs</h2><table><tr><th>Role</th><th>Subtask</th><th>Model</th>"
    heads = ("Calls", "Tokens in", "Out", "From the provider's cache", "Seconds", "US$")
    yield "".join(f'<th class="num">{head}</th>' for head in heads) + "</tr>"
    for one in record.spent[:1000]:
        names = "".join(f"<td>{_clipped(name, 120)}</td>" for name in (one.role, one.subtask, one.model))
        yield f"<tr>{names}{_numbers(one.usage, one.elapsed_s)}</tr>"
    if len(record.spent) > 1000:
        yield f'<tr><td colspan="9" class="muted">… and {len(record.spent) - 1000:,} more rows</td></tr>'
    total = reduce(together, (one.usage for one in record.spent), NOTHING)
    elapsed = sum(one.elapsed_s for one in record.spent)
    yield f'<tr><th colspan="3">In all</th>{_numbers(total, elapsed)}</tr></table>'


def _numbers(usage: Usage, elapsed_s: float) -> str:
    cost = "unknown" if usage["cost_usd"] is None else f"{usage['cost_usd']:.4f}"
    counts = [usage["calls"], usage["input_tokens"], usage["output_tokens"], usage["cached_tokens"]]
    cells = [*(f"{count:,}" for count in counts), f"{elapsed_s:.1f}", cost]
    return "".join(f'<td class="num">{cell}</td>' for cell in cells)

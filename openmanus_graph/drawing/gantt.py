"""Gantt: a timeline as SVG, Mermaid or text: one row a subtask, the critical path marked."""

from __future__ import annotations

from collections.abc import Iterator

from openmanus_graph.display_text import counted
from openmanus_graph.drawing.diagram import State
from openmanus_graph.drawing.label import clipped, escaped, number, plain, width_of
from openmanus_graph.drawing.mermaid import mermaid_label, mermaid_words
from openmanus_graph.drawing.scale import Scale, moment_text, scale_of, seconds_text, short_time, tick_text
from openmanus_graph.drawing.style import BOLD, LABEL_SIZE, NOTE_SIZE, SIGNS, TITLE_SIZE, Theme, icon
from openmanus_graph.drawing.svg import MARGIN, document
from openmanus_graph.drawing.timeline import Stretch, Timeline, TimelineRow

WIDTH = 960.0
"""Pixels of the whole picture."""
ROW = 26.0
BAR = 16.0
LONGEST_NAME = 230.0
AFTER = 86.0
"""Pixels behind the axis, for what is written behind the last bar."""
SHORTEST_WORK = 0.02
"""Seconds at work that are not worth saying of what waits."""
MOST_ROWS = 2000
_WORDS = {"work": "at work", "person": "waited for an answer", "backoff": "waited to try again"}


def gantt_svg(timeline: Timeline, *, theme: Theme = "auto", headline: bool = True) -> str:
    """The timeline as SVG.

    Bars are filled where something was at work, striped where a person was waited for, thin before another attempt.
    The critical path is outlined and joined by a line. Long breaks are cut short and say how long they were.

    Args:
        timeline: What was done.
        theme: Its colours; by default those that the reader's system prefers.
        headline: Whether its title is written above it; it is there for readers of the screen either way.
    """
    rows = timeline.rows[:MOST_ROWS]
    names = min(max((_name_width(row) for row in rows), default=0.0), LONGEST_NAME)
    left = MARGIN + 20 + names + 12
    scale = scale_of(_work(timeline), timeline.start, timeline.end, WIDTH - left - MARGIN - AFTER)
    title = clipped(plain(timeline.title), WIDTH - 2 * MARGIN, TITLE_SIZE * BOLD) if headline else ""
    head = f'<text class="t" x="{number(MARGIN)}" y="{number(MARGIN + TITLE_SIZE)}">{escaped(title)}</text>'
    parts = [head] * bool(title)
    top = MARGIN + (TITLE_SIZE + 34 if title else 22)
    bottom = top + ROW * len(rows)
    parts += _axis(scale, left, top, bottom)
    places = {row.key: top + ROW * index + ROW / 2 for index, row in enumerate(rows)}
    parts += _chain(timeline, scale, left, places)
    for row in rows:
        parts.append(_row(row, scale, left, places[row.key], row.key in timeline.critical, names))
    end = bottom + (34 if scale.breaks else 22)
    footer = escaped(_footer(timeline, len(timeline.rows) - len(rows)))
    parts.append(f'<text class="n" x="{number(MARGIN)}" y="{number(end)}">{footer}</text>')
    return document(parts, WIDTH, end + 14, timeline.title or "Timeline", _description(timeline), theme)


def _footer(timeline: Timeline, more: int) -> str:
    """Time of the run, and a legend of its kinds of bars."""
    facts = [counted(more, "more row")] if more else []
    if _work(timeline):
        facts.append(f"Begun {moment_text(timeline.start)}, {short_time(timeline.end - timeline.start)} in all")
    kinds = {stretch.kind for row in timeline.rows for stretch in row.stretches}
    signs = ["outlined: the critical path"] if timeline.critical else []
    signs += ["striped: a wait for an answer"] if "person" in kinds else []
    signs += ["thin: a pause before another try"] if "backoff" in kinds else []
    return "; ".join([*facts, *signs])


def _name_width(row: TimelineRow) -> float:
    note = f"  {row.note}" if row.note else ""
    return width_of(row.key, LABEL_SIZE) + width_of(note, NOTE_SIZE) + 6


def _work(timeline: Timeline) -> list[tuple[float, float]]:
    """Times at which anything was at work; waits may be cut short."""
    return [
        (stretch.start, stretch.end) for row in timeline.rows for stretch in row.stretches if stretch.kind == "work"
    ]


def _axis(scale: Scale, left: float, top: float, bottom: float) -> Iterator[str]:
    for place, seconds in scale.ticks():
        x = number(left + place)
        yield f'<path class="x" d="M{x} {number(top - 4)}V{number(bottom)}"/>'
        yield f'<text class="n c" x="{x}" y="{number(top - 9)}">{tick_text(seconds, scale.step)}</text>'
    for start, end in scale.breaks:
        x_start, x_end = left + scale.at(start), left + scale.at(end)
        title = f"{short_time(end - start)} in which nothing was at work"
        yield (
            f'<g><title>{title}</title><rect class="z" x="{number(x_start)}" y="{number(top - 4)}"'
            f' width="{number(x_end - x_start)}" height="{number(bottom - top + 4)}" opacity="0.45"/>'
            f'<text class="n c" x="{number((x_start + x_end) / 2)}" y="{number(bottom + 11)}">'
            f"{escaped(short_time(end - start))}</text></g>"
        )


def _chain(timeline: Timeline, scale: Scale, left: float, places: dict[str, float]) -> Iterator[str]:
    """The line from bar to bar along the critical path."""
    rows = {row.key: row for row in timeline.rows}
    for before, after in zip(timeline.critical, timeline.critical[1:], strict=False):
        if before not in places or after not in places:
            continue
        x_start = left + scale.at(rows[before].stretches[-1].end)
        x_end = left + scale.at(rows[after].stretches[0].start)
        # Down first: the time that `before` took is written behind its bar.
        path = f"M{number(x_start)} {number(places[before])}V{number(places[after])}H{number(x_end)}"
        yield f'<path class="k mark" d="{path}"/>'


def _row(row: TimelineRow, scale: Scale, left: float, middle: float, critical: bool, names: float) -> str:
    state = f" {row.state}" if row.state else ""
    name = clipped(plain(row.key), names, LABEL_SIZE)
    room = names - width_of(name, LABEL_SIZE) - 6
    note = clipped(plain(row.note), room, NOTE_SIZE) if room > 24 else ""
    shown = f'<tspan class="n" dx="6">{escaped(note)}</tspan>' if note else ""
    parts = [
        f'<g class="b{state}" data-key="{escaped(row.key)}"><title>{escaped(_hint(row))}</title>',
        icon(row.state, number(MARGIN + 8), number(middle)),
        f'<text x="{number(MARGIN + 22)}" y="{number(middle + 4.4)}">{escaped(name)}{shown}</text></g>',
    ]
    parts += [_bar(stretch, row.state, scale, left, middle, critical) for stretch in row.stretches]
    if row.stretches:
        x = left + scale.at(row.stretches[-1].end) + 6
        parts.append(f'<text class="n" x="{number(x)}" y="{number(middle + 3.6)}">{_took(row)}</text>')
    return "".join(parts)


def _bar(stretch: Stretch, state: State, scale: Scale, left: float, middle: float, critical: bool) -> str:
    x = left + scale.at(stretch.start)
    width = max(left + scale.at(stretch.end) - x, 2.0)
    label = f"{_WORDS[stretch.kind]} for {short_time(stretch.end - stretch.start)}"
    tooltip = f"<title>{escaped(f'{label}, from {moment_text(stretch.start)}')}</title>"
    mark = " mark" if critical else ""
    if stretch.kind == "backoff":
        return f'<g class="b {state}">{tooltip}<rect class="v" {_place(x, middle - 1.5, width, 3)}/></g>'
    if stretch.kind == "person":
        stripes = "".join(
            f"M{number(x + offset)} {number(middle + 5)}l4-10" for offset in range(2, int(min(width, 4 * WIDTH)) - 4, 6)
        )
        box = f'<rect class="r" {_place(x, middle - 5, width, 10)}/>'
        return f'<g class="b waiting">{tooltip}{box}<path class="i" d="{stripes or "M0 0"}"/></g>'
    box = f'<rect class="r" {_place(x, middle - BAR / 2, width, BAR)} rx="3"/>'
    return f'<g class="b {state}{mark}">{tooltip}{box}</g>'


def _place(x: float, y: float, width: float, height: float) -> str:
    return f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'


def _hint(row: TimelineRow) -> str:
    state = f" ({row.state})" if row.state else ""
    return "\n".join(part for part in (f"{row.key}{state}", row.note, row.error[:300]) if part)


def _description(timeline: Timeline) -> str:
    parts: list[str] = []
    for row in timeline.rows[:100]:
        if not row.stretches:
            parts.append(f"{row.key}: {row.state or 'nothing'}")
            continue
        begun = seconds_text(round(row.stretches[0].start - timeline.start, 2))
        ended = seconds_text(round(row.stretches[-1].end - timeline.start, 2))
        parts.append(f"{row.key}: {row.state}, {begun} to {ended}")
    more = f"; and {len(timeline.rows) - 100} more" if len(timeline.rows) > 100 else ""
    path = f" Critical path: {', '.join(timeline.critical[:100])}." if timeline.critical else ""
    return f"{'; '.join(parts)}{more}.{path}"


def gantt_mermaid(timeline: Timeline) -> str:
    """The timeline as a Mermaid gantt diagram.

    Mermaid shows moments in the reader's time zone. A run of over a minute is told in them; a shorter one in seconds
    since its start, which are the same in every zone.
    """
    short = timeline.end - timeline.start < 60
    origin = timeline.start if short else 0.0
    lines = ["gantt", f"    title {mermaid_words(timeline.title) or 'Timeline'}", "    dateFormat x"]
    lines.append(f"    axisFormat {'%S.%L' if short else '%H:%M:%S'}")
    for row in timeline.rows:
        if not row.stretches:
            continue
        lines.append(f"    section {mermaid_label(row.key).replace(':', '#58;')}")
        for stretch in row.stretches:
            tags = ["crit"] * (row.key in timeline.critical and stretch.kind == "work")
            tags += ["active"] * (stretch.kind == "person") + ["done"] * (row.state == "completed")
            start, end = ((moment - origin) * 1000 for moment in (stretch.start, stretch.end))
            name = _WORDS[stretch.kind] if stretch.kind != "work" else row.state or "work"
            lines.append(f"    {name} :{', '.join([*tags, f'{start:.0f}', f'{max(end, start + 1):.0f}'])}")
    return "\n".join(lines)


_CELLS = {"work": "█", "person": "░", "backoff": "─"}


def gantt_text(timeline: Timeline, columns: int = 100) -> str:
    """The timeline for a terminal: `█` at work, `░` waiting for a person, `─` before another attempt, `*` critical.

    Args:
        timeline: What was done.
        columns: Characters of a line.
    """
    names = min(max((len(plain(row.key)) for row in timeline.rows), default=0), 30)
    room = max(columns - names - 16, 20)
    scale = scale_of(_work(timeline), timeline.start, timeline.end, room * 10.0)
    lines = [_cut(plain(timeline.title), columns)] if timeline.title else []
    for row in timeline.rows:
        cells = [" "] * room
        for stretch in row.stretches:
            first = min(int(scale.at(stretch.start) / 10), room - 1)
            last = min(max(int(scale.at(stretch.end) / 10 + 0.5), first + 1), room)
            cells[first:last] = _CELLS[stretch.kind] * (last - first)
        took = short_time(row.worked) if row.stretches else ""
        mark = "*" if row.key in timeline.critical else " "
        name = _cut(plain(row.key), names)
        sign = SIGNS[row.state] or " "
        lines.append(f"{mark}{sign} {name.ljust(names)} │{''.join(cells)}│ {took}".rstrip())
    if timeline.rows:
        lines.append(f"{moment_text(timeline.start)}, {short_time(timeline.end - timeline.start)} in all")
    lines += [f"a break of {short_time(end - start)} is cut short" for start, end in scale.breaks]
    if timeline.critical:
        lines.append("* the critical path")
    return "\n".join(lines)


def _took(row: TimelineRow) -> str:
    """Time at work and number of attempts; `waits` before the first answer."""
    if row.state == "waiting" and row.worked < SHORTEST_WORK:
        return "waits"
    again = f" ({row.attempts} tries)" if row.attempts > 1 else f" ({row.times} times)" if row.times > 1 else ""
    return short_time(row.worked) + again


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"

"""Scale: maps moments to pixels of a time axis. Long breaks, in which nothing is at work, are cut short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

Span = tuple[float, float]

BREAK = 34.0
"""Pixels of a break, however long it was."""
LONGEST_IDLE = 0.15
"""A time without work is cut short if it is longer than this share of all work."""
SHORTEST_BREAK = 2.0
"""Seconds that are never cut short."""
MOST_BREAKS = 12
"""Of more than so many, the longest are cut short."""
_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_LONG_STEPS = (3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)


@dataclass(frozen=True)
class Scale:
    """A time axis."""

    pieces: tuple[tuple[float, float, float, float], ...]
    """Stretches of the axis: from and to in seconds, from and to in pixels."""
    breaks: tuple[Span, ...]
    """The times that were cut short, in seconds."""
    step: float
    """Seconds between two ticks."""

    def at(self, moment: float) -> float:
        """The pixel of a moment; what is before or after the axis is at its ends."""
        for start, end, left, right in self.pieces:
            if moment <= end:
                share = (moment - start) / (end - start) if end > start else 0.0
                return left + (right - left) * min(max(share, 0.0), 1.0)
        return self.pieces[-1][3]

    def ticks(self) -> list[tuple[float, float]]:
        """Pixel and seconds since the start for each tick, none within a break."""
        origin = self.pieces[0][0]
        ticks: list[tuple[float, float]] = []
        for start, end, left, right in self.pieces:
            if (start, end) in self.breaks:
                continue
            number = -(-(start - origin) // self.step)
            while number * self.step <= end - origin + 1e-9:
                seconds = number * self.step
                place = self.at(origin + seconds)
                # Where a piece begins behind a break, its first tick may touch the last one before it.
                if left - 0.01 <= place <= right + 0.01 and (not ticks or place - ticks[-1][0] > BREAK / 2):
                    ticks.append((place, seconds))
                number += 1
        return ticks


def scale_of(work: Sequence[Span], start: float, end: float, width: float) -> Scale:
    """The axis of all stretches of work.

    Args:
        work: When anything was at work, in seconds.
        start: Where the axis begins.
        end: Where it ends.
        width: Pixels that there are.
    """
    busy = _merged(work)
    total = sum(stop - begin for begin, stop in busy)
    least = max(SHORTEST_BREAK, LONGEST_IDLE * total)
    edges = [(start, start), *busy, (end, end)]
    idle = [(before[1], after[0]) for before, after in pairwise(edges)]
    long = [(begin, stop) for begin, stop in idle if stop - begin > least] if busy else []
    breaks = sorted(sorted(long, key=lambda span: span[0] - span[1])[:MOST_BREAKS])
    room = max(width - BREAK * len(breaks), width / 3)
    shown = max((end - start) - sum(stop - begin for begin, stop in breaks), 0.001)
    pieces: list[tuple[float, float, float, float]] = []
    moment, place = start, 0.0
    for begin, stop in [*breaks, (end, end)]:
        if begin > moment or not (pieces or breaks):
            right = place + (begin - moment) / shown * room
            pieces.append((moment, begin, place, right))
            place = right
        if stop > begin:
            pieces.append((begin, stop, place, place + BREAK))
            moment, place = stop, place + BREAK
    step = next((candidate for candidate in (*_STEPS, *_LONG_STEPS) if candidate / shown * room >= 56), shown)
    return Scale(tuple(pieces), tuple(breaks), step)


def _merged(spans: Sequence[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def seconds_text(seconds: float) -> str:
    """A time as an axis shows it: `0.25 s`, `12 s`, `2:30`, `1:05:00`, `3 d 04:00`."""
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s" if seconds < 10 else f"{seconds:.3g} s"
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    hours, minutes, left = rest // 3600, rest % 3600 // 60, rest % 60
    if days:
        return f"{days} d {hours:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def short_time(seconds: float) -> str:
    """A time as people say it: of longer ones, fewer digits."""
    return seconds_text(round(seconds, 3 if seconds < 0.1 else 2 if seconds < 10 else 1 if seconds < 60 else 0))


def tick_text(seconds: float, step: float) -> str:
    """The time at a tick, with as many digits as tell it from the next.

    Args:
        seconds: Since the start.
        step: Seconds to the next tick.
    """
    digits = 0 if step >= 1 else 1 if step >= 0.1 else 2 if step >= 0.01 else 3
    if seconds < 60:
        return f"{seconds:.{digits}f}".rstrip("0").rstrip(".") + " s" if digits else f"{seconds:.0f} s"
    whole = seconds_text(int(seconds + 1e-9))
    if seconds >= 86400 and step < 60:
        whole += f":{int(seconds + 1e-9) % 60:02}"
    part = f"{seconds % 1:.{digits}f}"[1:].rstrip("0").rstrip(".") if digits else ""
    return whole + part


def moment_text(moment: float) -> str:
    """A moment in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

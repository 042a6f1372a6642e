"""Figure: one measured number beside its target and a rival's number, and the table of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

PACKAGES = ("langgraph", "langgraph-checkpoint-postgres", "psycopg", "pydantic")


@dataclass(frozen=True)
class Figure:
    """One measured number."""

    name: str
    """What was measured."""
    value: float
    """The number; the median where it was measured several times."""
    unit: str
    """Its unit: `s`, `ms` or `×`, the multiple of a bound."""
    target: float | None = None
    """What it should not exceed, in the same unit; `None` means that it is only reported."""
    rival: float | None = None
    """The rival's number from the same run, in the same unit; `None` if there is none."""
    rival_name: str = ""
    """Who the rival is."""
    at_least: bool = False
    """Whether the target is what it should reach, as with shares of right answers."""

    @property
    def verdict(self) -> str:
        """`ok` or `MISSED`; nothing without a target."""
        if self.target is None:
            return ""
        return "ok" if (self.value >= self.target if self.at_least else self.value <= self.target) else "MISSED"

    def cells(self) -> list[str]:
        """The row of the table."""
        rival = "" if self.rival is None else f"{self.rival:.3g} {self.unit} ({self.rival_name})"
        ratio = "" if self.rival is None or not self.value else f"{self.rival / self.value:.2f}"
        target = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.target:g} {self.unit}"
        return [self.name, f"{self.value:.3g} {self.unit}", target, self.verdict, rival, ratio]


HEADER = ["figure", "measured", "target", "", "rival", "rival / ours"]


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table that is also readable as text."""
    rows = [HEADER, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def say(text: str) -> None:
    """Print a line of progress at once."""
    print(text, flush=True)


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(median(values))


def machine() -> str:
    """Processor, load, Python and the packages that matter, in one line, with the date."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    busy = " (BUSY: the times are too long)" if os.getloadavg()[0] > (os.cpu_count() or 1) else ""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    today = datetime.now(UTC).date().isoformat()
    return (
        f"{today}: {os.cpu_count()} cores ({cpu}), load {load}{busy}, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {packages}"
    )

"""Table: the figures of a summary as people read them."""

from __future__ import annotations

from .savers import Saver
from .summary import STOCK, Failure, Summary

HEADS = {
    Saver.MEMORY: "stock, memory",
    Saver.POSTGRES: "stock, Postgres",
    Saver.OURS: "our saver",
    Saver.DURABLE: "durable",
}
"""The columns."""


def table_of(summary: Summary) -> str:
    """A line per test file: passed and failed on each saver."""
    totals = summary.totals()
    heads = ["", *(HEADS[saver] for saver in Saver if saver in totals)]
    rows = [
        [name, *(f"{counts['passed']:>4} {counts['failed']:>3}" for counts in savers.values())]
        for name, savers in [*summary.files.items(), ("all", totals)]
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(row))
        for row in (zip(line, widths, strict=True) for line in [heads, *rows])
    ]
    skipped = max((counts["skipped"] for counts in totals.values()), default=0)
    return "\n".join(["passed and failed", *(line.rstrip() for line in lines), f"{skipped} skipped", ""])


def failures_of(summary: Summary) -> str:
    """Every failure under its cause, faults first."""
    titles = {difference.cause: difference.title for difference in summary.differences}
    groups: dict[str | None, list[Failure]] = {}
    for failure in sorted(summary.failures, key=lambda failure: (failure.cause is not None, failure.cause or "")):
        groups.setdefault(failure.cause, []).append(failure)
    lines: list[str] = []
    for cause, failures in groups.items():
        title = {None: "Faults", STOCK: "Fail on LangGraph's own saver as well"}.get(cause) or titles[str(cause)]
        lines += ["", f"{title} ({len(failures)})"]
        lines += [f"  {failure.saver:<8} {failure.test}\n           {failure.said}" for failure in failures]
    if summary.unsteady:
        lines += [
            "",
            f"Failed at first, passed alone ({len(summary.unsteady)})",
            *(f"  {test}" for test in summary.unsteady),
        ]
    return "\n".join([*lines, ""])

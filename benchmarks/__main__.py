"""All benchmarks, one after the other, and one table of every figure with its target."""

from __future__ import annotations

import argparse

from benchmarks import (
    agent,
    browser,
    data,
    drawing,
    durable,
    early_start,
    footprint,
    ledger,
    makespan,
    many_runs,
    mcp_calls,
    memory,
    openapi,
    overhead,
    research,
    resume,
    startup,
    stepping,
    templates,
    tokens,
    travel,
    widget,
)
from benchmarks.figure import Figure, machine, say, table

# Each part and the options that it takes.
PARTS = {
    "startup": (startup.main, ("quick",)),
    "drawing": (drawing.main, ("quick", "dags")),
    "overhead": (overhead.main, ("quick", "url")),
    "footprint": (footprint.main, ("quick", "url")),
    "many_runs": (many_runs.main, ("quick",)),
    "ledger": (ledger.main, ("quick", "url")),
    "mcp": (mcp_calls.main, ("quick", "url")),
    "resume": (resume.main, ("quick", "url")),
    "durable": (durable.main, ("quick", "url")),
    "travel": (travel.main, ("quick", "url")),
    "makespan": (makespan.main, ("quick", "url", "dags")),
    "agent": (agent.main, ("quick", "url")),
    "research": (research.main, ("quick", "url")),
    "early_start": (early_start.main, ("quick",)),
    "tokens": (tokens.main, ("quick", "url")),
    "memory": (memory.main, ("quick", "url")),
    "templates": (templates.main, ("quick", "url")),
    "stepping": (stepping.main, ("quick", "url")),
    "browser": (browser.main, ("quick", "mcp")),
    "data": (data.main, ("quick",)),
    "openapi": (openapi.main, ("quick",)),
    "widget": (widget.main, ("quick", "url")),
}


def main() -> None:
    """Run what is asked for; a missed target is reported and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs: five minutes instead of twenty")
    parser.add_argument("--dags", help="makespan and drawing: folder of DAG files; generated DAGs by default")
    parser.add_argument("--url", help="a Postgres to use; an embedded one in a temporary folder by default")
    parser.add_argument(
        "--mcp", help="browser: folder with npm's @playwright/mcp; its snapshots are left out by default"
    )
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    options = {
        "quick": ["--quick"] if given.quick else [],
        "url": ["--url", given.url] if given.url else [],
        "mcp": ["--mcp", given.mcp] if given.mcp else [],
        "dags": ["--dags", given.dags] if given.dags else [],
    }
    say(machine())
    figures: list[Figure] = []
    for part in given.parts or PARTS:
        say(f"\n{part}")
        run, takes = PARTS[part]
        figures += run([one for name in takes for one in options[name]])
    say(f"\n{table(figures)}\n\n{machine()}")


if __name__ == "__main__":
    main()

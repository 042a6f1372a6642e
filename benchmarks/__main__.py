"""All benchmarks, one after the other, and one table of every figure with its target."""

from __future__ import annotations

import argparse

from benchmarks import agent, drawing, durable, ledger, makespan, overhead, resume, startup, travel, widget
from benchmarks.figure import Figure, machine, say, table

PARTS = ("startup", "drawing", "overhead", "ledger", "resume", "durable", "travel", "makespan", "agent", "widget")


def main() -> None:
    """Run what is asked for; a missed target is reported and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs: three minutes instead of twelve")
    parser.add_argument("--dags", help="makespan and drawing: folder of DAG files; generated DAGs by default")
    parser.add_argument("--url", help="a Postgres to use; an embedded one in a temporary folder by default")
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    quick = ["--quick"] if given.quick else []
    url = ["--url", given.url] if given.url else []
    dags = ["--dags", given.dags] if given.dags else []
    say(machine())
    figures: list[Figure] = []
    for part in given.parts or PARTS:
        say(f"\n{part}")
        if part == "startup":
            figures += startup.main(quick)
        elif part == "drawing":
            figures += drawing.main([*quick, *dags])
        elif part == "overhead":
            figures += overhead.main([*quick, *url])
        elif part == "ledger":
            figures += ledger.main([*quick, *url])
        elif part == "resume":
            figures += resume.main([*quick, *url])
        elif part == "durable":
            figures += durable.main([*quick, *url])
        elif part == "travel":
            figures += travel.main([*quick, *url])
        elif part == "agent":
            figures += agent.main([*quick, *url])
        elif part == "widget":
            figures += widget.main([*quick, *url])
        else:
            figures += makespan.main([*quick, *url, *dags])
    say(f"\n{table(figures)}\n\n{machine()}")


if __name__ == "__main__":
    main()

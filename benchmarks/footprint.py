"""Footprint: what memory a plan of no-ops takes, in a process that runs nothing else."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys

from benchmarks import tool
from benchmarks.figure import Figure, machine, say, table
from benchmarks.overhead import engine, independent
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph import build_plan_graph
from openmanus_graph.config.settings import Settings

SMALL, LARGE = 100, 10_000
PER_THOUSAND_MB, TOTAL_MB = 10.0, 190.0


async def _peak(count: int, url: str | None) -> float:
    """MB that this process has taken at most once it has run a plan of so many subtasks."""
    with temporary_folder() as home:
        async with our_saver(home, url) as saver:
            graph = build_plan_graph([tool.noop], settings=Settings.load(max_subtasks=100_000))
            await engine(graph, independent(count), saver, home)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _of_process(count: int, url: str | None) -> float:
    """The same of a new process."""
    command = [sys.executable, "-m", "benchmarks.footprint", "--one", str(count), *(["--url", url] if url else [])]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.footprint", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--one", type=int, help="print the MB of a plan of so many subtasks, run here")
    parser.add_argument("--quick", action="store_true", help="1,000 subtasks instead of 10,000")
    given = parser.parse_args(arguments)
    if given.one:
        print(json.dumps(asyncio.run(_peak(given.one, given.url))))
        return []
    large = 1_000 if given.quick else LARGE
    least, most = _of_process(SMALL, given.url), _of_process(large, given.url)
    say(f"peak of a process: {least:.0f} MB with {SMALL} subtasks, {most:.0f} MB with {large}")
    per_thousand = (most - least) * 1_000 / (large - SMALL)
    return [
        Figure("memory per 1,000 subtasks", per_thousand, "MB", PER_THOUSAND_MB),
        Figure(f"memory of a process with {large} subtasks", most, "MB", TOTAL_MB),
    ]


if __name__ == "__main__":
    figures = main()
    if figures:
        say(machine())
        print(table(figures))

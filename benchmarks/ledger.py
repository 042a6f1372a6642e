"""Ledger: what a call with an effect outside costs more than one without, for its claim and its settlement."""

from __future__ import annotations

import argparse
import asyncio
import gc
from pathlib import Path

from langchain_core.tools import BaseTool, StructuredTool

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.overhead import chain, engine, independent
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph import build_plan_graph
from openmanus_graph.config.settings import Settings

TARGET_MS = 2.0
CHAIN = 50


def _tool(effect: str) -> BaseTool:
    async def noop() -> str:
        """Do nothing."""
        return "done"

    return StructuredTool.from_function(coroutine=noop, name="noop", metadata={"effect": effect})


async def measure(count: int, home: Path, url: str | None, repeats: int) -> list[Figure]:
    """The same plans of no-ops, once reading and once with an effect outside, in turns; medians are compared."""
    settings = Settings.load(max_subtasks=100_000)
    plans = {"independent calls": independent(count), "calls one after the other": chain(CHAIN)}
    figures: list[Figure] = []
    async with our_saver(home, url) as saver:
        await engine(build_plan_graph([_tool("external")], settings=settings), independent(20), saver, home)
        for name, plan in plans.items():
            found: dict[str, list[float]] = {"read": [], "external": []}
            for _ in range(repeats):
                for effect, times in found.items():
                    gc.collect()
                    times.append(await engine(build_plan_graph([_tool(effect)], settings=settings), plan, saver, home))
            read, external = middle(found["read"]), middle(found["external"])
            say(f"{len(plan['subtasks'])} {name}: {read:.2f} ms reading, {external:.2f} ms with an effect outside")
            figures.append(Figure(f"ledger, per call of {name}", external - read, "ms", TARGET_MS))
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="100 calls, three times")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        counts = (100, 3) if given.quick else (300, 5)
        return asyncio.run(measure(counts[0], home, given.url, counts[1]))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

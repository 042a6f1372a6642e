"""Stepping: what a step of the stepper costs beside running, in the middle of a plan and as the history grows."""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import uuid
from pathlib import Path

from benchmarks import tool
from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.overhead import chain, engine
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph import Stepper, build_plan_graph
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings

OVERHEAD_MS = 10.0
"""Milliseconds that a step may take longer than its part of a run."""
STEPS = 100
LONG = 300
"""Subtasks of the long plan, with two points each: its last steps have some 600 behind them."""
LAST = 30


async def stepped(saver: ThreadSaver, folder: Path, count: int, settings: Settings) -> list[float]:
    """Milliseconds of each step through a chain of no-ops, as a program takes them."""
    app = build_plan_graph([tool.noop], settings=settings).compile(checkpointer=saver)
    thread = uuid.uuid4().hex
    took: list[float] = []
    configurable = {"workspace": str(folder / thread)}
    async with Stepper(app, input={"plan": chain(count)}, thread_id=thread, configurable=configurable) as stepper:
        await stepper.step()
        gc.collect()
        for _ in range(count):
            began = time.perf_counter()
            stop = await stepper.step()
            took.append((time.perf_counter() - began) * 1000)
            if stop["error"] is not None:
                raise RuntimeError(stop["text"])
        if stepper.status != "completed":
            raise RuntimeError(f"the thread is {stepper.status}")
    return took[:-1]  # the last one ends the run


async def measure(home: Path, url: str | None, *, quick: bool) -> list[Figure]:
    """Run and step the same chain of no-ops, in turns; the medians count."""
    settings = Settings.load(max_subtasks=100_000)
    async with our_saver(home, url) as saver:
        await stepped(saver, home, 10, settings)
        ran: list[float] = []
        steps: list[float] = []
        for _ in range(1 if quick else 3):
            gc.collect()
            ran.append(await engine(build_plan_graph([tool.noop], settings=settings), chain(STEPS), saver, home))
            steps += await stepped(saver, home, STEPS, settings)
        long = await stepped(saver, home, 100 if quick else LONG, settings)
    early, late = middle(long[LAST : 2 * LAST]), middle(long[-LAST:])
    say(f"run {middle(ran):.2f} ms, step {middle(steps):.2f} ms; of a long plan {early:.2f} ms, then {late:.2f} ms")
    return [
        Figure(f"a step over running it, {STEPS} subtasks", middle(steps) - middle(ran), "ms", OVERHEAD_MS),
        Figure("the same step, whole", middle(steps), "ms", None, middle(ran), "running it"),
        Figure(f"a step with {2 * len(long)} points behind it", late, "ms", None, early, "with 90"),
    ]


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stepping", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return asyncio.run(measure(home, given.url, quick=given.quick))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

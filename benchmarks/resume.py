"""Resume: how soon the first new step starts after a plan that is half done is taken up again."""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.overhead import SLOTS, independent
from benchmarks.rival import TaskRun
from benchmarks.store import our_saver, rival_saver, temporary_folder
from benchmarks.tool import Turnstile
from openmanus_graph import build_plan_graph
from openmanus_graph.config.settings import Settings

LARGEST_REPEATED = 1_000
TARGETS_S = {100: 0.15, 1_000: 0.15, 10_000: 1.5}


async def _half(run: Awaitable[Any], turnstile: Turnstile) -> None:
    """Run until the turnstile holds somebody, then cancel, as at the end of a process."""
    running = asyncio.ensure_future(run)
    held = asyncio.ensure_future(turnstile.used_up.wait())
    await asyncio.wait([running, held], return_when=asyncio.FIRST_COMPLETED)
    if not held.done():
        await running
        raise RuntimeError("the run ended before it was half done")
    await asyncio.sleep(0.2)  # the last passers are still being committed
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _first_step(run: Callable[[], Awaitable[Any]], turnstile: Turnstile) -> tuple[float, float]:
    """Seconds, and seconds of CPU time, until the first new call; the run then goes on to its end."""
    turnstile.open()
    gc.collect()  # a new process has none of the garbage of the first half
    began, busy = time.perf_counter(), time.process_time()
    await run()
    if turnstile.first_call is None or turnstile.first_cpu is None:
        raise RuntimeError("nothing was left to do")
    return turnstile.first_call - began, turnstile.first_cpu - busy


async def engine(count: int, home: Path, url: str | None) -> tuple[float, float]:
    """Seconds from `ainvoke(None)` to the first new step, with a new saver and a new graph after the stop."""
    settings = Settings.load(max_subtasks=100_000)
    thread = uuid.uuid4().hex
    config: Any = {"configurable": {"thread_id": thread, "workspace": str(home / thread), "max_parallel": SLOTS}}
    turnstile = Turnstile(count // 2)
    async with our_saver(home, url) as saver:
        app = build_plan_graph([turnstile.tool()], settings=settings).compile(checkpointer=saver)
        await _half(app.ainvoke({"plan": independent(count)}, config), turnstile)
    async with our_saver(home, url) as saver:
        app = build_plan_graph([turnstile.tool()], settings=settings).compile(checkpointer=saver)
        return await _first_step(lambda: app.ainvoke(None, config), turnstile)


async def rival(count: int, saver: AsyncPostgresSaver) -> tuple[float, float]:
    """The same with `@task` calls in an entrypoint."""
    turnstile = Turnstile(count // 2)
    run = TaskRun(count, turnstile, saver, SLOTS)
    await _half(run(), turnstile)
    return await _first_step(lambda: run(again=True), turnstile)


def _shown(runs: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{wall:.3f} s ({cpu:.3f} s CPU)" for wall, cpu in runs)


async def measure(counts: Sequence[int], home: Path, url: str | None, repeats: int) -> list[Figure]:
    """Stop and resume at every count; the median of the repeats counts."""
    figures: list[Figure] = []
    async with our_saver(home, url) as keeper, rival_saver(keeper) as theirs:  # keeps an embedded server up
        await engine(20, home, url)
        for count in counts:
            times = repeats if count <= LARGEST_REPEATED else 1
            ours = [await engine(count, home, url) for _ in range(times)]
            bare = [await rival(count, theirs) for _ in range(times)]
            say(f"{count} subtasks, half done: {_shown(ours)}; @task calls {_shown(bare)}")
            wall, rivals = (middle([seconds for seconds, _ in runs]) for runs in (ours, bare))
            name = f"first new step of a half-done plan of {count}"
            figures.append(Figure(name, wall, "s", TARGETS_S.get(count), rivals, "@task calls"))
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="100 subtasks only")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return asyncio.run(measure([100] if given.quick else [100, 1_000, 10_000], home, given.url, repeats=3))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

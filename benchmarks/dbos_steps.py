"""DBOS steps: the same no-ops as steps of DBOS workflows, on the same Postgres, in a process of its own.

A step is a function whose result DBOS commits as one row; it has no graph, schedule, fence or events around it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.locked_packages import packages_of

TOP = Path(__file__).resolve().parent.parent
STEPS = "DBOS steps"


def dbos_steps(url: str, count: int, slots: int, hops: int) -> dict[str, float]:
    """Milliseconds a step: `wide`, of so many in so many slots, and `chain`, of so many one after the other.

    Raises:
        PackagesError: If DBOS cannot be fetched.
    """
    packages = packages_of(TOP / "requirements-rivals.lock", TOP / "build")
    command = [sys.executable, "-m", "benchmarks.dbos_steps", "--one", url, *map(str, (count, slots, hops))]
    # DBOS logs to stdout before its level is set; the last line is ours.
    environment = {**os.environ, "PYTHONPATH": f"{TOP}{os.pathsep}{packages}"}
    ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=TOP)
    return json.loads(ran.stdout.splitlines()[-1])


def _measure(url: str, count: int, slots: int, hops: int) -> dict[str, float]:
    library: Any = importlib.import_module("dbos")
    dbos = library.DBOS
    dbos(config={"name": "benchmark", "system_database_url": url, "log_level": "ERROR"})

    @dbos.step()
    async def noop() -> str:  # pyright: ignore[reportUntypedFunctionDecorator] - DBOS is not in the environment
        return "done"

    @dbos.workflow()
    async def wide(number: int) -> None:  # pyright: ignore[reportUntypedFunctionDecorator]
        free = asyncio.Semaphore(slots)

        async def one() -> None:
            async with free:
                await noop()

        await asyncio.gather(*(one() for _ in range(number)))

    @dbos.workflow()
    async def chain(number: int) -> None:  # pyright: ignore[reportUntypedFunctionDecorator]
        for _ in range(number):
            await noop()

    async def timed(workflow: Callable[[int], Awaitable[None]], number: int) -> float:
        began = time.perf_counter()
        await workflow(number)
        return (time.perf_counter() - began) * 1000 / number

    async def main() -> dict[str, float]:
        await wide(20)
        return {"wide": await timed(wide, count), "chain": await timed(chain, hops)}

    dbos.launch()
    try:
        return asyncio.run(main())
    finally:
        dbos.destroy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=4, required=True, metavar=("URL", "COUNT", "SLOTS", "HOPS"))
    url, *numbers = parser.parse_args().one
    print(json.dumps(_measure(url, *map(int, numbers))))

"""Overhead: what the engine costs per subtask that does nothing, beside bare LangGraph.

On the agent path each subtask is brief, executor, one call of a tool, executor and verifier, with a model that takes
no time and a tool that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import tool
from benchmarks.dag import Dag, Task
from benchmarks.dbos_steps import STEPS, dbos_steps
from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.model import InstantModel
from benchmarks.rival import TaskRun, run_waves
from benchmarks.store import our_saver, rival_saver, temporary_folder
from openmanus_graph import build_plan_graph
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.graphs.durable import DurableStateGraph
from openmanus_graph.graphs.manus import build_manus_graph

SLOTS = 8
DIRECT_TARGET_MS = 5.0
AGENT_TARGET_MS = 10.0
CHAIN_TARGET_MS = 3.5
HOPS = 100
SERIES = ("direct", "CPU of direct", "agent", "CPU of agent", "nested", "tasks", "send", "dbos")
LARGEST_JUDGED = 1000
"""Beyond so many subtasks, figures are only reported."""
LARGEST = 10_000
GROWTH_TARGET = 1.15
NESTED = "@task, one-node graph in each"
TASKS = "@task, nothing in it"


def independent(count: int) -> dict[str, Any]:
    """A plan of so many no-ops that need nothing."""
    return {"subtasks": [{"id": f"s{number}", "tool": "noop"} for number in range(count)]}


def worked_on(count: int) -> dict[str, Any]:
    """A plan of so many subtasks for an agent, each of which takes three calls of a model and one of a tool."""
    subtasks = [
        {"id": f"s{number}", "goal": "do nothing", "agent": "executor", "tools": ["noop"]} for number in range(count)
    ]
    return {"subtasks": subtasks}


def chain(count: int) -> dict[str, Any]:
    """A plan of so many no-ops, each after the one before."""
    needs = [[], *([f"s{number}"] for number in range(count - 1))]
    return {"subtasks": [{"id": f"s{i}", "tool": "noop", "needs": needs[i]} for i in range(count)]}


async def engine(
    graph: DurableStateGraph, plan: dict[str, Any], saver: ThreadSaver, folder: Path, cpu: list[float] | None = None
) -> float:
    """Milliseconds per subtask of a plain `ainvoke`; those of this process' own CPU time go to `cpu`."""
    count = len(plan["subtasks"])
    app = graph.compile(checkpointer=saver)
    thread = uuid.uuid4().hex
    config = {"configurable": {"thread_id": thread, "workspace": str(folder / thread), "max_parallel": SLOTS}}
    began, busy = time.perf_counter(), time.process_time()
    out = await app.ainvoke({"plan": plan}, config)  # pyright: ignore - a plain dict
    took = time.perf_counter() - began
    if cpu is not None:
        cpu.append((time.process_time() - busy) * 1000 / count)
    if [result["status"] for result in out["results"].values()] != ["completed"] * count:
        raise RuntimeError("not every subtask was completed")
    return took * 1000 / count


async def _nothing(seconds: float) -> None:
    """Do nothing."""


def _figures(count: int, best: dict[str, float]) -> list[Figure]:
    direct = best["direct"]
    if count > LARGEST_JUDGED:
        return [Figure(f"direct call, {count} subtasks", direct, "ms")]
    target = DIRECT_TARGET_MS
    figures = [
        Figure(f"direct call, {count} subtasks", direct, "ms", target, best["nested"], NESTED),
        Figure("the same beside tasks", direct, "ms", None, best["tasks"], TASKS),
        Figure("the same beside Send", direct, "ms", None, best["send"], "Send fan-out"),
        Figure("the same beside DBOS", direct, "ms", None, best["dbos"], STEPS),
    ]
    if "agent" in best:
        name = f"agent path (5 steps), {count} subtasks"
        figures.append(Figure(name, best["agent"], "ms", AGENT_TARGET_MS, best["nested"], NESTED))
        figures.append(Figure("the same, CPU time of this process", best["CPU of agent"], "ms"))
    return figures


async def measure(counts: Sequence[int], home: Path, url: str | None, repeats: int) -> list[Figure]:
    """Run every count on every engine; the median of the repeats counts."""
    settings = Settings.load(max_subtasks=100_000)
    figures: list[Figure] = []
    directs: dict[int, float] = {}
    chains: list[float] = []
    async with our_saver(home, url) as ours, rival_saver(ours) as theirs:
        gc.collect()
        await engine(build_plan_graph([tool.noop], settings=settings), independent(20), ours, home)
        for count in counts:
            plan = independent(count)
            times = repeats if count <= LARGEST_JUDGED else 1
            wave = Dag("noops", tuple(Task(f"s{number}", "noop", 0.0, ()) for number in range(count)))
            found: dict[str, list[float]] = {name: [] for name in SERIES}
            for _ in range(times):
                gc.collect()
                direct = build_plan_graph([tool.noop], settings=settings)
                found["direct"].append(await engine(direct, plan, ours, home, found["CPU of direct"]))
                if count <= LARGEST_JUDGED:
                    agent = build_manus_graph(InstantModel(), [tool.noop], settings=settings)
                    cpu = found["CPU of agent"]
                    found["agent"].append(await engine(agent, worked_on(count), ours, home, cpu))
                if count > LARGEST_JUDGED:
                    continue  # LangGraph's own calls take the square of their number
                nested = TaskRun(count, _nothing, theirs, SLOTS, nested=True)
                found["nested"].append(await nested() * 1000 / count)
                found["tasks"].append(await TaskRun(count, _nothing, theirs, SLOTS)() * 1000 / count)
                steps = await asyncio.to_thread(dbos_steps, ours.conninfo, count, SLOTS, HOPS)
                found["dbos"].append(steps["wide"])
                chains.append(steps["chain"])
                found["send"].append(await run_waves(wave, _nothing, theirs, SLOTS) * 1000 / count)
            best = {name: middle(values) for name, values in found.items() if values}
            shown = ", ".join(f"{name} {value:.2f} ms" for name, value in best.items())
            spread = f"{min(found['direct']):.2f}-{max(found['direct']):.2f}"
            say(f"{count} no-op subtasks, {times} runs: {shown} (direct {spread})")
            figures += _figures(count, best)
            directs[count] = best["direct"]
        if {LARGEST_JUDGED, LARGEST} <= directs.keys():
            grown = directs[LARGEST] / directs[LARGEST_JUDGED]
            figures.append(Figure("a direct call at 10,000 beside one at 1,000", grown, "×", GROWTH_TARGET))
        hops = build_plan_graph([tool.noop], settings=settings)
        hop = middle([await engine(hops, chain(HOPS), ours, home) for _ in range(repeats)])
        name = f"chain of {HOPS} direct calls, per subtask"
        figures.append(Figure(name, hop, "ms", CHAIN_TARGET_MS, middle(chains) if chains else None, STEPS))
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--counts", type=int, nargs="+", help="numbers of subtasks")
    parser.add_argument("--quick", action="store_true", help="100 subtasks only")
    given = parser.parse_args(arguments)
    counts = given.counts or ([100] if given.quick else [100, 1_000, 10_000])
    with temporary_folder() as home:
        return asyncio.run(measure(counts, home, given.url, repeats=3))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

"""Makespan: how close a plan comes to the bound of its DAG, beside the same DAG as bare LangGraph waves."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from benchmarks import tool
from benchmarks.dag import Dag, generated_dags, read_dags
from benchmarks.figure import Figure, machine, say, table
from benchmarks.rival import run_waves
from benchmarks.store import our_saver, rival_saver, temporary_folder
from openmanus_graph import Plan, build_plan_graph
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.plans.list_schedule import list_schedule
from openmanus_graph.plans.sampled_order import sampled_order
from openmanus_graph.plans.schedule import Order, upward_ranks

SLOTS = 8
RANDOM_ORDERS = 3_000
COST_SECONDS = 0.005
"""What the engine may cost per subtask; Graham's bound is checked with that much added for each."""
UNLIMITED_TARGET = 1.05
SIMULATED_TARGET = 1.02
SLOTS_TARGET = 1.15
WAVES = "Send waves"


@dataclass(frozen=True)
class Bench:
    """Where the runs of one measurement take place."""

    ours: ThreadSaver
    theirs: AsyncPostgresSaver
    folder: Path

    async def engine(self, dag: Dag, slots: int, *, expected: bool) -> float:
        """Seconds of a plain `ainvoke` of the DAG's plan."""
        graph = build_plan_graph([tool.wait], settings=Settings.load(max_subtasks=100_000))
        app = graph.compile(checkpointer=self.ours)
        thread = uuid.uuid4().hex
        config = {
            "configurable": {
                "thread_id": thread,
                "workspace": str(self.folder / thread),
                "max_parallel": slots,
            }
        }
        plan = dag.plan(expected=expected)
        began = time.perf_counter()
        out = await app.ainvoke({"plan": plan}, config)  # pyright: ignore - a plain dict
        took = time.perf_counter() - began
        wrong = [name for name, result in out["results"].items() if result["status"] != "completed"]
        if wrong or len(out["results"]) != len(dag.tasks):
            raise RuntimeError(f"not completed: {wrong[:5]!r}")
        return took

    async def waves(self, dag: Dag, slots: int | None) -> float:
        """Seconds of the same DAG as waves."""
        return await run_waves(dag, asyncio.sleep, self.theirs, slots)


def scale(dag: Dag, path_seconds: float, slots: int, longest: float) -> Dag:
    """The DAG with the given critical path, or shorter: its bound on the slots stays below `longest`."""
    factor = path_seconds / dag.critical_path
    return dag.scaled(factor * min(1.0, longest / (dag.bound(slots) * factor)))


def graham_held(dag: Dag, slots: int, took: float) -> bool:
    """Whether `max(CP, W/P) ≤ makespan ≤ Graham's bound` and the engine's own time, which is one after the other."""
    return dag.bound(slots) <= took <= dag.graham(slots) + COST_SECONDS * len(dag.tasks)


@dataclass
class Ratios:
    """Makespans as multiples of their bounds, one of each kind per DAG."""

    unlimited: list[tuple[float, float]] = field(default_factory=list)
    """Without a limit of slots: the engine's, then the waves'."""
    hinted: list[float] = field(default_factory=list)
    """The engine on `SLOTS`, which is told `kind` and `expected_s`."""
    plain: list[float] = field(default_factory=list)
    """The engine on `SLOTS`, which knows the needs alone."""
    waves: list[float] = field(default_factory=list)
    """The waves on `SLOTS`."""
    hinted_beside: list[float] = field(default_factory=list)
    """What `hinted` took, as multiples of the simulated schedules of the same order."""
    plain_beside: list[float] = field(default_factory=list)
    """The same of `plain`."""
    broken: list[str] = field(default_factory=list)
    """Runs outside Graham's bound."""

    def figures(self) -> list[Figure]:
        """The rows of the table."""
        ours, theirs = (mean(pair[side] for pair in self.unlimited) for side in (0, 1))
        worst = max(self.unlimited)
        bound, waves = f"max(CP, W/{SLOTS})", mean(self.waves)
        return [
            Figure("makespan / CP, unlimited slots, mean", ours, "×", UNLIMITED_TARGET, theirs, WAVES),
            Figure("the same, worst DAG", worst[0], "×", UNLIMITED_TARGET, worst[1], WAVES),
            Figure(f"makespan / {bound}, {SLOTS} slots, mean", mean(self.hinted), "×", SLOTS_TARGET, waves, WAVES),
            Figure("the same without expected_s", mean(self.plain), "×", SLOTS_TARGET, waves, WAVES),
            Figure("makespan / its simulated schedule, worst DAG", max(self.hinted_beside), "×", SIMULATED_TARGET),
            Figure("the same without expected_s, worst DAG", max(self.plain_beside), "×", SIMULATED_TARGET),
            Figure("runs outside Graham's bound", len(self.broken), "runs", 0),
        ]


async def _without_limit(bench: Bench, dag: Dag, ratios: Ratios) -> None:
    count, path = len(dag.tasks), dag.critical_path
    took, waved = await bench.engine(dag, count, expected=True), await bench.waves(dag, None)
    ratios.unlimited.append((took / path, waved / path))
    if not graham_held(dag, count, took):
        ratios.broken.append(f"{dag.name} without limit")
    say(
        f"{dag.name}: {count} tasks, unlimited slots, CP {path:.1f} s: engine {took:.2f} s"
        f" ({took / path:.3f} × CP), {WAVES} {waved:.2f} s ({waved / path:.3f})"
    )


def simulated(dag: Dag, *, expected: bool) -> float:
    """Seconds of the schedule that the engine's order gives on `SLOTS`, if nothing but the work takes time."""
    plan = Plan.from_dict(dag.plan(expected=expected))
    needs: dict[str, tuple[str, ...]] = {task.id: task.needs for task in dag.tasks}
    seconds = {task.id: task.seconds for task in dag.tasks}
    ranks = upward_ranks(plan)
    order: dict[str, Order] = {task.id: (0.0, -ranks[task.id], place) for place, task in enumerate(dag.tasks)}
    return list_schedule(needs, sampled_order(needs, order, seconds, SLOTS) if expected else order, seconds, SLOTS)[1]


def other_orders(dag: Dag) -> str:
    """Other orders, simulated, as multiples of the bound: the ranks alone, first come, and the best of random ones."""
    needs: dict[str, tuple[str, ...]] = {task.id: task.needs for task in dag.tasks}
    seconds = {task.id: task.seconds for task in dag.tasks}
    ranks = upward_ranks(Plan.from_dict(dag.plan(expected=True)))
    places = {task.id: float(place) for place, task in enumerate(dag.tasks)}
    chance = random.Random(2026)

    def took(order: dict[str, Order]) -> float:
        return list_schedule(needs, order, seconds, SLOTS)[1] / dag.bound(SLOTS)

    by_rank = took({key: (-ranks[key], place) for key, place in places.items()})
    fifo = took({key: (place,) for key, place in places.items()})
    best = min(took({key: (chance.random(), place) for key, place in places.items()}) for _ in range(RANDOM_ORDERS))
    return f"ranks {by_rank:.3f}, first come {fifo:.3f}, best of {RANDOM_ORDERS:,} random orders {best:.3f}"


async def _on_slots(bench: Bench, dag: Dag, ratios: Ratios) -> None:
    bound = dag.bound(SLOTS)
    hinted, plain = [await bench.engine(dag, SLOTS, expected=known) for known in (True, False)]
    waved = await bench.waves(dag, SLOTS)
    ratios.hinted.append(hinted / bound)
    ratios.plain.append(plain / bound)
    ratios.waves.append(waved / bound)
    known, unknown = (simulated(dag, expected=given) for given in (True, False))
    ratios.hinted_beside.append(hinted / known)
    ratios.plain_beside.append(plain / unknown)
    ratios.broken += [f"{dag.name} on {SLOTS}" for took in (hinted, plain) if not graham_held(dag, SLOTS, took)]
    say(
        f"{dag.name}: {SLOTS} slots, CP {dag.critical_path:.1f} s, W/{SLOTS} {dag.work / SLOTS:.1f} s,"
        f" Graham {dag.graham(SLOTS):.1f} s: engine {hinted:.2f} s ({hinted / bound:.3f} × bound),"
        f" without expected_s {plain:.2f} s ({plain / bound:.3f}),"
        f" {WAVES} {waved:.2f} s ({waved / bound:.3f}); simulated {known / bound:.3f} and {unknown / bound:.3f},"
        f" {other_orders(dag)}"
    )


async def measure(dags: list[Dag], home: Path, url: str | None, path_seconds: float, longest: float) -> list[Figure]:
    """Run every DAG on every variant, one after the other."""
    ratios = Ratios()
    async with our_saver(home, url) as ours, rival_saver(ours) as theirs:
        bench = Bench(ours, theirs, home)
        for dag in dags:
            await _without_limit(bench, scale(dag, path_seconds, len(dag.tasks), longest), ratios)
            await _on_slots(bench, scale(dag, path_seconds, SLOTS, longest), ratios)
    held = f"broken by {', '.join(ratios.broken)}" if ratios.broken else "held by every run"
    say(f"Graham's bound, and {COST_SECONDS * 1000:g} ms of the engine per subtask: {held}")
    return ratios.figures()


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.makespan", description=__doc__)
    parser.add_argument("--dags", type=Path, help="folder of DAG files; generated DAGs by default")
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="critical path of 3 s instead of 10 s")
    given = parser.parse_args(arguments)
    dags = read_dags(given.dags) if given.dags else generated_dags()
    if not dags:
        parser.error(f"no *.json in {given.dags}")
    with temporary_folder() as home:
        return asyncio.run(measure(dags, home, given.url, 3.0 if given.quick else 10.0, 20.0 if given.quick else 55.0))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

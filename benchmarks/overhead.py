"""Overhead: what the engine costs per subtask that does nothing, beside bare LangGraph.

The agent path is measured on a stand-in: a graph of the same shape (brief, executor, one tool, executor,
verifier, all no-ops) that the real dispatcher calls as it calls the subtask graph. There is no model in it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from benchmarks import tool
from benchmarks.dag import Dag, Task
from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.rival import TaskRun, run_waves
from benchmarks.store import our_saver, rival_saver, temporary_folder
from openmanus_graph import build_plan_graph
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.events import now
from openmanus_graph.graphs.durable import DurableStateGraph
from openmanus_graph.graphs.plan import PlanGraph
from openmanus_graph.nodes.dispatcher import NODE, SubtaskGraph, dispatcher_node
from openmanus_graph.nodes.gate import gated
from openmanus_graph.nodes.tool import SubtaskRun
from openmanus_graph.settings import Settings
from openmanus_graph.state import PlanInput, PlanOutput, PlanState, SubtaskResult, SubtaskState

SLOTS = 8
DIRECT_TARGET_MS = 5.0
AGENT_TARGET_MS = 10.0
HOPS = 100
SERIES = ("direct", "CPU of direct", "agent", "nested", "tasks", "send")
LARGEST_JUDGED = 1000
"""Beyond so many subtasks, figures are only reported."""
NESTED = "@task, one-node graph in each"
TASKS = "@task, nothing in it"


def independent(count: int) -> dict[str, Any]:
    """A plan of so many no-ops that need nothing."""
    return {"subtasks": [{"id": f"s{number}", "tool": "noop"} for number in range(count)]}


def agent_stand_in() -> SubtaskGraph:
    """A graph with the steps of an agent's subtask, all of them empty."""
    graph: StateGraph[SubtaskState, SubtaskRun, SubtaskState, SubtaskState] = StateGraph(
        SubtaskState, context_schema=SubtaskRun
    )

    async def step(state: SubtaskState, config: Any, runtime: Runtime[SubtaskRun]) -> dict[str, Any]:
        return {"attempts": state.get("attempts", 0) + 1}

    async def verifier(state: SubtaskState, config: Any, runtime: Runtime[SubtaskRun]) -> dict[str, Any]:
        result = SubtaskResult(
            status="completed",
            output="done",
            error=None,
            attempts=1,
            started_at=now(),
            finished_at=now(),
            definition=state.get("definition", ""),
            output_file=None,
        )
        return {"result": result}

    for name in ("brief", "executor", "noop"):
        graph.add_node(name, cast("Any", gated(step, name)))
    graph.add_node("verifier", cast("Any", gated(verifier, "verifier")))
    graph.add_edge(START, "brief")
    graph.add_edge("brief", "executor")
    graph.add_conditional_edges(
        "executor", lambda state: "noop" if state["attempts"] == 2 else "verifier", ["noop", "verifier"]
    )
    graph.add_edge("noop", "executor")
    graph.add_edge("verifier", END)
    return graph.compile(checkpointer=True, name="subtask")


class AgentStandInPlan(PlanGraph):
    """The plan graph with the stand-in where the subtask graph is."""

    def __init__(self, settings: Settings) -> None:
        """Build it."""
        DurableStateGraph.__init__(self, PlanState, input_schema=PlanInput, output_schema=PlanOutput)
        self.tools = {"noop": tool.noop}
        self.settings = settings
        self.add_node(NODE, cast("Any", dispatcher_node(agent_stand_in(), self.tools, settings)))
        self.add_edge(START, NODE)
        self.add_edge(NODE, END)


def chain(count: int) -> dict[str, Any]:
    """A plan of so many no-ops, each after the one before."""
    needs = [[], *([f"s{number}"] for number in range(count - 1))]
    return {"subtasks": [{"id": f"s{i}", "tool": "noop", "needs": needs[i]} for i in range(count)]}


async def engine(
    graph: PlanGraph, plan: dict[str, Any], saver: ThreadSaver, folder: Path, cpu: list[float] | None = None
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
    target = DIRECT_TARGET_MS if count <= LARGEST_JUDGED else None
    figures = [
        Figure(f"direct call, {count} subtasks", direct, "ms", target, best["nested"], NESTED),
        Figure("the same beside tasks", direct, "ms", None, best["tasks"], TASKS),
        Figure("the same beside Send", direct, "ms", None, best["send"], "Send fan-out"),
    ]
    if "agent" in best:
        name = f"agent path (stand-in, 5 steps), {count} subtasks"
        figures.append(Figure(name, best["agent"], "ms", AGENT_TARGET_MS, best["nested"], NESTED))
    return figures


async def measure(counts: Sequence[int], home: Path, url: str | None, repeats: int) -> list[Figure]:
    """Run every count on every engine; the median of the repeats counts."""
    settings = Settings.load(max_subtasks=100_000)
    figures: list[Figure] = []
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
                    found["agent"].append(await engine(AgentStandInPlan(settings), plan, ours, home))
                nested = TaskRun(count, _nothing, theirs, SLOTS, nested=True)
                found["nested"].append(await nested() * 1000 / count)
                found["tasks"].append(await TaskRun(count, _nothing, theirs, SLOTS)() * 1000 / count)
                found["send"].append(await run_waves(wave, _nothing, theirs, SLOTS) * 1000 / count)
            best = {name: middle(values) for name, values in found.items() if values}
            shown = ", ".join(f"{name} {value:.2f} ms" for name, value in best.items())
            spread = f"{min(found['direct']):.2f}-{max(found['direct']):.2f}"
            say(f"{count} no-op subtasks, {times} runs: {shown} (direct {spread})")
            figures += _figures(count, best)
        hops = build_plan_graph([tool.noop], settings=settings)
        hop = middle([await engine(hops, chain(HOPS), ours, home) for _ in range(repeats)])
        figures.append(Figure(f"chain of {HOPS} direct calls, per subtask", hop, "ms"))
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--counts", type=int, nargs="+", help="numbers of subtasks")
    parser.add_argument("--quick", action="store_true", help="100 subtasks only")
    given = parser.parse_args(arguments)
    counts = given.counts or ([100] if given.quick else [100, 1000, 5000])
    with temporary_folder() as home:
        return asyncio.run(measure(counts, home, given.url, repeats=3))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

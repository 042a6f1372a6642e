"""The order of starts: that of a list schedule, however long results take to be stored."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from benchmarks.dag import Dag, generated_dags
from openmanus_graph import Plan, build_plan_graph
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.langgraph_internals import RETURN
from openmanus_graph.plans.list_schedule import list_schedule
from openmanus_graph.plans.sampled_order import sampled_order
from openmanus_graph.plans.schedule import Order, upward_ranks
from tests.engine.plans import thread
from tests.virtual_time import run_virtual


class DelayedSaver(InMemorySaver):
    """A saver that takes its time, of the virtual kind."""

    def __init__(self, delay_s: float) -> None:
        super().__init__()
        self.delay_s = delay_s

    async def aput(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self.delay_s)
        return await super().aput(*args, **kwargs)

    async def aput_writes(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(self.delay_s)
        await super().aput_writes(*args, **kwargs)


def timed_plan(dag: Dag) -> dict[str, Any]:
    subtasks = dag.plan(expected=True)["subtasks"]
    return {"subtasks": [{**one, "args": {**one["args"], "name": one["id"]}} for one in subtasks]}


def run(plan: dict[str, Any], slots: int, delay_s: float) -> tuple[dict[str, float], float]:
    """When the tools of a plan are called, in order, and the seconds until it has ended."""
    starts: dict[str, float] = {}

    @tool
    async def wait(name: str, seconds: float) -> None:
        """Wait."""
        starts[name] = asyncio.get_running_loop().time()
        await asyncio.sleep(seconds)

    async def main() -> float:
        app = build_plan_graph([wait]).compile(checkpointer=DelayedSaver(delay_s))
        out = await app.ainvoke({"plan": plan}, {"configurable": {"thread_id": "t", "max_parallel": slots}})  # pyright: ignore
        assert {result["status"] for result in out["results"].values()} == {"completed"}
        return asyncio.get_running_loop().time()

    return starts, run_virtual(main())


@pytest.mark.parametrize("slots", [2, 8])
@pytest.mark.parametrize("delay_s", [0, 0.02, 0.2])
@pytest.mark.parametrize("dag", generated_dags(seed=1), ids=lambda dag: dag.name)
def test_it_is_that_of_a_simulated_list_schedule(dag: Dag, delay_s: float, slots: int) -> None:
    raw = timed_plan(dag)
    plan = Plan.from_dict(raw)
    one = {"subtasks": [{"id": "a", "tool": "wait", "args": {"name": "a", "seconds": 1}}]}
    chain = {"subtasks": [one["subtasks"][0], {**one["subtasks"][0], "id": "b", "needs": ["a"]}]}
    cost = run(chain, 1, delay_s)[1] - run(one, 1, delay_s)[1] - 1  # what each subtask costs beside its work
    needs = {task.id: task.needs for task in dag.tasks}
    ranks = upward_ranks(plan)
    by_rank: dict[str, Order] = {
        subtask.id: (-subtask.priority, -ranks[subtask.id], place) for place, subtask in enumerate(plan.subtasks)
    }
    order = sampled_order(needs, by_rank, {task.id: task.seconds for task in dag.tasks}, slots)
    starts, ends = list_schedule(needs, order, {task.id: task.seconds + cost for task in dag.tasks}, slots)
    found, took = run(raw, slots, delay_s)
    first = min(found.values())
    assert {key: at - first for key, at in found.items()} == pytest.approx(starts, abs=1e-6)
    assert took == pytest.approx(ends, abs=5 * delay_s + 1e-6)


@pytest.mark.postgres
async def test_a_dependant_starts_before_langgraphs_record_of_what_it_needs_is_stored(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_began = asyncio.Event()
    put_writes = ThreadSaver.aput_writes

    async def held_back(self: ThreadSaver, config: Any, writes: Any, *others: Any) -> None:
        if config["configurable"]["checkpoint_ns"] == "" and any(channel == RETURN for channel, _ in writes):
            await second_began.wait()
        await put_writes(self, config, writes, *others)

    @tool
    async def step(number: int) -> int:
        """Count."""
        if number == 2:
            second_began.set()
        return number

    monkeypatch.setattr(ThreadSaver, "aput_writes", held_back)
    app = build_plan_graph([step]).compile(checkpointer=saver)
    first: dict[str, Any] = {"id": "a", "tool": "step", "args": {"number": 1}}
    second: dict[str, Any] = {"id": "b", "tool": "step", "args": {"number": 2}, "needs": ["a"]}
    async with asyncio.timeout(60):
        out = await app.ainvoke({"plan": {"subtasks": [first, second]}}, thread())
    assert [out["results"][key]["output"] for key in "ab"] == [1, 2]

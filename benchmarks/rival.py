"""Rival: the same work on bare LangGraph, without this engine."""

from __future__ import annotations

import asyncio
import operator
import time
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypedDict, cast

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.dag import Dag

Work = Callable[[float], Awaitable[Any]]


class WaveState(TypedDict, total=False):
    """State of a wave schedule."""

    wave: int
    done: Annotated[list[str], operator.add]
    task: dict[str, Any]


def wave_graph(dag: Dag, work: Work) -> StateGraph[WaveState, None, WaveState, WaveState]:
    """The DAG level by level: one `Send` per task, each level after the slowest of the one before."""
    levels = dag.levels

    async def advance(state: WaveState) -> WaveState:
        return {"wave": state.get("wave", -1) + 1}

    def fan_out(state: WaveState) -> list[Send] | str:
        wave = state.get("wave", 0)
        if wave >= len(levels):
            return END
        return [Send("work", {"task": {"id": one.id, "seconds": one.seconds}}) for one in levels[wave]]

    async def run_one(state: WaveState) -> WaveState:
        given = state.get("task", {})
        await work(given["seconds"])
        return {"done": [given["id"]]}

    graph: StateGraph[WaveState, None, WaveState, WaveState] = StateGraph(WaveState)
    graph.add_node("advance", advance)
    graph.add_node("work", run_one)
    graph.add_edge(START, "advance")
    graph.add_conditional_edges("advance", fan_out, ["work", END])
    graph.add_edge("work", "advance")
    return graph


async def run_waves(dag: Dag, work: Work, saver: AsyncPostgresSaver, slots: int | None) -> float:
    """Seconds that the wave schedule takes, each level committed before the next.

    Args:
        dag: What to run.
        work: What a task does with its seconds.
        saver: LangGraph's saver.
        slots: Tasks that may run at the same time; `None` means no limit.
    """
    app = wave_graph(dag, work).compile(checkpointer=saver)
    config: dict[str, Any] = {
        "configurable": {"thread_id": uuid.uuid4().hex},
        "recursion_limit": 10_000,
        "max_concurrency": slots,
    }
    began = time.perf_counter()
    out = await app.ainvoke({"done": []}, config, durability="sync")  # pyright: ignore - a plain dict
    took = time.perf_counter() - began
    if len(out["done"]) != len(dag.tasks):
        raise RuntimeError(f"the waves ran {len(out['done'])} of {len(dag.tasks)} tasks")
    return took


class OneState(TypedDict):
    """State of a one-node graph."""

    number: int


def _one_node(work: Work) -> Any:
    """A graph that does the work in its one node, compiled as a subtask's graph is."""

    async def node(state: OneState) -> OneState:
        await work(0.0)
        return state

    graph: StateGraph[OneState, None, OneState, OneState] = StateGraph(OneState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile(checkpointer=True)


class TaskRun:
    """An entrypoint that calls `@task` once per step, up to `slots` at the same time."""

    def __init__(self, count: int, work: Work, saver: AsyncPostgresSaver, slots: int, *, nested: bool = False) -> None:
        """Note what to run.

        Args:
            count: How many steps.
            work: What each does; it is given 0 seconds.
            saver: LangGraph's saver.
            slots: Steps that may run at the same time.
            nested: Whether each step is a one-node graph with checkpoints of its own, as a subtask is.
        """
        self.config: dict[str, Any] = {"configurable": {"thread_id": uuid.uuid4().hex}}
        free = asyncio.Semaphore(slots)

        inner = _one_node(work)

        async def body(number: int) -> int:
            async with free:
                if nested:
                    await inner.ainvoke({"number": number}, durability="sync")
                else:
                    await work(0.0)
            return number

        @entrypoint(checkpointer=saver)
        async def run(total: int) -> int:
            # A function and a name each, else the graphs inside would share a namespace.
            steps: list[Any] = [task(cast("Any", partial(body)), name=f"step {number}") for number in range(total)]
            return len(await asyncio.gather(*(step(number) for number, step in enumerate(steps))))

        self._app = run
        self._count = count

    async def __call__(self, *, again: bool = False) -> float:
        """Run it, or go on with it; the seconds it took."""
        began = time.perf_counter()
        given: Any = None if again else self._count
        out = await self._app.ainvoke(given, self.config, durability="sync")  # pyright: ignore - a plain dict
        if out != self._count:
            raise RuntimeError(f"the entrypoint ran {out} of {self._count} steps")
        return time.perf_counter() - began

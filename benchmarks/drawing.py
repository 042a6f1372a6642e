"""Drawing: how long a picture takes, of plans and of the agent's own graph."""

from __future__ import annotations

import argparse
import operator
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

from benchmarks.dag import Dag, generated_dags, read_dags
from benchmarks.figure import Figure, machine, middle, say, table

TARGETS = {60: 0.020, 500: 1.0}
"""Seconds that a picture of so many nodes may take."""


class _State(TypedDict, total=False):
    x: Annotated[list[int], operator.add]


def _seconds(draw: Callable[[], str], repeats: int) -> float:
    """Median seconds of a picture, after one that does not count."""
    times: list[float] = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        draw()
        times.append(time.perf_counter() - began)
    return middle(times[1:])


def _plan_picture(count: int) -> Callable[[], str]:
    """A picture of a plan in which each subtask needs one to three of the ten before it."""
    from openmanus_graph import Plan
    from openmanus_graph.drawing.plan import plan_svg

    chance = random.Random(count)
    steps: list[dict[str, object]] = []
    for number in range(count):
        before = range(max(0, number - 10), number)
        needs = sorted(chance.sample(before, min(len(before), chance.randint(1, 3))))
        named = [f"s{need}" for need in needs]
        steps.append({"id": f"s{number}", "tool": "bash", "args": {"command": "true"}, "needs": named})
    plan = Plan.from_dict({"goal": "Measured", "subtasks": steps})
    states = dict.fromkeys((f"s{number}" for number in range(count // 2)), "completed")
    return lambda: plan_svg(plan, states)  # pyright: ignore[reportArgumentType] - the values are states


def _dag_picture(dag: Dag) -> Callable[[], str]:
    from openmanus_graph.drawing.diagram import Box, Diagram, Link
    from openmanus_graph.drawing.svg import svg

    boxes = [Box(task.id, task.id, task.kind) for task in dag.tasks]
    links = [Link(need, task.id) for task in dag.tasks for need in task.needs]
    return lambda: svg(Diagram(boxes, links, dag.name))


def _graph_picture(count: int) -> Callable[[], str]:
    """A picture of a compiled graph, each tenth of whose nodes leads back, ends or goes on, by three named answers."""
    from langgraph.graph import END, START, StateGraph

    from openmanus_graph.drawing.graph import graph_svg

    chance = random.Random(count)
    graph: Any = StateGraph(_State)
    for number in range(count):
        graph.add_node(f"n{number}", lambda state: state)  # pyright: ignore[reportUnknownLambdaType] - never called
    graph.add_edge(START, "n0")
    for number in range(1, count):
        before = f"n{chance.randrange(max(0, number - 8), number)}"
        if number % 10:
            graph.add_edge(before, f"n{number}")
        else:
            answers = {"again": f"n{chance.randrange(number)}", "on": f"n{number}", "enough": END}
            graph.add_conditional_edges(before, lambda state: "on", answers)  # pyright: ignore[reportUnknownLambdaType]
    app = graph.compile()
    return lambda: graph_svg(app)


def _agent_picture() -> Callable[[], str]:
    from openmanus_graph import build_manus_graph
    from openmanus_graph.drawing.graph import graph_svg
    from openmanus_graph.tools.registry import builtin_tools

    app = build_manus_graph("none/drawn", builtin_tools(), agents={}).compile()
    return lambda: graph_svg(app)


def measure(repeats: int, dags: Path | None) -> list[Figure]:
    """Draw everything."""
    figures = [
        Figure(f"picture of {count} nodes", _seconds(_plan_picture(count), repeats) * 1000, "ms", target * 1000)
        for count, target in TARGETS.items()
    ]
    figures += [
        Figure(
            f"picture of a LangGraph graph of {count} nodes",
            _seconds(_graph_picture(count), repeats) * 1000,
            "ms",
            target * 1000,
        )
        for count, target in TARGETS.items()
    ]
    found = _seconds(_agent_picture(), repeats) * 1000
    figures.append(Figure("picture of the agent's graph", found, "ms", TARGETS[60] * 1000))
    for dag in read_dags(dags) if dags else generated_dags():
        found = _seconds(_dag_picture(dag), repeats) * 1000
        target = TARGETS[60 if len(dag.tasks) <= 60 else 500] * 1000
        figures.append(Figure(f"picture of {dag.name}, {len(dag.tasks)} nodes", found, "ms", target))
    return figures


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--dags", type=Path, help="folder of DAG files; generated DAGs by default")
    given = parser.parse_args(arguments)
    return measure(5 if given.quick else 25, given.dags)


if __name__ == "__main__":
    say(machine())
    print(table(main()))

"""Rerun from every point of a run ends in the same results, and does again exactly what came causally after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openmanus_graph import Plan, ThreadSaver, build_plan_graph
from openmanus_graph.checkpoints.forking.fork import fork_thread
from openmanus_graph.checkpoints.history.checkpoint_ref import Point, points_of
from tests.engine.plans import plan, subtask
from tests.engine.sample_tools import TOOLS
from tests.travel.outcomes import finish, outputs


def branching(logfile: Path) -> dict[str, Any]:
    """Two branches, one of which asks a person, and a subtask that needs both."""

    def works(name: str, needs: list[str] | None = None) -> dict[str, Any]:
        return subtask(name, "work", needs, args={"name": name, "seconds": 0.0, "logfile": str(logfile)})

    return plan(
        works("first"),
        works("left", ["first"]),
        subtask("asks", "ask_human", ["first"], args={"inquire": "Which way?"}),
        works("right", ["asks"]),
        works("both", ["left", "right"]),
        works("alone"),
    )


def comes_after(made: dict[str, Any], points: list[Point], point: Point) -> set[str]:
    """The subtasks that are done again after a point: by their own definition, not by the cut's."""
    plan = Plan.parse(made)
    if point.namespace == "":
        last = [one for one in points if one.namespace == ""][-1]
        return set() if point.id == last.id else {one.id for one in plan.subtasks}
    dependants = plan.dependants()
    found: set[str] = set()
    waiting = list(dependants[str(point.subtask)])
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting += dependants[name]
    last = [one for one in points if one.namespace == point.namespace][-1]
    return found if point.id == last.id else found | {str(point.subtask)}


async def test_with_parallel_branches_and_a_question(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    logfile = tmp_path / "log"
    made = branching(logfile)
    first, asked = await finish(app, "t", {"plan": made})
    assert asked == 1
    points = await points_of(saver, "t")
    assert len(points) == 3 + 6 * 3
    for point in points:
        logfile.write_text("")
        fork = await fork_thread(saver, point.address, new_id=f"fork-{point.number}")
        results, asked = await finish(app, fork.thread.thread_id, None)
        again = comes_after(made, points, point)
        assert outputs(results) == outputs(first), point
        done = [line.removeprefix("start ") for line in logfile.read_text().splitlines() if line.startswith("start")]
        assert sorted(done) == sorted(again - {"asks"}), point
        assert asked == ("asks" in again), point
    assert await points_of(saver, "t") == points

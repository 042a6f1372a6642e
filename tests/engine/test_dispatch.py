"""A plan runs as a DAG: order, references, failures, slots, namespaces, drawings."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.tools import tool

from openmanus_graph import Plan, PlanError, Settings, ThreadSaver, build_plan_graph
from openmanus_graph.checkpoints.durations import Learned, learned_durations, shrunk
from openmanus_graph.drawing.graph import graph_mermaid, graph_text

from .plans import plan, subtask, thread
from .sample_tools import TOOLS, with_effect

pytestmark = pytest.mark.postgres


def statuses(out: dict[str, Any]) -> dict[str, str]:
    return {key: result["status"] for key, result in out["results"].items()}


async def finishing_order(app: Any, given: Any, config: Any) -> list[str]:
    return [
        event["subtask"]
        async for event in app.astream(given, config, stream_mode="custom")
        if event["type"] == "subtask_finished"
    ]


async def test_references_keep_types_and_reach_into_results(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    out = await app.ainvoke(
        {
            "plan": plan(
                subtask("a", "echo", args={"value": {"list": [1, 2.5, None], "name": "x"}}),
                subtask("b", "echo", args={"value": "${a.list}"}),
                subtask("c", "echo", args={"value": "n=${a.list.1} $${a}"}),
            )
        },
        thread(),
    )
    assert out["results"]["b"]["output"] == [1, 2.5, None]
    assert out["results"]["c"]["output"] == "n=2.5 ${a}"
    result = out["results"]["a"]
    assert (result["status"], result["error"], result["attempts"]) == ("completed", None, 1)
    assert result["started_at"] <= result["finished_at"]


async def test_a_plan_object_is_taken_too(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    out = await app.ainvoke({"plan": Plan.from_dict(plan(subtask("a")))}, thread())
    assert statuses(out) == {"a": "completed"}


async def test_no_barrier_between_branches(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        subtask("slow", args={"seconds": 1.5}),
        subtask("a"),
        subtask("b", needs=["a"]),
        subtask("c", needs=["b"]),
        subtask("end", needs=["c", "slow"]),
    )
    order = await finishing_order(app, {"plan": given}, thread())
    assert order == ["a", "b", "c", "slow", "end"]


async def test_a_failure_blocks_its_dependants_only(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    out = await app.ainvoke(
        {
            "plan": plan(
                subtask("bad", "fail", args={"message": "boom"}),
                subtask("after", needs=["bad"]),
                subtask("later", needs=["after"]),
                subtask("other"),
            )
        },
        thread(),
    )
    assert statuses(out) == {"bad": "failed", "after": "blocked", "later": "blocked", "other": "completed"}
    assert "boom" in out["results"]["bad"]["error"]
    assert "'bad' is failed" in out["results"]["after"]["error"]
    assert out["results"]["after"]["attempts"] == 0


class Crowd:
    """A tool that counts how many of its calls run at the same time.

    Its first calls wait until so many of them are there: a machine under load may be slow to start them.
    """

    def __init__(self, awaited: int, **facts: Any) -> None:
        self.most = self._now = 0
        complete = asyncio.Event()

        @tool
        async def count() -> int:
            """Count who is here."""
            self._now += 1
            self.most = max(self.most, self._now)
            if self.most >= awaited:
                complete.set()
            await complete.wait()
            await asyncio.sleep(0.05)  # in which one more than may be would come
            self._now -= 1
            return self.most

        self.tool = with_effect(count, "read", **facts)


async def test_slots_bound_what_runs_at_the_same_time(saver: ThreadSaver) -> None:
    crowd = Crowd(3)
    app = build_plan_graph([crowd.tool]).compile(checkpointer=saver)
    many = plan(*(subtask(f"s{index}", "count") for index in range(12)))
    await asyncio.wait_for(app.ainvoke({"plan": many}, thread(max_parallel=3)), 60)
    assert crowd.most == 3
    # LangGraph's own limit would hold slots for subtasks that only wait; it becomes ours.
    crowd.most = 0
    chained = plan(*(subtask(f"s{index}", "count", [f"s{index + 1}"] if index < 11 else []) for index in range(12)))
    limited: Any = {**thread("u"), "max_concurrency": 2}
    await asyncio.wait_for(app.ainvoke({"plan": chained}, limited), 60)
    assert crowd.most == 1


async def test_a_resource_has_a_limit_of_its_own(saver: ThreadSaver) -> None:
    crowd = Crowd(2, resource="browser")
    settings = Settings.load(resources={"browser": 2})
    app = build_plan_graph([crowd.tool], settings=settings).compile(checkpointer=saver)
    many = plan(*(subtask(f"s{index}", "count") for index in range(8)))
    await asyncio.wait_for(app.ainvoke({"plan": many}, thread()), 60)
    assert crowd.most == 2


async def test_priority_then_longest_path_then_plan_order(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        subtask("first"),
        subtask("second"),
        subtask("long"),
        subtask("long2", needs=["long"]),
        subtask("urgent", priority=5),
    )
    order = await finishing_order(app, {"plan": given}, thread(max_parallel=1))
    assert order == ["urgent", "long", "first", "second", "long2"]


async def test_a_dependant_of_higher_priority_overtakes_older_waiters(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(subtask("a", priority=9), subtask("b", needs=["a"], priority=9), subtask("c"), subtask("d"))
    assert await finishing_order(app, {"plan": given}, thread(max_parallel=1)) == ["a", "b", "c", "d"]


async def test_durations_are_learned_by_kind_and_change_the_order(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)

    def both(slow: float) -> dict[str, Any]:
        quick = subtask("quick", kind="quick", args={"seconds": 0.0})
        return plan(quick, subtask("slow", kind="slow", args={"seconds": slow}))

    assert await finishing_order(app, {"plan": both(0.3)}, thread("first", max_parallel=1)) == ["quick", "slow"]
    assert await finishing_order(app, {"plan": both(0.0)}, thread("second", max_parallel=1)) == ["slow", "quick"]
    learned = await learned_durations(saver, ["quick", "slow", "never"])
    assert learned.keys() == {"quick", "slow"}
    assert 0.1 < learned["slow"].mean_s < 0.3


async def test_one_namespace_a_subtask(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    names = [f"s{index}" for index in range(5)]
    await app.ainvoke({"plan": plan(*(subtask(name) for name in names))}, thread())
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT DISTINCT checkpoint_ns AS ns FROM checkpoints WHERE checkpoint_ns <> ''")
        ).fetchall()
    spaces = sorted(row["ns"] for row in rows)
    assert len(spaces) == len(names)
    for name, space in zip(names, spaces, strict=True):
        assert space.startswith(f"dispatcher|subtask {name} ")
        assert space.endswith(" r1")


async def test_blocking_tools_fill_all_slots(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    many = plan(*(subtask(f"s{index}", "block", args={"seconds": 0.4}) for index in range(16)))
    began = asyncio.get_running_loop().time()
    await app.ainvoke({"plan": many}, thread(max_parallel=16))
    assert asyncio.get_running_loop().time() - began < 16 * 0.4 / 2


async def test_an_invalid_plan_is_refused_before_anything_is_written(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    with pytest.raises(PlanError, match=r"'nep'.*'nap'"):
        await app.ainvoke({"plan": plan(subtask("a", "nep"))}, thread())
    async with saver.connection() as connection:
        row = await (await connection.execute("SELECT count(*) AS n FROM threads")).fetchone()
    assert row is not None
    assert row["n"] == 0


def test_the_drawing_shows_the_subtask_graph_inside() -> None:
    app = build_plan_graph(TOOLS).compile()
    nodes = app.get_graph(xray=True).nodes
    assert {"dispatcher:nap", "dispatcher:ask_human", "dispatcher:backoff"} <= set(nodes)
    assert "nap" in graph_text(app)
    assert "dispatcher" in graph_mermaid(app)


async def test_it_runs_without_a_saver_and_on_another_one() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    given = {"plan": plan(subtask("a"), subtask("b", needs=["a"]))}
    assert statuses(await build_plan_graph(TOOLS).compile().ainvoke(given)) == {
        "a": "completed",
        "b": "completed",
    }
    app = build_plan_graph(TOOLS).compile(checkpointer=InMemorySaver())
    assert statuses(await app.ainvoke(given, thread())) == {"a": "completed", "b": "completed"}


async def test_large_outputs_go_to_a_file_and_references_get_them_whole(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    big = {"words": ["x" * 50] * 2000, "n": 7}
    out = await app.ainvoke(
        {
            "plan": plan(
                subtask("a", "echo", args={"value": big}),
                subtask("b", "echo", args={"value": "${a.n}"}),
                subtask("c", "echo", args={"value": "${a.words.1999}"}),
            )
        },
        thread(),
    )
    kept = out["results"]["a"]
    assert kept["output"]["file"] == kept["output_file"]
    assert len(kept["output"]["preview"]) <= 2000
    assert out["results"]["b"]["output"] == 7
    assert out["results"]["c"]["output"] == "x" * 50


def test_a_kind_that_has_seldom_run_is_drawn_towards_its_tool() -> None:
    tool = Learned(10.0, 100)
    assert shrunk(None, None) is None
    assert shrunk(None, tool) == 10.0
    assert shrunk(Learned(1.0, 1), None) == 1.0
    assert shrunk(Learned(1.0, 1), tool) == pytest.approx(7.0)
    assert shrunk(Learned(1.0, 1000), tool) == pytest.approx(1.0, abs=0.02)


async def test_a_trace_names_the_run_of_each_subtask(saver: ThreadSaver) -> None:
    names: list[str] = []

    class Trace(AsyncCallbackHandler):
        async def on_chain_start(self, *given: Any, name: str | None = None, **more: Any) -> None:
            names.append(str(name))

    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(subtask("a"), subtask("b", needs=["a"]))
    config: Any = {**thread(), "callbacks": [Trace()]}
    await app.ainvoke({"plan": given}, config)
    assert [name.split()[1] for name in names if name.startswith("subtask ")] == ["a", "b"]

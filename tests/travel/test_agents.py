"""Points inside an agent's subtasks: steps of its loop, its tools, and a graph of the user's own inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from openmanus_graph import Settings, ThreadSaver, build_manus_graph, fork_thread, rerun_thread, thread_history
from openmanus_graph.checkpoints.history.checkpoint_ref import Point, points_of
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse, write_recording
from tests.agent.essay import ESSAY, essay_graph
from tests.agent.replies import calls, ends, plans, verdict, wants_plan
from tests.engine.sample_tools import with_effect
from tests.travel.outcomes import finish, outputs

DONE: list[str] = []


@tool
async def say(word: str) -> str:
    """Say a word."""
    DONE.append(word)
    return word


with_effect(say, "read")

WORK = {"id": "work", "goal": "say two words", "needs": ["e"], "done_when": "both are said"}
BESIDE = {"id": "beside", "goal": "say one", "tool": "say", "args": {"word": "beside"}}
AFTER = {"id": "after", "goal": "say one", "tool": "say", "args": {"word": "after"}, "needs": ["work"]}


@pytest.fixture
async def run_once(saver: ThreadSaver, tmp_path: Path) -> tuple[DurableGraph, dict[str, Any]]:
    """A run of the agent, and a graph whose models say again at each place what they said in it."""
    recording = tmp_path / "recording.jsonl"
    options: dict[str, Any] = {"agents": {"essayist": essay_graph(asks=True)}, "tools": [say, "terminate"]}
    with ScriptedServer() as provider:
        settings = Settings.load(
            llm_model="openai/scripted", llm_base_url=provider.base_url, llm_api_key="sk-scripted", record=recording
        )
        app = build_manus_graph(settings=settings, **options).compile(checkpointer=saver)
        provider.add(wants_plan(), plans(ESSAY, WORK, BESIDE, AFTER))
        provider.add(calls(ToolUse("say", {"word": "one"}), ToolUse("say", {"word": "two"})), ends("said"))
        provider.add(verdict(True), Reply("Here."))
        results, asked = await finish(app, "t", {"task": "write"})
    assert (asked, {result["status"] for result in results.values()}) == (1, {"completed"})
    again = Settings.load(llm_model=f"replay:{recording}")
    return build_manus_graph(settings=again, **options).compile(checkpointer=saver), results


def spoken(points: list[Point], point: Point) -> set[str]:
    """What is said again after a point."""
    by_subtask = {"e": {"one", "two", "after"}, "work": {"after"}, "beside": set[str](), "after": set[str]()}
    if point.namespace == "":
        begun = next(one for one in points if one.namespace)
        return {"one", "two", "beside", "after"} if point.number < begun.number else set()
    words = set(by_subtask[str(point.subtask)])
    if point.subtask == "work" and point.step < 3:
        words |= {"one", "two"}
    if point.subtask in ("beside", "after") and point.step < 1:
        words.add(str(point.subtask))
    return words


async def test_rerun_from_each_ends_in_the_same(run_once: Any, saver: ThreadSaver) -> None:
    app, first = run_once
    points = await points_of(saver, "t")
    assert {point.namespace.count("|") for point in points} == {0, 1, 2}
    for point in points:
        DONE.clear()
        fork = await fork_thread(saver, point.address, new_id=f"fork-{point.number}")
        results, _ = await finish(app, fork.thread.thread_id, None)
        assert outputs(results) == outputs(first), point
        assert sorted(DONE) == sorted(spoken(points, point)), point
    assert await points_of(saver, "t") == points


async def test_a_point_in_a_graph_inside_runs_only_what_is_left_of_it(run_once: Any, saver: ThreadSaver) -> None:
    app, _ = run_once
    inner = [point for point in await points_of(saver, "t") if "agent_essayist" in point.namespace]
    assert [point.step for point in inner] == [-1, 0, 1, 2]
    fork = await fork_thread(saver, inner[2].address)
    assert fork.thread.thread_id == "t-2"
    _, asked = await finish(app, "t-2", None)
    assert asked == 1
    assert fork.thread.origin is not None
    assert fork.thread.origin["checkpoint"] == inner[2].id
    kept = [point for point in await points_of(saver, "t-2") if "agent_essayist" in point.namespace]
    assert [point.id for point in kept[:3]] == [point.id for point in inner[:3]]
    assert len(kept) == 4
    assert kept[3].id != inner[3].id


async def test_a_plan_of_ones_own_takes_the_place_of_the_planner(
    run_once: Any, saver: ThreadSaver, tmp_path: Path
) -> None:
    app, _ = run_once
    only = write_recording(tmp_path / "only.jsonl", {"coordinator/-/1": "Here."})
    options: dict[str, Any] = {"agents": {"essayist": essay_graph(asks=True)}, "tools": [say, "terminate"]}
    anew = build_manus_graph(settings=Settings.load(llm_model=f"replay:{only}"), **options).compile(checkpointer=saver)
    own = {"goal": "own", "subtasks": [{"id": "mine", "goal": "say", "tool": "say", "args": {"word": "mine"}}]}
    for step, graph in ((-1, anew), (2, app)):
        DONE.clear()
        point = next(one for one in await points_of(saver, "t") if not one.namespace and one.step == step)
        fork, out = await rerun_thread(graph, point.address, plan=own)
        assert (out["status"], out["answer"], DONE) == ("completed", "Here.", ["mine"])
        assert [one["id"] for one in out["plan"]["subtasks"]] == ["mine"]
        nodes = [one.nodes for one in await thread_history(saver, fork.thread.thread_id) if not one.point.namespace]
        assert ["planner"] not in nodes


async def test_the_cost_of_each_step_is_told(run_once: Any, saver: ThreadSaver) -> None:
    history = await thread_history(saver, "t")
    by_node = {one.nodes[0]: one for one in history if one.nodes}
    assert by_node["planner"].tokens > 0
    assert by_node["executor"].tokens > 0
    assert by_node["say"].tokens == 0
    assert "has a plan of 4 subtasks" in by_node["planner"].what or "plan of 4" in by_node["review"].what
    said = [one.what for one in history if one.point.subtask == "work"]
    assert 'calls say({"word": "one"}), say({"word": "two"})' in said
    assert "say returns: one; say returns: two" in said
    fork = await fork_thread(saver, "t@work:2")
    inherited = sum(one.tokens for one in await thread_history(saver, fork.thread.thread_id))
    assert 0 < inherited < sum(one.tokens for one in history)

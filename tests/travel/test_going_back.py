"""Going back: points are named, told in words, compared, played back, and gone on from with edits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import (
    ThreadSaver,
    build_plan_graph,
    diff_points,
    find_point,
    find_thread,
    fork_thread,
    list_threads,
    playback,
    rerun_thread,
    stored_events,
    thread_history,
)
from openmanus_graph.checkpoints.history.checkpoint_ref import points_of
from openmanus_graph.checkpoints.progress import subtask_progress
from openmanus_graph.errors import UnknownPointError, UsageError
from openmanus_graph.graphs.durable import DurableGraph
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import TOOLS
from tests.travel.outcomes import finish

SMALL = plan(
    subtask("one", "echo", args={"value": "1"}),
    subtask("two", "echo", args={"value": "${one} and 2"}),
    subtask("beside", "echo", args={"value": "x"}),
)


@pytest.fixture
def app(saver: ThreadSaver) -> DurableGraph:
    """The graph of plans."""
    return build_plan_graph(TOOLS).compile(checkpointer=saver)


async def test_a_point_is_named_by_number_id_or_step(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    points = await points_of(saver, "t")
    chosen = await find_point(saver, "t@two:0")
    assert chosen == points[chosen.number - 1]
    for place in (str(chosen.number), chosen.id, chosen.id[:-2], chosen.id[-6:]):
        assert await find_point(saver, f"t@{place}") == chosen
    assert (await find_point(saver, "t")).id == points[-1].id
    for place, words in (
        ("99", "has no point '99'"),
        ("two:9", "only -1 to 1"),
        ("three:0", "It has: "),
        (chosen.id[:4], "points of 't' have an id like"),
    ):
        with pytest.raises(UnknownPointError, match=words):
            await find_point(saver, f"t@{place}")


async def test_a_thread_whose_id_has_an_at_sign_is_found(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread("me@home"))
    assert (await find_point(saver, "me@home")).namespace == ""
    assert (await find_point(saver, "me@home@1")).number == 1


async def test_history_says_what_each_step_did(app: DurableGraph, saver: ThreadSaver) -> None:
    asks = plan(
        subtask("q", "ask_human", args={"inquire": "Which?"}), subtask("e", "echo", args={"value": "${q.answer}"})
    )
    await finish(app, "t", {"plan": asks})
    told = [(one.point.subtask, one.nodes, one.what, one.asks) for one in await thread_history(saver, "t")]
    assert told == [
        (None, [], "the input", ""),
        (None, [], "begins", "Which?"),
        ("q", [], "the input", ""),
        ("q", [], "begins", "Which?"),
        ("q", ["ask_human"], 'is answered: to q; completed: {"answer": "to q"}', ""),
        ("e", [], "the input", ""),
        ("e", [], "begins", ""),
        ("e", ["echo"], "completed: to q", ""),
        (None, ["dispatcher"], "has executed the plan", ""),
    ]


async def test_forks_are_seen_from_both_sides(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    fork = await fork_thread(saver, "t@two:0", new_id="other")
    marked = [one for one in await thread_history(saver, "t") if one.forks]
    assert [(one.point.subtask, one.point.step, one.forks) for one in marked] == [("two", 0, ["other"])]
    assert fork.thread.status == "paused"
    assert fork.thread.progress == {"done": 2, "total": 3}
    assert {one.subtask.id: one.status for one in await subtask_progress(saver, "other", live=False)} == {
        "one": "completed",
        "two": "pending",
        "beside": "completed",
    }


async def test_an_edit_inside_a_subtask_takes_effect(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    fork, out = await rerun_thread(app, "t@one:0", edits={"subtask.args.value": "one, edited"})
    assert out["results"]["two"]["output"] == "one, edited and 2"
    found = await diff_points(saver, "t", fork.thread.thread_id)
    assert [(one.name, one.kind) for one in found.results] == [("one", "changed"), ("two", "changed")]
    assert found.plan == []
    again, _ = await rerun_thread(app, "t@one:0")
    assert not (await diff_points(saver, "t", again.thread.thread_id)).any


@pytest.mark.parametrize("address", ["t@1", "t@2", "t@two:0"])
async def test_another_plan_keeps_what_is_unchanged(app: DurableGraph, saver: ThreadSaver, address: str) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    other = plan(*SMALL["subtasks"][:2], subtask("beside", "echo", args={"value": "y"}))
    fork, out = await rerun_thread(app, address, plan=other)
    assert {key: result["output"] for key, result in out["results"].items()} == {
        "one": "1",
        "two": "1 and 2",
        "beside": "y",
    }
    assert fork.thread.plan is not None
    kept = [one["id"] for one in await points_ids(saver, fork.thread.thread_id, "one")]
    same = kept == [one["id"] for one in await points_ids(saver, "t", "one")]
    assert same == (address == "t@two:0")


async def points_ids(saver: ThreadSaver, name: str, subtask_id: str) -> list[dict[str, Any]]:
    """The points of a subtask."""
    return [{"id": one.id} for one in await points_of(saver, name) if one.subtask == subtask_id]


async def test_an_edit_that_does_not_fit_makes_no_thread(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    for edits, words in (
        ({"nothing": 1}, "has no 'nothing'"),
        ({"subtask.args.none.deeper": 1}, "has no 'subtask.args.none'"),
    ):
        with pytest.raises(UsageError, match=words):
            await fork_thread(saver, "t@two:0", edits=edits)
    with pytest.raises(UsageError, match="already a thread 't'"):
        await fork_thread(saver, "t@two:0", new_id="t")
    assert [one.thread_id for one in await list_threads(saver)] == ["t"]


async def test_playback_calls_nothing_and_stops_at_its_point(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    before = [one.get("id") for one in await stored_events(saver, "t")]
    assert [one.get("id") async for one in playback(saver, "t", fast=True)] == before
    early = [one async for one in playback(saver, "t@two:0", fast=True)]
    assert 0 < len(early) < len(before)
    assert "plan_finished" not in [one.get("type") for one in early]


async def test_a_thread_that_runs_is_forked_as_committed(app: DurableGraph, saver: ThreadSaver, tmp_path: Path) -> None:
    slow = subtask("slow", "work", args={"name": "slow", "seconds": 1.0, "logfile": str(tmp_path / "log")})
    running = asyncio.create_task(app.ainvoke({"plan": plan(SMALL["subtasks"][0], slow)}, thread()))
    for _ in range(200):
        await asyncio.sleep(0.02)
        if (tmp_path / "log").exists() and len(await points_ids(saver, "t", "one")) == 3:
            break
    fork = await fork_thread(saver, "t")
    assert (await find_thread(saver, "t")).status == "running"
    out = await app.ainvoke(None, thread(fork.thread.thread_id))
    assert (await running)["results"].keys() == out["results"].keys()
    assert (tmp_path / "log").read_text().split("\n").count("start slow") == 2
    assert out["results"]["one"]["started_at"] == (await running)["results"]["one"]["started_at"]


async def test_a_plan_edited_in_the_middle_is_gone_back_behind(app: DurableGraph, saver: ThreadSaver) -> None:
    asks = subtask("q", "ask_human", args={"inquire": "Which?"})
    old = plan(subtask("old", "echo", args={"value": "old"}), asks)
    await app.ainvoke({"plan": old}, thread())
    new = plan(subtask("new", "echo", args={"value": "new"}), asks)
    (question,) = await app.questions("t")
    answer = {question["id"]: {"kind": "answer", "value": "this"}}
    await app.ainvoke(Command(update={"plan": new}, resume=answer), thread())
    fork = await fork_thread(saver, "t@old:0")
    results, _ = await finish(app, fork.thread.thread_id, None)
    assert results.keys() == {"old", "q"}
    fork = await fork_thread(saver, "t@new:0")
    results, _ = await finish(app, fork.thread.thread_id, None)
    assert results.keys() == {"new", "q"}


async def test_points_of_a_fork_are_as_old_as_what_they_come_from(app: DurableGraph, saver: ThreadSaver) -> None:
    await app.ainvoke({"plan": SMALL}, thread())
    fork = await fork_thread(saver, "t@two:0")
    here, there = await points_of(saver, fork.thread.thread_id), await points_of(saver, "t")
    known = {one.id: one for one in there}
    assert all(one.made_at == known[one.id].made_at for one in here)
    assert fork.thread.created_at > here[-1].made_at + timedelta(0)

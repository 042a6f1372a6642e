"""Steps: one node of one branch at a time, while the others stand."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from openmanus_graph import Settings, Stepper, ThreadSaver, build_plan_graph, get_thread
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import TOOLS, with_effect
from tests.stepping.conftest import Open

pytestmark = pytest.mark.postgres


@tool
async def look() -> Any:
    """Look for something that is not there."""
    raise RuntimeError("nothing there")


with_effect(look, "read")


def work(name: str, *needs: str, seconds: float = 0.0) -> dict[str, Any]:
    args = {"name": name, "seconds": seconds, "logfile": "log"}
    return subtask(name, tool="work", needs=list(needs), args=args)


def done() -> list[str]:
    log = Path("log")
    return [line.removeprefix("end ") for line in log.read_text().splitlines() if "end" in line] if log.exists() else []


async def test_opening_runs_nothing_and_makes_no_thread(stepping: Open, saver: ThreadSaver) -> None:
    stepper = await stepping(plan(work("a")))
    assert stepper.last["reason"] == "ready"
    assert stepper.status == "new"
    assert await get_thread(saver, "t") is None


async def test_a_step_runs_one_node(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b"), work("c", "a")))
    stop = await stepper.step()
    assert (stop["reason"], stop["node"]) == ("step", "dispatcher")
    assert stop["standing"] == ["a work", "b work"]
    assert done() == []
    stop = await stepper.step()
    assert stop["standing"] == ["b work", "c work"]
    assert done() == ["a"]
    assert stepper.subtasks == {"a": "completed", "b": "next", "c": "next"}


async def test_one_branch_advances_while_the_others_stand(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b"), work("c", "b"), work("d", "c")))
    await stepper.step()
    for name in ("b", "c", "d"):
        assert (await stepper.step(name))["branch"] == name
    assert done() == ["b", "c", "d"]
    assert stepper.last["standing"] == ["a work"]


async def test_a_subtask_that_cannot_be_stepped_says_why(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b", "a")))
    await stepper.step()
    assert "waits for a" in (await stepper.step("b"))["text"]
    await stepper.step("a")
    assert "is completed" in (await stepper.step("a"))["text"]
    unknown = await stepper.step("bb")
    assert unknown["error"] is not None
    assert "nearest are: b" in unknown["error"]["hint"]


async def test_branches_without_a_slot_wait_for_one(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b")), configurable={"max_parallel": 1})
    assert (await stepper.step())["standing"] == ["a work"]
    assert "free slot" in (await stepper.step("b"))["text"]
    assert (await stepper.step())["standing"] == ["b work"]


async def test_next_runs_what_is_inside(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b", "a")))
    stop = await stepper.next()
    assert stop["reason"] == "finished"
    assert done() == ["a", "b"]


async def test_out_ends_the_subtask_that_was_stepped(stepping: Open) -> None:
    failing = subtask("f", tool="look", retries=1)
    stepper = await stepping(plan(work("a"), failing), tools=[*TOOLS, look])
    await stepper.step()
    assert (await stepper.step("f"))["standing"] == ["a work", "f backoff"]
    stop = await stepper.out()
    assert stepper.subtasks == {"a": "next", "f": "failed"}, stop
    assert stop["standing"] == ["a work"]
    assert stop["error"] is not None
    assert stop["error"]["can"] == ["rerun", "edit"]


async def test_run_goes_to_the_end_and_a_finished_thread_says_so(stepping: Open, saver: ThreadSaver) -> None:
    stepper = await stepping(plan(work("a"), work("b")))
    stop = await stepper.run()
    assert (stop["reason"], stop["error"]) == ("finished", None)
    assert sorted(done()) == ["a", "b"]
    again = await stepper.step()
    assert again["reason"] == "finished"
    assert sorted(done()) == ["a", "b"]
    found = await get_thread(saver, "t")
    assert found is not None
    assert found.status == "completed"


async def test_pause_stops_branches_before_their_next_node(stepping: Open) -> None:
    stepper = await stepping(plan(work("a", seconds=0.3), work("b", "a"), work("c", "a")))
    running = stepper.run()
    while stepper.status != "running" or "running" not in stepper.subtasks.values():
        await asyncio.sleep(0.02)
    stop = await stepper.pause()
    assert stop["reason"] == "paused"
    assert stop["standing"] == ["b work", "c work"]
    assert (await running)["reason"] == "paused"
    assert done() == ["a"]


async def test_the_difference_is_what_changed_since_the_last_stop(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b")))
    await stepper.step()
    await stepper.step("a")
    assert [change["name"] for change in stepper.diff()["results"]] == ["a"]
    await stepper.step("b")
    assert [change["name"] for change in stepper.diff()["results"]] == ["b"] or stepper.status == "completed"


async def test_the_table_has_every_step_and_what_stands(stepping: Open) -> None:
    stepper = await stepping(plan(work("a", seconds=0.05), work("b", "a")))
    await stepper.step()
    await stepper.step()
    first, dispatcher, last = stepper.table
    assert (dispatcher["node"], dispatcher["status"]) == ("dispatcher", "running")
    assert (first["node"], first["subtask"], first["status"], first["attempt"]) == ("work", "a", "completed", 1)
    assert first["seconds"] is not None
    assert 0.04 < first["seconds"] < 1
    assert (last["subtask"], last["status"], last["number"]) == ("b", "next", None)


async def test_a_stepper_left_alone_lets_the_thread_go(stepping: Open, saver: ThreadSaver) -> None:
    stepper = await stepping(plan(work("a"), work("b")), idle_s=0.05)
    await stepper.step()
    await stepper.step("a")
    while stepper.status != "standing" or (await get_thread(saver, "t")).status == "running":  # type: ignore[union-attr]
        await asyncio.sleep(0.02)
    assert [branch["name"] for branch in stepper.branches if branch["status"] == "next"] == ["b"]
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    out = await app.ainvoke(None, thread())  # as `openmanus-graph resume` does
    assert [out["results"][key]["status"] for key in "ab"] == ["completed"] * 2
    assert done() == ["a", "b"]
    assert (await stepper.step())["reason"] == "finished"


async def test_stepping_goes_on_where_another_stepper_stood(stepping: Open) -> None:
    first = await stepping(plan(work("a"), work("b"), work("c", "b")))
    await first.step()
    await first.step("b")
    await first.close()
    second = await stepping()
    assert second.subtasks == {"a": "next", "b": "completed", "c": "next"}
    assert done() == ["b"]
    stop = await second.step("c")
    assert stop["standing"] == ["a work"]
    assert done() == ["b", "c"]


async def test_an_input_for_a_thread_that_has_not_ended_changes_nothing(stepping: Open) -> None:
    first = await stepping(plan(work("a"), work("b")))
    await first.step()
    await first.step("a")
    await first.close()
    again = await stepping(plan(work("a"), work("b")))
    await again.step("b")
    assert done() == ["a", "b"]


async def test_watchers_hear_of_every_change(stepping: Open) -> None:
    stepper = await stepping(plan(work("a")))
    heard: list[str] = []
    forget = stepper.on_change(lambda: heard.append(stepper.status))
    await stepper.run()
    assert "running" in heard
    assert heard[-1] == "completed"
    forget()
    before = len(heard)
    await stepper.refresh()
    assert len(heard) == before


async def test_verbs_begin_without_being_awaited(stepping: Open) -> None:
    stepper: Stepper = await stepping(plan(work("a"), work("b")))
    stepper.step()
    stepper.step("b")
    await stepper.refresh()
    assert done() == ["b"]


async def test_what_depends_on_a_failure_is_blocked_at_once(stepping: Open) -> None:
    failing = subtask("f", tool="look")
    given = plan(work("a"), failing, work("b", "f"), work("c", "b"), work("d", "a", "f"))
    stepper = await stepping(given, tools=[*TOOLS, look])
    await stepper.step()
    await stepper.step("f")
    assert stepper.subtasks == {"a": "next", "f": "failed", "b": "blocked", "c": "blocked", "d": "blocked"}
    assert (await stepper.step())["reason"] == "finished"


async def test_all_that_a_step_releases_stands_when_it_returns(stepping: Open) -> None:
    layers = [[f"l{layer}n{number}" for number in range(4)] for layer in range(4)]
    given = [work(name) for name in layers[0]]
    given += [work(name, *before) for before, layer in pairwise(layers) for name in layer]
    stepper = await stepping(plan(*given, work("beside")), configurable={"max_parallel": 32})
    await stepper.step()
    for layer in layers:
        assert all(stepper.subtasks[name] == "next" for name in layer)
        for name in layer:
            await stepper.step(name)
    assert stepper.last["standing"] == ["beside work"]


async def test_time_at_the_gate_counts_for_no_budget(stepping: Open) -> None:
    settings = Settings.load(budget={"wall_s": 1.0})
    stepper = await stepping(plan(work("a"), work("b", "a")), settings=settings)
    await stepper.step()
    await asyncio.sleep(1.2)
    await stepper.step("a")
    await asyncio.sleep(1.2)
    assert (await stepper.step())["reason"] == "finished"
    assert stepper.subtasks == {"a": "completed", "b": "completed"}

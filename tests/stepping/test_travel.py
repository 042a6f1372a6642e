"""Travel: looking back runs nothing, and whatever is changed goes on in a fork."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from openmanus_graph import ThreadSaver, get_thread
from tests.engine.plans import plan, subtask
from tests.engine.sample_tools import TOOLS, with_effect
from tests.stepping.conftest import Open

pytestmark = pytest.mark.postgres


@tool
async def broken(text: str) -> Any:
    """Fail for an A."""
    if text == "A":
        raise RuntimeError("no A")
    return {"text": text}


with_effect(broken, "read")


def work(name: str, *needs: str) -> dict[str, Any]:
    return subtask(
        name, tool="work", needs=list(needs), args={"name": name, "seconds": 0, "logfile": str(Path("log").absolute())}
    )


def done() -> list[str]:
    log = Path("log")
    return [line.removeprefix("end ") for line in log.read_text().splitlines() if "end" in line] if log.exists() else []


async def test_going_back_moves_the_cursor_and_runs_nothing(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b", "a")))
    await stepper.run()
    newest = stepper.history[-1]
    assert newest["current"]
    stop = await stepper.back()
    assert (stop["reason"], stepper.cursor) == ("moved", newest["number"] - 1)
    await stepper.goto(1)
    assert "results" not in stepper.state or not stepper.state["results"]
    await stepper.goto("a:0")
    assert stepper.history[(stepper.cursor or 0) - 1]["subtask"] == "a"
    await stepper.goto("head")
    assert stepper.cursor is None
    assert stepper.state["results"]["b"]["status"] == "completed"
    assert done() == ["a", "b"]
    assert (await stepper.goto("no such"))["error"] is not None


async def test_a_step_from_the_past_goes_on_in_a_fork(stepping: Open, saver: ThreadSaver) -> None:
    stepper = await stepping(plan(work("a"), work("b", "a")))
    await stepper.run()
    await stepper.goto("b:0")
    stop = await stepper.step()
    assert stepper.thread_id == stop["thread_id"] == "t-2"
    assert stepper.threads == ["t", "t-2"]
    assert stop["branch"] == "b"
    assert done() == ["a", "b", "b"]
    old = await get_thread(saver, "t")
    assert old is not None
    assert old.status == "completed"
    await stepper.goto("head")
    original = await stepping()
    assert any("t-2" in item["forks"] for item in original.history)


async def test_an_edited_plan_keeps_what_it_leaves_unchanged(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b", "a"), work("c", "a")))
    await stepper.step()
    await stepper.step("a")
    stop = await stepper.edit(plan=plan(work("a"), work("d", "a")))
    assert (stop["reason"], stepper.thread_id) == ("forked", "t-2")
    assert done() == ["a"]
    assert list(stepper.state["results"]) == ["a"]
    assert (await stepper.run())["reason"] == "finished"
    assert done() == ["a", "d"]


async def test_an_edited_result_is_taken_in_place_of_the_call(stepping: Open) -> None:
    given = plan(subtask("a", args={"text": "A"}), subtask("b", needs=["a"], args={"text": "${a.text}"}), work("x"))
    stepper = await stepping(given)
    await stepper.step()
    await stepper.edit(results={"a": {"text": "by hand"}})
    await stepper.run()
    assert stepper.state["results"]["b"]["output"] == {"text": "by hand"}


async def test_an_edited_result_of_an_ended_subtask_runs_what_builds_on_it_again(stepping: Open) -> None:
    given = plan(subtask("a", args={"text": "A"}), subtask("b", needs=["a"], args={"text": "${a.text}"}), work("x"))
    stepper = await stepping(given)
    await stepper.step()
    for name in ("a", "b", "x"):
        await stepper.step(name) if name != "x" else None
    await stepper.edit(results={"a": {"text": "by hand"}})
    stop = await stepper.run()
    assert stop["error"] is None
    assert stepper.state["results"]["b"]["output"] == {"text": "by hand"}
    assert done() == ["x"]


async def test_values_that_do_not_fit_are_refused_and_nothing_changes(stepping: Open) -> None:
    stepper = await stepping(plan(work("a")))
    await stepper.step()
    for edits in ({"values": {"round": "many"}}, {"values": {"color": 1}}, {"results": {"z": 1}}, {}):
        stop = await stepper.edit(**edits)
        assert stop["error"] is not None, edits
        assert stepper.thread_id == "t"
    stop = await stepper.edit(plan={"goal": "bad", "subtasks": [{"id": "q", "goal": "g", "tool": "no_such_tool"}]})
    assert stop["error"] is not None
    assert "no_such_tool" in stop["error"]["message"]


async def test_the_input_of_a_step_is_edited_and_the_step_run_again(stepping: Open) -> None:
    stepper = await stepping(plan(subtask("a", args={"text": "A"})))
    await stepper.step()
    await stepper.step("a")
    await stepper.goto("a:0")
    await stepper.edit(values={"subtask.args.text": "other"})
    await stepper.run()
    assert stepper.state["results"]["a"]["output"] == {"text": "other"}


async def test_a_committed_step_is_run_again_in_a_fork(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), work("b")))
    await stepper.step()
    await stepper.step("b")
    stop = await stepper.rerun()
    assert (stop["branch"], stepper.thread_id) == ("b", "t-2")
    assert done() == ["b", "b"]


async def test_a_failed_subtask_is_run_again_with_another_input(stepping: Open) -> None:
    given = plan(work("x"), subtask("a", tool="broken", args={"text": "A"}), subtask("b", needs=["a"]))
    stepper = await stepping(given, tools=[*TOOLS, broken])
    await stepper.step()
    stop = await stepper.step("a")
    assert stop["error"] is not None
    assert stop["error"]["subtask"] == "a"
    await stepper.step("x")
    stop = await stepper.rerun("a", values={"subtask.args.text": "B"})
    assert (stop["error"], stop["branch"], stepper.thread_id) == (None, "a", "t-2")
    assert stepper.state["results"]["a"]["output"] == {"text": "B"}
    assert (await stepper.run())["error"] is None
    assert stepper.subtasks == {"x": "completed", "a": "completed", "b": "completed"}
    assert done() == ["x"]


async def test_the_step_that_failed_last_is_the_one_that_is_run_again(stepping: Open) -> None:
    stepper = await stepping(plan(work("x"), subtask("a", tool="broken", args={"text": "A"})), tools=[*TOOLS, broken])
    assert (await stepper.run())["error"] is not None
    stop = await stepper.rerun(values={"subtask.args.text": "B"})
    assert (stop["branch"], stepper.subtasks["a"]) == ("a", "completed")


async def test_values_for_a_rerun_that_do_not_fit_change_nothing(stepping: Open) -> None:
    stepper = await stepping(plan(subtask("a", args={"text": "A"}), work("b")))
    await stepper.step()
    await stepper.step("a")
    for values in ({"subtask.no.such": 1}, {"color": 1}, {"attempts": "many"}):
        stop = await stepper.rerun(values=values)
        assert stop["error"] is not None, values
        assert (stepper.thread_id, stepper.cursor) == ("t", None)
    stop = await stepper.rerun("c", values={"attempts": 1})
    assert stop["error"] is not None
    assert stop["error"]["hint"] in ("The nearest are: a, b.", "The nearest are: b, a.")  # as they began


async def test_from_an_earlier_point_the_step_that_led_there_is_run_again(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), subtask("b", args={"text": "A"})))
    await stepper.run()
    await stepper.goto("b:1")
    stop = await stepper.rerun(values={"subtask.args.text": "B"})
    assert (stop["branch"], stepper.thread_id) == ("b", "t-2")
    assert stepper.state["results"]["b"]["output"] == {"text": "B"}


async def test_a_step_after_an_edit_inside_of_a_subtask_is_its_own(stepping: Open) -> None:
    stepper = await stepping(plan(work("a"), subtask("b", args={"text": "A"}), work("c")))
    await stepper.step()
    await stepper.step("b")
    await stepper.goto("b:0")
    await stepper.edit(values={"subtask.args.text": "B"})
    stop = await stepper.rerun()
    assert (stop["branch"], stop["standing"]) == ("b", ["a work", "c work"])
    assert stepper.state["results"]["b"]["output"] == {"text": "B"}


async def test_a_result_given_after_the_end_lets_what_was_blocked_run(stepping: Open) -> None:
    failing = subtask("a", tool="broken", args={"text": "A"})
    stepper = await stepping(plan(failing, work("b", "a"), work("c")), tools=[*TOOLS, broken])
    await stepper.run()
    assert stepper.subtasks == {"a": "failed", "b": "blocked", "c": "completed"}
    await stepper.edit(results={"a": {"text": "given"}})
    assert stepper.subtasks["a"] == "completed"
    await stepper.run()
    assert stepper.status == "completed"
    assert done() == ["c", "b"]

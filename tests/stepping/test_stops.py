"""Stops: breakpoints, targets, questions, and names that nothing has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from openmanus_graph.errors import UsageError
from tests.engine.plans import plan, subtask
from tests.stepping.conftest import Open

pytestmark = pytest.mark.postgres


def chain(*texts: str) -> dict[str, Any]:
    names = [f"s{number}" for number in range(1, len(texts) + 1)]
    before: list[list[str]] = [[], *([name] for name in names)]
    return plan(*(subtask(name, needs=before[place], args={"text": texts[place]}) for place, name in enumerate(names)))


async def test_running_to_a_subtask(stepping: Open) -> None:
    stepper = await stepping(chain("one", "two", "three"))
    stop = await stepper.run_to("subtask:s3")
    assert (stop["reason"], stop["branch"]) == ("reached", "s3")
    assert stepper.subtasks == {"s1": "completed", "s2": "completed", "s3": "next"}


async def test_running_to_the_first_node_runs_nothing(stepping: Open) -> None:
    stepper = await stepping(chain("one"))
    stop = await stepper.run_to("dispatcher")
    assert (stop["reason"], stop["standing"]) == ("reached", ["dispatcher"])
    assert stepper.subtasks == {"s1": "pending"}


async def test_running_to_a_tool_goes_past_the_call_it_stands_before(stepping: Open) -> None:
    stepper = await stepping(chain("one", "two"))
    assert (await stepper.run_to("tool:nap"))["branch"] == "s1"
    assert (await stepper.run_to("tool:nap"))["branch"] == "s2"
    assert (await stepper.run_to("tool:nap"))["reason"] == "finished"


async def test_running_to_a_state(stepping: Open) -> None:
    stepper = await stepping(chain("one", "two"))

    def is_second(state: Mapping[str, Any]) -> bool:
        return (state.get("subtask") or {}).get("id") == "s2"

    assert (await stepper.run_to(is_second))["branch"] == "s2"


async def test_a_breakpoint_on_a_call_sees_its_arguments_resolved(stepping: Open) -> None:
    given = plan(
        subtask("s1", args={"text": "stop"}),
        subtask("s2", args={"text": "go"}),
        subtask("s3", args={"text": "${s1.text}"}),
    )
    stepper = await stepping(given)
    seen: list[Any] = []

    def is_stop(call: Mapping[str, Any]) -> bool:
        seen.append(call["args"]["text"])
        return call["args"]["text"] == "stop" and call["id"] == "s3"

    stepper.breakpoints.add("tool:nap", when=is_stop)
    stop = await stepper.run()
    assert (stop["reason"], stop["branch"], stop["node"]) == ("breakpoint", "s3", "nap")
    assert stepper.branches[-1]["call"] == {"tool": "nap", "args": {"text": "stop"}, "id": "s3"}
    assert "${" not in "".join(seen)
    assert (await stepper.run())["reason"] == "finished"


async def test_a_breakpoint_stops_all_branches_and_can_be_removed(stepping: Open) -> None:
    given = plan(*(subtask(name, args={"seconds": 0.02}) for name in "abc"), subtask("d", needs=["a"]))
    stepper = await stepping(given)
    stepper.breakpoints.add("subtask:b")
    assert (await stepper.run())["branch"] == "b"
    assert "b" in [branch["name"] for branch in stepper.branches]
    stepper.breakpoints.remove("subtask:b")
    assert (await stepper.run())["reason"] == "finished"


async def test_a_condition_that_fails_stops(stepping: Open) -> None:
    stepper = await stepping(chain("one"))
    stepper.breakpoints.add("nap", when=lambda call: call["args"]["no such"])
    stop = await stepper.run()
    assert (stop["reason"], stop["standing"]) == ("breakpoint", ["s1 nap"])
    assert stop["error"] is not None
    assert "'no such'" in stop["error"]["message"]
    assert (await stepper.run())["reason"] == "finished"


async def test_a_target_that_fails_stops_and_the_run_is_intact(stepping: Open) -> None:
    stepper = await stepping(chain("one"))
    stop = await stepper.run_to(lambda state: state["no such"])
    assert (stop["reason"], stop["standing"]) == ("reached", ["dispatcher"])
    assert "'no such'" in stop["text"]
    assert (await stepper.run())["reason"] == "finished"


async def test_unknown_names_have_nearest_ones(stepping: Open) -> None:
    stepper = await stepping(chain("one", "two"))
    with pytest.raises(UsageError) as wrong:
        stepper.breakpoints.add("tool:napp")
    assert wrong.value.hint == "The nearest are: tool:nap."
    with pytest.raises(UsageError):
        stepper.breakpoints.remove("nap")
    stop = await stepper.run_to("dispacher")
    assert stop["error"] is not None
    assert "dispatcher" in stop["error"]["hint"]
    stop = await stepper.run_to("subtask:s9")
    assert stop["error"] is not None
    assert "subtask:s" in stop["error"]["hint"]
    assert stepper.status == "new"


async def test_no_step_answers_a_question(stepping: Open) -> None:
    given = plan(
        subtask("ask", tool="ask_human", args={"inquire": "Which color?"}), subtask("b"), subtask("c", needs=["b"])
    )
    stepper = await stepping(given)
    await stepper.step()
    stop = await stepper.step("ask")
    assert [question["question"] for question in stop["questions"]] == ["Which color?"]
    assert stepper.subtasks == {"ask": "waiting", "b": "next", "c": "pending"}
    assert "waits for a person" in (await stepper.step("ask"))["text"]
    stop = await stepper.run()
    assert stop["reason"] == "waiting"
    for verb in (stepper.step, stepper.next, stepper.out, stepper.run):
        stop = await verb()
        assert stop["reason"] == "waiting"
        assert len(stop["questions"]) == 1
    stop = await stepper.answer("blue")
    assert stop["reason"] == "finished"
    assert stepper.state["results"]["ask"]["output"] == {"answer": "blue"}


async def test_an_answer_moves_only_the_branch_that_asked(stepping: Open) -> None:
    given = plan(
        subtask("ask", tool="ask_human", args={"inquire": "Which?"}), subtask("b"), subtask("after", needs=["ask"])
    )
    stepper = await stepping(given)
    await stepper.step()
    await stepper.step("ask")
    stop = await stepper.answer("this", interrupt="ask")
    assert stepper.subtasks == {"ask": "completed", "b": "next", "after": "next"}
    assert sorted(stop["standing"]) == ["after nap", "b nap"]


async def test_a_question_is_answered_after_reopening(stepping: Open) -> None:
    given = plan(subtask("ask", tool="ask_human", args={"inquire": "Which?"}), subtask("b"))
    first = await stepping(given)
    await first.step()
    await first.step("ask")
    await first.close()
    second = await stepping()
    assert second.subtasks["ask"] == "waiting"
    await second.answer("this")
    assert second.subtasks == {"ask": "completed", "b": "next"}


async def test_an_edit_that_cannot_be_made_leaves_the_question_open(stepping: Open) -> None:
    stepper = await stepping(plan(subtask("a", args={"text": "x"}, approval=True)))
    await stepper.run()
    stop = await stepper.answer('edit {"txt": "y"}')
    assert stop["error"] is not None
    assert "unknown argument 'txt'" in stop["error"]["message"]
    assert stepper.status == "waiting"
    await stepper.answer({"action": "edit", "args": {"text": "y"}})
    assert (await stepper.run())["reason"] == "finished"
    result = stepper.state["results"]["a"]
    assert (result["output"], result["args"]) == ({"text": "y"}, {"text": "y"})


async def test_approvals_take_their_own_words_only(stepping: Open) -> None:
    stepper = await stepping(plan(subtask("a", approval=True), subtask("b", approval=True)))
    stop = await stepper.run()
    assert len(stop["questions"]) == 2
    stop = await stepper.answer("yes")
    assert stop["error"] is not None
    stop = await stepper.answer("perhaps", interrupt="a")
    assert stop["error"] is not None
    await stepper.answer(True, interrupt="a")
    await stepper.answer("no", interrupt="b")
    stop = await stepper.run()
    assert stepper.subtasks == {"a": "completed", "b": "skipped"}

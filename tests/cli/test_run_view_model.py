"""Run view model: state of a run for views, from its events alone."""

from __future__ import annotations

from typing import Any

from openmanus_graph.cli.run_view_model import RunViewModel
from openmanus_graph.config.sections import BudgetSettings

USAGE = {"calls": 1, "input_tokens": 900, "output_tokens": 100, "cached_tokens": 0, "cost_usd": 0.25, "cache_hits": 0}


class Clock:
    """Time that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def view_model_of(*events: dict[str, Any], **options: Any) -> RunViewModel:
    shown = RunViewModel("t", **options)
    for number, event in enumerate(events):
        shown.take({"id": str(number), **event})  # type: ignore[typeddict-item]
    return shown


def plan(*names: str, kept: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    outlines = [{"id": name, "goal": f"do {name}", "needs": [], "runs": "executor"} for name in names]
    return {"type": "plan_started", "subtasks": outlines, "kept": list(kept), "goal": "the goal", **more}


def test_a_row_says_what_its_subtask_is_doing_now() -> None:
    shown = view_model_of(plan("a"), {"type": "subtask_started", "subtask": "a", "attempt": 1})
    row = shown.rows["a"]
    assert (row.status, row.doing) == ("running", "do a")
    shown.take({"type": "model_started", "id": "m1", "subtask": "a", "role": "executor"})
    shown.take({"type": "model_tokens", "id": "m1", "subtask": "a", "role": "executor", "text": "I look\nfor it"})
    assert row.doing == "thinking: I look for it"
    shown.take({"type": "model_finished", "id": "m1", "subtask": "a", "role": "executor"})
    for call in ("1", "2"):
        shown.take({"type": "tool_called", "subtask": "a", "call": call, "tool": "bash", "args": {"command": "ls"}})
    assert row.doing == "bash ls (and 1 more)"
    shown.take({"type": "tool_returned", "subtask": "a", "call": "2", "tool": "bash"})
    assert row.doing == "bash ls"
    shown.take({"type": "model_started", "id": "m2", "subtask": "a", "role": "verifier"})
    shown.take({"type": "tool_returned", "subtask": "a", "call": "1", "tool": "bash"})
    assert row.doing == "checking"


def test_checked_and_unchecked_ends_are_told_apart() -> None:
    shown = view_model_of(
        plan("a", "b", "c"),
        {"type": "subtask_verified", "subtask": "a", "verified": True, "text": "it is there"},
        {"type": "subtask_finished", "subtask": "a", "status": "completed", "elapsed_s": 1.0},
        {"type": "subtask_finished", "subtask": "b", "status": "completed", "elapsed_s": 1.0},
        {"type": "subtask_verified", "subtask": "c", "verified": False, "text": "it is not there"},
        {"type": "subtask_finished", "subtask": "c", "status": "failed", "error": None},
    )
    assert [row.verified for row in shown.rows.values()] == [True, None, False]
    assert shown.rows["c"].doing == "it is not there"
    assert (shown.done, shown.counts) == (3, {"completed": 2, "failed": 1})


def test_usage_counts_a_call_once_and_from_where_the_request_stood() -> None:
    finished = {"type": "model_finished", "id": "same", "role": "planner", "usage": USAGE}
    shown = view_model_of(
        plan("a"),
        finished,
        finished,
        {"type": "model_finished", "id": "other", "role": "executor", "subtask": "a", "usage": USAGE},
        before=USAGE,
    )
    assert (shown.usage["calls"], shown.usage["cost_usd"]) == (3, 0.75)
    assert shown.rows["a"].tokens == 1000


def test_the_budget_that_ends_first_is_the_one_that_is_shown() -> None:
    clock = Clock()
    budget = BudgetSettings(usd=1.0, tokens=2000, wall_s=100)
    finished = {"type": "model_finished", "role": "planner", "usage": USAGE}
    shown = view_model_of(finished, budget=budget, active_s=30.0, clock=clock)
    assert shown.budget_share == "50% of 2,000 tokens"
    clock.now += 40
    assert shown.budget_share == "70% of 1:40"
    assert view_model_of(finished).budget_share == ""


def test_another_plan_keeps_what_is_kept_and_counts_as_another_one() -> None:
    shown = view_model_of(
        plan("a", "b"),
        {"type": "subtask_verified", "subtask": "a", "verified": True},
        {"type": "subtask_finished", "subtask": "a", "status": "completed", "elapsed_s": 3.0},
        {"type": "subtask_finished", "subtask": "b", "status": "failed", "error": "no"},
        {"type": "decided", "decision": "replan", "text": "b cannot be done so"},
        plan("a", "c", kept=("a",)),
    )
    assert shown.plans == 2
    assert list(shown.rows) == ["a", "c"]
    assert (shown.rows["a"].status, shown.rows["a"].verified, shown.rows["a"].took) == (
        "completed",
        True,
        3.0,
    )
    assert shown.rows["c"].status == "pending"


def test_the_same_plan_announced_again_by_a_resume_is_no_other_plan() -> None:
    shown = view_model_of(plan("a", "b", id="p"), {"type": "subtask_started", "subtask": "a", "attempt": 1})
    shown.again()
    shown.take({**plan("a", "b"), "id": "p in the next run"})  # type: ignore[typeddict-item]
    assert shown.plans == 1
    assert shown.rows["a"].status == "pending"
    shown.again()
    shown.take({"type": "decided", "id": "d", "decision": "replan"})
    shown.take({**plan("a", "c"), "id": "p2"})  # type: ignore[typeddict-item]
    assert shown.plans == 2


def test_a_question_is_open_until_the_run_goes_on() -> None:
    asked = {"type": "question_asked", "question": {"id": "q", "question": "Is it so?", "subtask": ""}}
    shown = view_model_of(asked, {**asked, "id": "again"})
    assert len(shown.questions) == 1
    shown.again()
    assert shown.questions == []


def test_nodes_of_other_graphs_are_rows_too() -> None:
    shown = view_model_of(
        {"type": "node_started", "node": "write"},
        {"type": "model_tokens", "node": "write", "role": "write", "text": "Once upon"},
    )
    assert shown.rows["write"].doing == "thinking: Once upon"
    shown.take({"type": "node_finished", "node": "write", "status": "completed", "elapsed_s": 2.0, "preview": "a tale"})
    assert (shown.rows["write"].status, shown.rows["write"].doing) == ("completed", "a tale")


def test_events_a_view_does_not_know_and_rows_that_are_not_there_change_nothing() -> None:
    shown = view_model_of(
        plan("a"),
        {"type": "something_new", "subtask": "a"},
        {"type": "subtask_started", "subtask": "nobody"},
        {"type": "tool_returned", "subtask": "a", "call": "never made"},
        {"type": "model_tokens", "role": "nobody", "text": "x"},
    )
    assert shown.rows["a"].status == "pending"

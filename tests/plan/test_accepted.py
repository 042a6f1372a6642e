"""Which plans a graph knows again, and which it validates and checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.accepted import REMEMBERED, AcceptedPlans
from openmanus_graph.tools.bash import bash
from tests.engine.sample_tools import echo


def data(command: Any = "ls", **fields: Any) -> dict[str, Any]:
    return {"subtasks": [{"id": "a", "tool": "bash", "args": {"command": command}}], **fields}


@pytest.fixture
def accepted() -> AcceptedPlans:
    return AcceptedPlans({"bash": bash}, ["executor"], 2)


def test_a_plan_is_known_again_by_its_content(accepted: AcceptedPlans) -> None:
    plan = accepted.accept(data())
    assert accepted.accept(plan) is plan
    assert accepted.accept(plan.to_dict()) is plan
    assert accepted.accept(Plan.from_dict(data())) is plan
    assert accepted.find(plan.to_dict()) is plan
    assert accepted.accept(data("pwd")) is not plan


@pytest.mark.parametrize("content", [None, {}, [], "plan", {"subtasks": []}])
def test_what_is_no_accepted_plan_is_not_found(accepted: AcceptedPlans, content: Any) -> None:
    accepted.accept(data())
    assert accepted.find(content) is None


def test_values_of_another_type_are_another_plan() -> None:
    accepted = AcceptedPlans({"echo": echo}, (), 2)
    for value in (1, True, 1.0, [1], [True], {"x": 1}, {"x": 1.0}, None):
        given = {"subtasks": [{"id": "a", "tool": "echo", "args": {"value": value}}]}
        assert repr(accepted.accept(given).subtasks[0].args["value"]) == repr(value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"subtasks": [{"id": "a", "tool": "bsh"}]}, "unknown tool 'bsh'"),
        ({"subtasks": [{"id": "a", "agent": "x", "goal": "g"}]}, "unknown agent 'x'"),
        ({"subtasks": [{"id": f"s{n}", "agent": "executor", "goal": "g"} for n in range(3)]}, "at most 2 are allowed"),
        ({"subtasks": [{"id": "a", "agent": "executor", "goal": "g", "needs": ["a"]}]}, "cycle"),
    ],
)
def test_what_does_not_fit_is_refused_each_time(accepted: AcceptedPlans, given: Any, words: str) -> None:
    for _ in range(2):
        with pytest.raises(PlanError, match=words):
            accepted.accept(given)


def test_a_file_is_accepted_with_all_its_problems_at_once(accepted: AcceptedPlans, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("subtasks:\n  - {id: a, tool: bsh}\n  - {id: b, agent: executor}\n")
    with pytest.raises(PlanError) as caught:
        accepted.from_file(path)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["line 2", "line 3"]
    path.write_text("subtasks: [{id: a, tool: bash, args: {command: ls}}]")
    plan = accepted.from_file(path)
    assert accepted.accept(plan.to_dict()) is plan


def test_a_plan_that_was_changed_in_place_is_validated_again(accepted: AcceptedPlans) -> None:
    plan = accepted.accept(data())
    plan.subtasks.append(Subtask(id="b", tool="bash", args={"command": "ls"}, needs=["nowhere"]))
    with pytest.raises(PlanError, match="'nowhere'"):
        accepted.accept(plan)
    plan.subtasks[-1].needs[0] = plan.subtasks[0].id
    assert accepted.accept(plan) == plan
    assert [subtask.id for subtask in accepted.accept(data()).subtasks] == ["a"]


def test_a_copy_with_other_fields_is_validated_again(accepted: AcceptedPlans) -> None:
    plan = accepted.accept(data())
    with pytest.raises(PlanError, match="'subtasks'"):
        accepted.accept(plan.model_copy(update={"subtasks": []}))
    assert accepted.accept(plan.model_copy(update={"goal": "other"})).goal == "other"
    assert accepted.accept(plan.model_copy()) == plan


def test_only_the_last_plans_are_remembered(accepted: AcceptedPlans) -> None:
    first = accepted.accept(data())
    for n in range(REMEMBERED):
        accepted.accept(data(f"echo {n}"))
    assert accepted.find(first.to_dict()) is None
    assert accepted.accept(data()) == first

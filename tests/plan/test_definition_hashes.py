"""What makes work run again, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from openmanus_graph.plan import Plan, Subtask

BASE: dict[str, Any] = {
    "subtasks": [
        {"id": "a", "tool": "bash", "args": {"command": "one", "timeout_s": 5}},
        {"id": "b", "tool": "bash", "args": {"command": "${a.stdout}"}},
        {
            "id": "c",
            "agent": "executor",
            "goal": "look at ${b}",
            "done_when": "seen",
            "tools": ["bash", "ask_human"],
        },
        {"id": "d", "tool": "bash", "args": {"command": "other"}},
        {"id": "e", "tool": "bash", "args": {"command": "last"}, "needs": ["a", "d"]},
    ]
}


def changed(index: int, **fields: Any) -> set[str]:
    """The ids whose hash changes if a subtask is edited so."""
    plan = {"subtasks": [dict(one) for one in BASE["subtasks"]]}
    plan["subtasks"][index].update(fields)
    before, after = Plan.from_dict(BASE).definition_hashes(), Plan.from_dict(plan).definition_hashes()
    assert list(before) == list(after)
    return {name for name in before if before[name] != after[name]}


def test_an_edit_changes_the_subtask_and_all_that_builds_on_it() -> None:
    assert changed(0, args={"command": "two", "timeout_s": 5}) == {"a", "b", "c", "e"}
    assert changed(1, args={"command": "${a.stderr}"}) == {"b", "c"}
    assert changed(3, tool="python_execute") == {"d", "e"}
    assert changed(2, done_when="checked") == {"c"}
    assert changed(2, tools=["bash"]) == {"c"}
    assert changed(2, agent="researcher") == {"c"}
    assert changed(4, needs=["a"]) == {"e"}


@pytest.mark.parametrize(
    "hint",
    [
        {"priority": 3},
        {"retries": 2},
        {"timeout_s": 9.5},
        {"approval": True},
        {"kind": "k"},
        {"expected_s": 4},
    ],
    ids=lambda hint: next(iter(hint)),
)
def test_scheduling_and_guards_change_nothing(hint: dict[str, Any]) -> None:
    assert changed(0, **hint) == set()


def test_what_means_the_same_has_the_same_hash() -> None:
    assert changed(4, needs=["d", "a", "a"]) == set()
    assert changed(1, needs=["a"]) == set()
    assert changed(2, tools=["ask_human", "bash"]) == set()
    assert changed(0, args={"timeout_s": 5.0, "command": "one"}) == set()


def test_true_is_not_one() -> None:
    one, true = (Subtask(id="a", tool="t", args={"x": x}).definition_hash() for x in (1, True))
    assert one != true


def test_the_order_of_the_subtasks_does_not_matter() -> None:
    backwards = {"subtasks": list(reversed(BASE["subtasks"]))}
    assert Plan.from_dict(backwards).definition_hashes() == Plan.from_dict(BASE).definition_hashes()


def test_the_hash_of_a_stored_thread_still_means_the_same_work() -> None:
    # A change of these values makes every unfinished thread of a user run its finished subtasks again.
    assert Plan.from_dict(BASE).definition_hashes() == {
        "a": "956470ae4fa2",
        "b": "7239109dd407",
        "c": "1fbc16f7d2d2",
        "d": "619a0a292d05",
        "e": "c5b249e65630",
    }


def test_hashes_follow_the_content_of_a_changed_plan() -> None:
    plan = Plan.from_dict(BASE)
    before = plan.definition_hashes()
    before["a"] = "spoilt by a caller"
    copied = plan.model_copy(update={"subtasks": plan.subtasks[:2]})
    assert list(copied.definition_hashes()) == ["a", "b"]
    plan.subtasks[1].args["command"] = "${a.stderr}"
    assert plan.definition_hashes() == Plan.from_dict(plan.to_dict()).definition_hashes()
    assert plan.definition_hashes()["b"] != Plan.from_dict(BASE).definition_hashes()["b"]
    assert Plan.from_dict(BASE).definition_hashes()["a"] == plan.definition_hashes()["a"]

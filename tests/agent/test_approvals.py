"""Approvals: what a person may say to an action, by id, and who may not say it."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Interrupt

from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.questions import Answer, Approval, Question, answers_for, approval_of, ask, handle_of, question_of

CALL = {"kind": "approve", "subtask": "s1", "question": "May it?", "tool": "bash", "args": {"command": "rm x"}}
REVIEW = {"kind": "approve", "subtask": "", "question": "This plan?", "plan": {"subtasks": []}}


def question(number: str, **fields: Any) -> Question:
    return question_of(Interrupt(value={**CALL, **fields}, id=number))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", Approval("approve")),
        (" OK ", Approval("approve")),
        ("no", Approval("reject")),
        ("no: because it is mine", Approval("reject", reason="because it is mine")),
        ("No, that is mine", Approval("reject", reason="that is mine")),
        ('edit {"command": "ls"}', Approval("edit", args={"command": "ls"})),
        ('edit: {"command": "a=b"}', Approval("edit", args={"command": "a=b"})),
        ('{"action": "edit", "args": {"command": "ls"}}', Approval("edit", args={"command": "ls"})),
        ("answer: nothing to do", Approval("answer", value="nothing to do")),
        ("= nothing to do", Approval("answer", value="nothing to do")),
        ('answer: {"stdout": "x"}', Approval("answer", value={"stdout": "x"})),
        ("answer: {x", Approval("answer", value="{x")),
    ],
)
def test_what_a_person_may_type(text: str, expected: Approval) -> None:
    assert approval_of(text, CALL) == expected
    typed = answers_for([question("a" * 32)], [text])["a" * 32]
    assert typed["kind"] == "approve"
    assert approval_of(typed["value"], CALL) == expected


@pytest.mark.parametrize("approval", [Approval("edit", args={}), Approval("reject"), Approval("answer", value="yes")])
def test_only_a_plain_yes_is_true(approval: Approval) -> None:
    assert not approval
    assert Approval("approve")
    assert approval_of(approval.plain(), CALL) == approval


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yes, but not now",
        "nope",
        "edit",
        "edit {",
        "edit [1]",
        "answer:",
        None,
        1,
        {},
        {"action": "go"},
        {"action": ["approve"]},
        {"action": "approve", "args": {}},
        {"action": "edit"},
        {"action": "edit", "args": ["ls"]},
        {"action": "edit", "plan": {}},
        {"action": "answer"},
        {"action": "approve", "more": 1},
        {"kind": "step"},
    ],
)
def test_what_is_no_approval_is_refused(value: Any) -> None:
    with pytest.raises(UnknownQuestionError):
        approval_of(value, CALL)


def test_a_plan_is_edited_as_a_plan() -> None:
    assert approval_of('edit {"subtasks": []}', REVIEW) == Approval("edit", plan={"subtasks": []})
    assert approval_of({"action": "edit", "plan": {"subtasks": []}}, REVIEW).plan == {"subtasks": []}
    for wrong in ({"action": "edit", "args": {}}, "answer: done"):
        with pytest.raises(UnknownQuestionError):
            approval_of(wrong, REVIEW)


def test_a_question_about_neither_takes_yes_or_no() -> None:
    plain = {"kind": "approve", "subtask": "s", "question": "?"}
    assert approval_of("no: later", plain).reason == "later"
    with pytest.raises(UnknownQuestionError):
        approval_of('edit {"command": "ls"}', plain)


class TestSeveral:
    def test_two_questions_of_one_subtask_are_told_apart_by_id(self) -> None:
        first, second = question("abcd1111" + "0" * 24), question("abcd2222" + "0" * 24, tool="deploy")
        both = [first, second]

        with pytest.raises(UnknownQuestionError) as caught:
            answers_for(both, ["s1=yes"])

        assert caught.value.hint is not None
        assert "abcd1111=… (bash)" in caught.value.hint
        assert "abcd2222=… (deploy)" in caught.value.hint
        assert answers_for(both, ["abcd1=yes", "abcd2=no"]) == {
            first["id"]: Answer(kind="approve", value=True),
            second["id"]: Answer(kind="approve", value=False),
        }

    def test_a_beginning_must_be_long_enough_and_fit_one(self) -> None:
        both = [question("abcd1" + "0" * 27, subtask="a"), question("abcd2" + "0" * 27, subtask="b")]

        for key in ("abc", "abcd", "abcd3", ""):
            with pytest.raises(UnknownQuestionError):
                answers_for(both, [f"{key}=yes"])

    def test_a_handle_names_exactly_its_question(self) -> None:
        ids = ["12345678a" + "0" * 23, "12345678b" + "0" * 23, "9" * 32]
        several = [question(ids[0]), question(ids[1]), question(ids[2], subtask="other")]

        assert [handle_of(one, several) for one in several] == ["12345678a", "12345678b", "other"]
        for one in several:
            assert set(answers_for(several, [f"{handle_of(one, several)}=yes"])) == {one["id"]}


class State(TypedDict, total=False):
    said: Any


def waiting_graph(**fields: Any) -> Any:
    def node(state: State) -> State:
        assert "said" not in state
        approval = ask("May it?", subtask="s1", kind="approve", **fields)
        return {"said": approval.plain()}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    return graph.compile(checkpointer=InMemorySaver())


CONFIG: Any = {"configurable": {"thread_id": "t"}}


def test_a_debuggers_go_on_approves_nothing() -> None:
    app = waiting_graph(tool="bash", args={"command": "rm x"}, reason="the policy asks")
    out = app.invoke({}, CONFIG)
    asked = question_of(out["__interrupt__"][0])
    assert (asked.get("tool"), asked.get("args"), asked.get("reason")) == (
        "bash",
        {"command": "rm x"},
        "the policy asks",
    )
    for wrong in (
        {"kind": "step"},
        {"kind": "step", "value": True},
        {"kind": "step", "value": {"action": "approve"}},
        {"kind": "answer", "value": "yes"},
        {"kind": "approve"},
        {"kind": "approve", "value": {"kind": "step"}},
        {"action": "approve"},
        True,
        "yes",
    ):
        out = app.invoke(Command(resume={asked["id"]: wrong}), CONFIG)

        assert "said" not in out
        asked = question_of(out["__interrupt__"][0])
        assert asked.get("refused")

    out = app.invoke(Command(resume={asked["id"]: {"kind": "approve", "value": True}}), CONFIG)
    assert out["said"] == {"action": "approve"}


def test_edited_arguments_arrive() -> None:
    app = waiting_graph(tool="bash", args={"command": "rm x", "cwd": "/", "timeout": 5})
    asked = question_of(app.invoke({}, CONFIG)["__interrupt__"][0])
    answers = answers_for([asked], ['s1=edit {"command": "ls", "timeout": null}'])

    out = app.invoke(Command(resume=answers), CONFIG)

    assert out["said"] == {"action": "edit", "args": {"command": "ls", "cwd": "/"}}, "all that the call is made with"


def test_an_argument_that_is_not_there_cannot_be_taken_away() -> None:
    app = waiting_graph(tool="bash", args={"command": "rm x"})
    asked = question_of(app.invoke({}, CONFIG)["__interrupt__"][0])
    out = app.invoke(Command(resume=answers_for([asked], ['s1=edit {"cmd": null}'])), CONFIG)
    assert "'cmd', which the call does not have" in question_of(out["__interrupt__"][0]).get("refused", "")

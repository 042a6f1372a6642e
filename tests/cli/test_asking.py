"""Questions at the terminal: shown so that one can decide, asked until the answer fits."""

from __future__ import annotations

import json
from typing import Any

import yaml

from openmanus_graph.cli.asking import ask_all, ask_one, described
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.questions import Answer, Question

CALL: Question = {
    "id": "0123456789abcdef0123456789abcdef",
    "kind": "approve",
    "subtask": "s1",
    "question": 'May \'s1\' call bash with {"command": "rm"}?',
    "tool": "bash",
    "args": {"command": "cd /data\nrm -rf old \x1b[2K\rls", "timeout_s": 5},
    "reason": "rule 2 asks about rm",
}
WORDS: Question = {"id": "f" * 32, "kind": "answer", "subtask": "s2", "question": "Which color?"}
PLAN = {
    "goal": "two things",
    "subtasks": [
        {"id": "a", "goal": "first", "agent": "executor"},
        {"id": "b", "goal": "second", "agent": "executor", "needs": ["a"]},
    ],
}
REVIEW: Question = {"id": "e" * 32, "kind": "approve", "subtask": "", "question": "Is it good?\na, b", "plan": PLAN}


class Scripted:
    """A person who says these lines, and edits text as told."""

    def __init__(self, *lines: str, edits: tuple[str | None, ...] = ()) -> None:
        self.lines = list(lines)
        self.edits = list(edits)
        self.shown: list[str] = []
        self.edited: list[str] = []

    def say(self, text: str) -> None:
        self.shown.append(text)

    def listen(self, prompt: str) -> str | None:
        del prompt
        return self.lines.pop(0) if self.lines else None

    def edit(self, text: str, suffix: str) -> str | None:
        del suffix
        self.edited.append(text)
        return self.edits.pop(0)


def value(question: Question, *lines: str, edits: tuple[str | None, ...] = ()) -> Any:
    answer = ask_one(question, Scripted(*lines, edits=edits))
    return None if answer is None else answer["value"]


def test_a_call_is_shown_whole_and_nothing_in_it_is_hidden() -> None:
    shown = described(CALL)
    assert "s1: may bash be called?" in shown
    assert "\n    cd /data\n    rm -rf old \\u001b[2K\\u000dls" in shown
    assert "timeout_s: 5" in shown
    assert "rule 2 asks about rm" in shown
    assert "\x1b" not in shown


def test_words_of_an_approval() -> None:
    assert value(CALL, "y") is True
    assert value(CALL, "no") is False
    assert value(CALL, "n: use the other folder") == {"action": "reject", "reason": "use the other folder"}
    assert value(CALL, "a: it was done by hand") == {"action": "answer", "value": "it was done by hand"}
    assert value(CALL, "a", "later said") == {"action": "answer", "value": "later said"}
    assert value(CALL, "= 42") == {"action": "answer", "value": "42"}
    assert value(CALL, 'e {"command": "ls"}') == {"action": "edit", "args": {"command": "ls"}}


def test_a_site_is_allowed_where_the_question_has_one() -> None:
    person = Scripted("s")
    answer = ask_one({**CALL, "site": "https://shop.example"}, person)
    assert answer is not None
    assert answer["value"] == {"action": "approve", "covers": "site"}
    assert person.shown[-1].endswith("s: yes for this site")
    person = Scripted("s", "yes for this site", "n")
    assert value(CALL, "s", "yes for this site", "n") is False
    assert "has no site" in str([ask_one(CALL, person), person.shown])
    assert "for this site" not in person.shown[1]


def test_what_fits_no_question_is_asked_again() -> None:
    person = Scripted("perhaps", "", 'e {"command": ', "e [1]", "n")
    answer = ask_one(CALL, person)
    assert answer is not None
    assert answer["value"] is False
    assert any("'perhaps' is neither yes nor no" in text for text in person.shown)
    assert any("no JSON" in text for text in person.shown)


def test_arguments_are_edited_in_the_editor() -> None:
    person = Scripted("e", "e", edits=(None, '{"command": "ls"}'))
    answer = ask_one(CALL, person)
    assert answer is not None
    assert answer["value"] == {"action": "edit", "args": {"command": "ls", "timeout_s": None}}, "the line was deleted"
    assert json.loads(person.edited[0]) == CALL.get("args")
    assert "Nothing was changed." in person.shown


def test_an_edit_that_cannot_be_taken_is_asked_again() -> None:
    def check(question: Question, answer: Answer) -> None:
        assert question is CALL
        if answer["value"] == {"action": "edit", "args": {"comand": "ls"}}:
            raise UnknownQuestionError("The tool has no 'comand'.", hint="Correct it.")

    person = Scripted('e {"comand": "ls"}', 'e {"command": "ls"}')
    answers = ask_all([CALL], person, check)
    assert answers is not None
    assert answers[CALL["id"]]["value"] == {"action": "edit", "args": {"command": "ls"}}
    assert "The tool has no 'comand'. Correct it." in person.shown


def test_an_answer_in_words_is_taken_as_it_is() -> None:
    assert value(WORDS, "s2=green = good") == "s2=green = good"
    assert value(WORDS, "  y ") == "  y "


def test_a_plan_is_drawn_once_and_edited_as_yaml() -> None:
    shown = described(REVIEW)
    assert shown.split("\n")[0] == "Is it good?"
    assert "● b (executor)  ← a" in shown
    changed = {**PLAN, "subtasks": PLAN["subtasks"][:1]}  # type: ignore[index]
    broken = {"subtasks": [{"id": "a", "goal": "x", "agent": "executor", "needs": ["zz"]}]}
    person = Scripted("e", "y", edits=(yaml.safe_dump(broken), yaml.safe_dump(changed)))
    answer = ask_one(REVIEW, person)
    assert answer is not None
    assert answer["kind"] == "approve"
    assert answer["value"] == {"action": "edit", "plan": changed}
    assert any("'zz'" in text for text in person.shown)
    assert value(REVIEW, "n: fewer steps") == {"action": "reject", "reason": "fewer steps"}


def test_several_are_asked_one_after_the_other_until_nobody_answers() -> None:
    answers = ask_all([CALL, WORDS, REVIEW], Scripted("y", "green"))
    assert answers is not None
    assert {key[0]: answer["value"] for key, answer in answers.items()} == {"0": True, "f": "green"}
    assert ask_all([CALL], Scripted()) is None


def test_why_the_last_answer_was_not_taken_is_said() -> None:
    assert "was not taken: no such tool" in described({**CALL, "refused": "no such tool"})

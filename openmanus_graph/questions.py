"""Questions: what a run asks a person, as an interrupt that only an answer of its own kind ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, TypedDict, cast

from langgraph.types import Command, Interrupt, interrupt

from openmanus_graph.errors import UnknownQuestionError

Kind = Literal["answer", "approve", "step"]
"""`answer`: a person's words; `approve`: yes or no to an action; `step`: the stepper's word to go on."""


class Question(TypedDict):
    """An open question of a thread."""

    id: str
    """The interrupt's id; answers go by it."""
    kind: Kind
    """Which kind of answer it takes."""
    subtask: str
    """The subtask that asks."""
    question: str
    """What it asks."""


class Answer(TypedDict):
    """What a wait is resumed with: the kind says who spoke, so that a debugger's *go on* is no approval."""

    kind: Kind
    value: Any


def ask(question: str, *, subtask: str, kind: Kind = "answer") -> Any:
    """Ask a person and suspend until the answer comes; the process may end meanwhile.

    Args:
        question: What to ask.
        subtask: The subtask that asks.
        kind: The kind of answer to accept; any other kind asks again.

    Returns:
        The answer's value.
    """
    payload: dict[str, Any] = {"kind": kind, "subtask": subtask, "question": question}
    while True:
        given = interrupt(payload)
        if isinstance(given, dict):
            fields = cast("dict[str, Any]", given)
            if fields.get("kind") == kind and "value" in fields:
                return fields["value"]
        payload = {**payload, "refused": f"This question takes a {kind!r}."}


def question_of(given: Interrupt) -> Question:
    """The question an interrupt carries; one of a foreign graph becomes an `answer` question in its own words."""
    value = given.value
    fields: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {"question": str(value)}
    return Question(
        id=given.id,
        kind=fields.get("kind", "answer"),
        subtask=str(fields.get("subtask", "")),
        question=str(fields.get("question", fields)),
    )


def answers_for(
    questions: Sequence[Question], given: Sequence[str], subtasks: Collection[str] = ()
) -> dict[str, Answer]:
    """Match answers from the command line with open questions.

    Args:
        questions: The open ones.
        given: `VALUE`, when one question is open, or `SUBTASK=VALUE` or `ID=VALUE`.
        subtasks: Ids of the plan's subtasks; one of them before a `=` names a question, open or not.

    Returns:
        Answers by interrupt id.

    Raises:
        UnknownQuestionError: If an answer fits no open question, or more than one.
    """
    known = {key: question for question in questions for key in (question["subtask"], question["id"]) if key}
    answers: dict[str, Answer] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if separator and key in known:
            question = known[key]
        elif len(questions) == 1 and not (separator and key in subtasks):
            question, value = questions[0], text
        else:
            raise _unknown(questions, text)
        if question["id"] in answers:
            raise UnknownQuestionError(
                f"The answer {text!r} is the second one to the same question.",
                hint="Answer each question once, as --answer SUBTASK=VALUE.",
            )
        answers[question["id"]] = Answer(kind=question["kind"], value=_value(question["kind"], value))
    return answers


def _value(kind: Kind, text: str) -> Any:
    if kind != "approve":
        return text
    word = text.strip().lower()
    if word in ("y", "yes", "true", "approve", "ok"):
        return True
    if word in ("n", "no", "false", "reject"):
        return False
    raise UnknownQuestionError(f"The answer {text!r} is neither yes nor no.", hint="Answer with yes or no.")


def _unknown(questions: Sequence[Question], text: str) -> UnknownQuestionError:
    if not questions:
        return UnknownQuestionError(f"The thread asks nothing, so {text!r} answers no question.")
    open_ones = ", ".join(f"{question['subtask']}=…" for question in questions)
    return UnknownQuestionError(f"The answer {text!r} names no open question.", hint=f"Open are: --answer {open_ones}")


def resume_with(answers: dict[str, Answer], open_ids: set[str]) -> Command[Any]:
    """The command that resumes a thread with answers.

    Raises:
        UnknownQuestionError: If an id is not open; LangGraph itself accepts unknown ids in silence.
    """
    if unknown := sorted(answers.keys() - open_ids):
        raise UnknownQuestionError(
            f"The thread has no open question {unknown[0]!r}.",
            hint="See the open ones with: openmanus-graph threads show THREAD",
        )
    return Command(resume=dict(answers))

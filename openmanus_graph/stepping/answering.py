"""Answering: hands a person's answer to a question of the run under a stepper. No other verb answers one."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langgraph.pregel import Pregel
from langgraph.types import Command

from openmanus_graph.approval import approval_of
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import store_answers
from openmanus_graph.effect_outcome import effect_outcome_of
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.questions import Answer, Question, answers_for, handle_of


def answer_to(questions: Sequence[Question], value: Any, interrupt: str | None) -> tuple[Question, Answer]:
    """The question that a person means, and the answer in the form that the question takes.

    Args:
        questions: The open ones.
        value: What the person says.
        interrupt: The question's id or its beginning, or its subtask; `None` where only one is open.

    Raises:
        UnknownQuestionError: If none or several are meant, or the value does not fit.
    """
    if isinstance(value, str):
        text = value if interrupt is None else f"{interrupt}={value}"
        [(key, answer)] = answers_for(questions, [text]).items()
        return next(question for question in questions if question["id"] == key), answer
    meant = [
        question for question in questions if interrupt is None or interrupt in (question["id"], question["subtask"])
    ]
    meant = meant or [question for question in questions if interrupt and question["id"].startswith(interrupt)]
    if len(meant) != 1:
        names = ", ".join(handle_of(question, questions) for question in questions) or "none"
        what = "Nothing is asked" if not questions else "That names no open question" if not meant else "Several fit"
        raise UnknownQuestionError(f"{what}.", hint=f"Open are: {names}.")
    question = meant[0]
    if question["kind"] == "approve":
        approval_of(value, question)
    elif question["kind"] == "effect":
        effect_outcome_of(value)
    return question, Answer(kind=question["kind"], value=value)


async def deliver(
    app: Pregel[Any, Any, Any, Any], thread_id: str, question: Question, answer: Answer, value: Any
) -> Command[Any] | None:
    """Store the answer for the run to take up; without a store, return the command that gives it.

    Args:
        app: The thread's graph.
        thread_id: The thread.
        question: The question.
        answer: The answer.
        value: What the person said.
    """
    if isinstance(app.checkpointer, ThreadSaver):
        await store_answers(app.checkpointer, thread_id, {question["id"]: answer})
        return None
    return Command(resume={question["id"]: value})

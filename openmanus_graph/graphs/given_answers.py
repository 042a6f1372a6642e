"""Given answers: what a `Command(resume=…)` answers, bound to the question that it answers."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import Any, cast

from langgraph.types import Command

from openmanus_graph.questions import nothing_asked, resume_with


def bound(given: Command[Any], asked: Set[str], *, is_one: bool, addressed: bool, stops: bool) -> Command[Any] | None:
    """The command with its answers under the ids of their questions.

    LangGraph gives a bare value to whatever the graph asks next, even if that was never shown to anybody.

    Args:
        given: What the graph is resumed with.
        asked: Ids of the questions that may be answered.
        is_one: Whether what it resumes with is one answer, and not several by their ids.
        addressed: Whether it goes on from a checkpoint that the caller named.
        stops: Whether the graph stops before or after nodes without asking; then a value only says to go on.

    Returns:
        The command, or `None` where it only says to go on.

    Raises:
        UnknownQuestionError: If a question is not open.
    """
    resume: Any = given.resume
    if resume is None:
        return given
    if isinstance(resume, dict) and not (is_one and len(asked) == 1):
        resume_with(cast("dict[str, Any]", resume), set(asked))
        return given
    if given.goto or (addressed and len(asked) != 1):  # it is for what runs then
        return given
    if not asked and not stops:
        raise nothing_asked(resume)
    if not asked:
        rest = replace(given, resume=None)
        return None if rest.update is None else rest
    # Of several, LangGraph says that one has to be named.
    return replace(given, resume={next(iter(asked)): resume}) if len(asked) == 1 else given

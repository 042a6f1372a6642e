"""Question plan: the nodes that part a query into questions, and ask a person what is meant where that is needed."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Overwrite, Send

from openmanus_graph.errors import UsageError
from openmanus_graph.nodes.material.untrusted_text import fenced
from openmanus_graph.nodes.researching.research_state import (
    MAX_DEPTH,
    MAX_INSIGHTS,
    TIME_LIMIT_S,
    Limits,
    QuestionInput,
    ResearchQuestion,
    ResearchState,
)
from openmanus_graph.nodes.researching.visit import Researcher, Unanswered, Visit
from openmanus_graph.questions import ask, is_answered

ResearchNode = Callable[[ResearchState, RunnableConfig, Runtime[Any]], Awaitable[dict[str, Any]]]

MOST_QUESTIONS = 8
MOST_QUERIES = 3
"""Searches for one question in one round."""
QUERY_CHARACTERS = 300
INVESTIGATE = "investigate"
"""The node that finds out one question."""

QUESTIONS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "unclear": {
            "type": "string",
            "description": "A question to the person; empty where nothing is unclear.",
        },
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "description": "One question that pages can answer."},
                    "queries": {"type": "array", "items": {"type": "string"}, "description": "Words to search for."},
                },
                "required": ["text", "queries"],
            },
        },
    },
    "required": ["questions"],
}


def limits_of(state: Limits) -> Limits:
    """The limits of a research, with the usual ones where none is stated.

    Raises:
        UsageError: If one is no positive number.
    """
    limits = Limits(
        max_depth=state.get("max_depth") or MAX_DEPTH,
        max_insights=state.get("max_insights") or MAX_INSIGHTS,
        time_limit_s=state.get("time_limit_s") or TIME_LIMIT_S,
        max_tokens=state.get("max_tokens"),
    )
    for name, value in limits.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and value > 0):  # pyright: ignore[reportOperatorIssue]
            raise UsageError(f"The limit {name!r} is {value!r}.", hint="Give a number above 0, or leave it out.")
    return limits


def questions_node(researcher: Researcher) -> ResearchNode:
    """The node that parts the query into questions."""

    async def questions(state: ResearchState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        visit = Visit(researcher, config, runtime)
        query = state["query"].strip()
        if not query:
            raise UsageError("The research has no query.", hint='Give {"query": "..."}.')
        limits_of(state)
        anew = _begun_anew(state)
        began = visit.clock_s if anew else state.get("began_s", visit.clock_s)
        asked = [] if anew else state.get("asked") or []
        sections = [f"# What is to be found out\n{fenced(query)}"]
        sections += [f"# The person was asked\n{one['question']}\n\n{fenced(one['answer'])}" for one in asked]
        if asked or not state.get("ask"):
            sections.append("Nobody can be asked now: leave `unclear` empty.")
        visit.say("parting the query into questions")
        try:
            found = await visit.object_of("knowledge", "questions", len(asked) + 1, "questions", sections, QUESTIONS)
        except Unanswered:
            found: dict[str, Any] = {}  # the query itself is a question
        unclear = str(found.get("unclear") or "").strip()
        if unclear and state.get("ask") and not asked:
            return {"tokens": visit.tokens, **anew, "question": unclear, "began_s": began}
        planned = [_question(one, number) for number, one in enumerate(found.get("questions") or [], 1)]
        planned = [one for one in planned if one["text"]][:MOST_QUESTIONS]
        return {
            "tokens": visit.tokens,
            **anew,
            "question": "",
            "began_s": began,
            "questions": planned or [ResearchQuestion(id="q1", text=query, queries=[query[:QUERY_CHARACTERS]])],
        }

    return questions


def _begun_anew(state: ResearchState) -> dict[str, Any]:
    """What takes away an earlier research of the same thread, that has ended; nothing where there is none."""
    if not state.get("status"):
        return {}
    lists = {name: Overwrite([]) for name in ("asked", "findings")}
    return {**lists, "claims": [], "checked": False, "sources": [], "status": "", "report": "", "answer": ""}


def _question(given: dict[str, Any], number: int) -> ResearchQuestion:
    text = str(given["text"]).strip()
    return ResearchQuestion(
        id=f"q{number}", text=text, queries=queries_of(given["queries"]) or [text[:QUERY_CHARACTERS]]
    )


def queries_of(given: list[Any]) -> list[str]:
    """Searches as a model gave them: without empty ones, each once, not too many."""
    return list(dict.fromkeys(text for one in given if (text := str(one).strip()[:QUERY_CHARACTERS])))[:MOST_QUERIES]


def clarify_node(researcher: Researcher) -> ResearchNode:
    """The node that asks the person; the run is suspended until the answer comes."""

    async def clarify(state: ResearchState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        visit = Visit(researcher, config, runtime)
        question = state.get("question", "")
        if not is_answered():
            visit.say("asking what is meant")
        answer = str(ask(question, subtask=visit.subtask))
        return {"question": "", "asked": [{"question": question, "answer": answer}]}

    return clarify


def after_questions(state: ResearchState) -> str | list[Send]:
    """Where it goes on: to the person, or to all questions at the same time, each with its share of the limits."""
    if state.get("question"):
        return "clarify"
    limits, questions = limits_of(state), state.get("questions") or []
    share = Limits(
        max_depth=limits.get("max_depth", MAX_DEPTH),
        max_insights=math.ceil(limits.get("max_insights", MAX_INSIGHTS) / len(questions)),
        max_tokens=None if (most := limits.get("max_tokens")) is None else math.ceil(most / len(questions)),
    )
    until = state.get("began_s", 0.0) + limits.get("time_limit_s", TIME_LIMIT_S)
    return [
        Send(
            INVESTIGATE,
            QuestionInput(
                query=state["query"], asking=one, limits=share, until=until, fresh=bool(state.get("fresh", False))
            ),
        )
        for one in questions
    ]

"""Elicited: questions of threads as a client can put them to its person, and what that person said as answers."""

from __future__ import annotations

import json
from typing import Any

from openmanus_graph.plans.json_schema import mapping_of
from openmanus_graph.questions import Question

_WORDS: dict[str, Any] = {"type": "string"}


def message_of(question: Question) -> str:
    """A question in words, with what is needed to decide."""
    lines = [question["question"]]
    if question.get("reason"):
        lines.append(f"Why it is asked: {question.get('reason')}")
    if question.get("plan"):
        lines.append(json.dumps(question.get("plan"), ensure_ascii=False, indent=1))
    if question.get("refused"):
        lines.append(f"The last answer was not taken: {question.get('refused')}")
    return "\n".join(lines)


def schema_of(question: Question) -> dict[str, Any]:
    """What an answer consists of, in the few types that clients can ask for."""
    if question["kind"] == "approve":
        fields: dict[str, Any] = {
            "decision": {"type": "string", "enum": ["yes", "no"]},
            "reason": {**_WORDS, "description": "Why not, or what to do otherwise."},
        }
        return {"type": "object", "properties": fields, "required": ["decision"]}
    if question["kind"] == "effect":
        fields = {"happened": {"type": "string", "enum": ["happened", "no"]}}
        return {"type": "object", "properties": fields, "required": ["happened"]}
    return {"type": "object", "properties": {"answer": _WORDS}, "required": ["answer"]}


def answer_in(question: Question, response: Any) -> str | None:
    """The answer that a client's response gives, as one would type it; `None` if the person gave none.

    Args:
        question: What was asked.
        response: The response: `action` and `content`.
    """
    fields = mapping_of(response)
    if fields.get("action") != "accept":
        return None
    values = mapping_of(fields.get("content"))
    if question["kind"] == "approve":
        decision, reason = str(values.get("decision") or ""), str(values.get("reason") or "")
        if decision not in ("yes", "no"):
            return None
        return f"no: {reason}" if decision == "no" and reason else decision
    value = values.get("happened" if question["kind"] == "effect" else "answer")
    return value if isinstance(value, str) else None


def how_to_answer(question: Question) -> str:
    """How one answers with the tool `answer`."""
    if question["kind"] == "approve":
        return 'yes, no, "no: REASON", or JSON with changed arguments'
    if question["kind"] == "effect":
        return 'happened, no (it did not happen), or "= RESULT"'
    return "words" if not question.get("bare") else "a value; JSON is read as JSON"

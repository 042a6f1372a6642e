"""Proposal: a plan as a model gives it: the schema it is asked for, and how it becomes a `Plan`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan
from openmanus_graph.state import SubtaskResult

_FIELDS = ("id", "goal", "needs", "tool", "args", "agent", "done_when", "tools", "retries", "timeout_s", "expected_s")
"""What a planner may say of a subtask; the rest is for people who write plans."""


def proposal_schema(tools: Collection[str], agents: Collection[str]) -> dict[str, Any]:
    """The JSON Schema of a proposal, for tools and agents of these names."""
    known = Plan.json_schema()["$defs"]["Subtask"]["properties"]
    fields: dict[str, Any] = {name: _described(known[name]) for name in _FIELDS}
    fields["tool"] = {**fields["tool"], "type": "string", "enum": list(tools)}
    fields["agent"] = {**fields["agent"], "type": "string", "enum": list(agents)}
    fields["tools"] = {**fields["tools"], "type": "array", "items": {"type": "string"}}
    subtask = {"type": "object", "properties": fields, "required": ["id"], "additionalProperties": False}
    return {
        "type": "object",
        "properties": {
            "goal": {"type": "string", "description": "What the whole plan is for, in a sentence."},
            "subtasks": {"type": "array", "minItems": 1, "items": subtask},
        },
        "required": ["goal", "subtasks"],
        "additionalProperties": False,
    }


def _described(field: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema without the alternatives for *nothing*: a model leaves out what it does not mean."""
    options = [one for one in field.get("anyOf", []) if one.get("type") != "null"]
    kept = {key: value for key, value in field.items() if key in ("type", "items", "description", "pattern")}
    return {**(options[0] if len(options) == 1 else {}), **kept}


def merged(proposal: Any, plan: Mapping[str, Any], results: Mapping[str, SubtaskResult]) -> Any:
    """A new plan with every completed subtask of the old one as it was, whatever the proposal says of it."""
    if not isinstance(proposal, dict):
        return proposal
    fields = cast("dict[str, Any]", proposal)
    subtasks: list[dict[str, Any]] = plan.get("subtasks") or []
    done = {name for name, result in results.items() if result["status"] == "completed"}
    kept = [one for one in subtasks if one["id"] in done]
    ids = {one["id"] for one in kept}
    new = fields.get("subtasks")
    if not isinstance(new, list):
        return fields
    left = [one for one in cast("list[Any]", new) if _id_of(one) not in ids]
    return {**fields, "subtasks": [*kept, *left]}


def _id_of(subtask: Any) -> Any:
    return cast("dict[str, Any]", subtask).get("id") if isinstance(subtask, dict) else None


def checked_plan(
    proposal: Any, tools: Mapping[str, BaseTool], agents: Collection[str], max_subtasks: int
) -> tuple[Plan | None, list[str]]:
    """The plan that a proposal is, or all that is wrong with it."""
    if not isinstance(proposal, dict):
        return None, ["The reply is no JSON object with `goal` and `subtasks`."]
    try:
        fields = cast("dict[str, Any]", proposal)
        return Plan.from_dict(fields, tools=tools, agents=agents, max_subtasks=max_subtasks), []
    except PlanError as error:
        return None, error.problems

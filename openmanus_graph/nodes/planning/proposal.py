"""Proposal: a plan as a model gives it, with the schema it is asked for and the way to a `Plan`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph.errors import PlanError
from openmanus_graph.nodes.planning.pasted_text import pasted_text_problems
from openmanus_graph.plan import Plan
from openmanus_graph.plans.validation import outline, plan_error
from openmanus_graph.state import SubtaskResult

SUBMIT = "submit_plan"
"""The call with which a plan is given."""
_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}


def proposal_schema(tools: Collection[str], agents: Collection[str]) -> dict[str, Any]:
    """The JSON Schema of a proposal, for tools and agents of these names."""
    subtask: dict[str, Any] = {
        "type": "object",
        # That one of the two is needed is said in words: several providers take no `oneOf` without types.
        "description": "Needs one of `tool` and `agent`; leave out what it does not have.",
        "properties": {
            "id": _TEXT,
            "tool": {**_TEXT, "enum": list(tools), "description": "A direct call, with `args`."},
            "args": {"type": "object"},
            "agent": {**_TEXT, "enum": list(agents), "description": "Works on `goal`."},
            "goal": _TEXT,
            "done_when": {**_TEXT, "description": "What can be seen once the agent is done."},
            "tools": {**_TEXTS, "description": "All that the agent may use; left out, the usual ones."},
            "needs": {**_TEXTS, "description": "Ids to wait for, beside those referred to."},
            "retries": {"type": "integer"},
            "timeout_s": {"type": "number"},
        },
        "required": ["id"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"goal": _TEXT, "subtasks": {"type": "array", "minItems": 1, "items": subtask}},
        "required": ["goal", "subtasks"],
    }


def merged(proposal: Any, plan: Mapping[str, Any], results: Mapping[str, SubtaskResult]) -> Any:
    """A new plan with every completed subtask of the old one as it was, whatever the proposal says of it."""
    if not isinstance(proposal, dict):
        return proposal
    fields = cast("dict[str, Any]", proposal)
    subtasks: list[dict[str, Any]] = plan.get("subtasks") or []
    done = {name for name, result in results.items() if result["status"] == "completed"}
    kept = [subtask for subtask in subtasks if subtask["id"] in done]
    ids = {subtask["id"] for subtask in kept}
    new = fields.get("subtasks")
    if not isinstance(new, list):
        return fields
    left = [subtask for subtask in cast("list[Any]", new) if _id_of(subtask) not in ids]
    return {**fields, "subtasks": [*kept, *left]}


def _id_of(subtask: Any) -> Any:
    return cast("dict[str, Any]", subtask).get("id") if isinstance(subtask, dict) else None


def checked_edit(
    plan: Mapping[str, Any], tools: Mapping[str, BaseTool], agents: Collection[str], max_subtasks: int
) -> tuple[Plan | None, list[str]]:
    """A plan as a person has edited it, or all its problems; how they write commands is not judged."""
    listed = cast("list[Any]", plan.get("subtasks") or [])
    own = [str(name) for one in listed if (name := _id_of(one)) is not None]
    return checked_plan(plan, tools, agents, max_subtasks, own)


def checked_plan(
    proposal: Any,
    tools: Mapping[str, BaseTool],
    agents: Collection[str],
    max_subtasks: int,
    completed: Collection[str] = (),
) -> tuple[Plan | None, list[str]]:
    """The plan of a proposal, or all its problems.

    Args:
        proposal: What the model gave, mended.
        tools: The tools by name.
        agents: The names of the agents.
        max_subtasks: How many subtasks it may have.
        completed: Ids of subtasks that have run, which may be a person's: how they are written is not judged.
    """
    if not isinstance(proposal, dict):
        return None, ["The reply is no JSON object with `goal` and `subtasks`."]
    fields = cast("dict[str, Any]", proposal)
    listed = fields.get("subtasks")
    subtasks = cast("list[Any]", listed) if isinstance(listed, list) else []
    outlines = [outline(index, raw) for index, raw in enumerate(subtasks)]
    pasted = list(pasted_text_problems(outlines, tools, completed))
    problems = plan_error(pasted, fields).problems if pasted else []
    try:
        plan = Plan.from_dict(fields, tools=tools, agents=agents, max_subtasks=max_subtasks)
    except PlanError as error:
        return None, [*error.problems, *problems]
    return (None, problems) if problems else (plan, [])

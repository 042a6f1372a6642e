"""Planner: the node in which a model turns the task into a plan, one try a visit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from openmanus_graph.errors import BudgetError, PlanningError
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.outline import earlier_text, request_text, results_text
from openmanus_graph.nodes.proposal import checked_plan, merged, proposal_schema, tidied
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.plans.tool_use import RETURNS, is_builtin
from openmanus_graph.state import ManusState
from openmanus_graph.tools.spec import schema_of, spec_of

PLANNER = "planner"
RESULT_CHARACTERS = 12_000
SHOWN_PROBLEMS = 20
NOT_PLANNED = ("terminate", "planning")
"""Tools of use to an agent only."""


def planned_tools(tools: Mapping[str, BaseTool]) -> dict[str, BaseTool]:
    """The tools that a plan is made with: not those for agents only, and no second names of one."""
    return {name: tool for name, tool in tools.items() if name not in NOT_PLANNED and spec_of(tool).alias_of is None}


def tools_text(tools: Mapping[str, BaseTool]) -> str:
    """The tools as a planner is told of them: effect, arguments and output."""
    lines: list[str] = []
    for name, tool in planned_tools(tools).items():
        arguments = json.dumps(_arguments(tool), ensure_ascii=False, separators=(",", ":"))
        what = " ".join(tool.description.split("\n\n")[0].split())
        returns = f" -> {_shape(RETURNS[name])}" if name in RETURNS and is_builtin(tool) else ""
        lines.append(f"- {name} ({spec_of(tool).effect}) {arguments}{returns}: {what}")
    return "\n".join(lines)


def _arguments(tool: BaseTool) -> dict[str, Any]:
    """Arguments by name, each with its kind; required ones have a `*`."""
    schema = schema_of(tool)
    required: list[str] = schema.get("required") or []
    fields: dict[str, dict[str, Any]] = schema.get("properties") or {}
    return {f"{name}*" if name in required else name: _kind(field) for name, field in fields.items()}


def _kind(field: dict[str, Any]) -> Any:
    variants: list[dict[str, Any]] = field.get("anyOf") or []
    options = [str(one.get("type")) for one in variants if one.get("type") != "null"]
    kind: Any = field.get("enum") or field.get("type") or "/".join(options) or "any"
    items: dict[str, Any] = field.get("items") or {}
    return [items.get("type", "any")] if kind == "array" else kind


def _shape(returned: Any) -> str:
    """The fields of an output, in a few characters."""
    if isinstance(returned, dict):
        fields = cast("dict[str, Any]", returned)
        inner = [key if isinstance(value, str) else f"{key}: {_shape(value)}" for key, value in fields.items()]
        return "{" + ", ".join(inner) + "}"
    return f"[{_shape(cast('list[Any]', returned)[0])}]" if isinstance(returned, list) else "..."


def planning_text(state: ManusState, roles: Roles) -> str:
    """All that the planner is told."""
    parts = [request_text(state)]
    earlier = earlier_text(state.get("earlier"))
    if earlier:
        parts.append(f"# Earlier in this conversation\n{earlier}")
    parts.append(f"# Tools\n{tools_text(roles.tools)}")
    parts.append("# Agents\n" + "\n".join(f"- {name}: {text}" for name, text in roles.agents.items()))
    if state.get("knowledge"):
        parts.append(f"# From memory\n{state.get('knowledge')}")
    plan = state.get("plan") or {}
    if plan.get("subtasks"):
        shown = json.dumps(plan, ensure_ascii=False)
        parts.append(f"# The plan so far\n{shown}\n\n# What came of it\n{results_text(state, RESULT_CHARACTERS)}")
        parts.append(
            "# What to do now\nGive the whole plan again. Completed subtasks stay as they are, name only their ids in "
            "`needs` and references; change, drop or add only what is not completed."
        )
    if state.get("reason"):
        parts.append(f"# What to consider\n{state.get('reason')}")
    return "\n\n".join(parts)


def planner_node(roles: Roles) -> Node[ManusState]:
    """The gated node that plans; an invalid plan brings it back with the problems."""
    offered = planned_tools(roles.tools)
    schema = proposal_schema(list(offered), list(roles.agents))

    async def planner(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        messages: list[BaseMessage] = [roles.prompt(PLANNER), HumanMessage(planning_text(state, roles))]
        problems = state.get("problems") or []
        if problems:
            listed = "\n".join(f"- {problem}" for problem in problems[:SHOWN_PROBLEMS])
            messages.append(AIMessage(state.get("proposal", "")))
            messages.append(
                HumanMessage(f"This plan cannot be taken:\n{listed}\nGive the whole plan again, corrected.")
            )
        try:
            found = await turn.structured(PLANNER, messages, schema, "submit_plan", "Give the plan.")
        except BudgetError as error:
            turn.tell("budget_reached", budget=error.budget, text=error.message)
            return {"decision": "stop", "reason": error.message, "problems": []}
        return turn.with_usage(_taken(turn, found.value, found.problem or ""))

    return gated(planner, PLANNER)


def _taken(turn: Turn, value: Any, problem: str) -> dict[str, Any]:
    """The state with a sound plan, or with what is wrong with it; after the last try that is an error."""
    state, roles = turn.state, turn.roles
    tries = (state.get("plan_tries") or 0) + 1
    proposal = tidied(value)
    if (state.get("plan") or {}).get("subtasks"):
        proposal = merged(proposal, state.get("plan") or {}, state.get("results") or {})
    plan, problems = checked_plan(proposal, roles.tools, list(roles.agents), roles.settings.max_subtasks)
    if value is None and problem:
        problems = [problem]
    if plan is not None:
        turn.tell("plan_made", plan=plan.to_dict(), attempt=tries)
        return {"plan": plan.to_dict(), "problems": [], "proposal": "", "plan_tries": tries, "decision": "dispatch"}
    turn.tell("plan_refused", problems=problems, attempt=tries)
    if tries >= roles.settings.max_plan_tries:
        listed = "\n".join(f"  - {one}" for one in problems[:SHOWN_PROBLEMS])
        raise PlanningError(
            f"The model {roles.models.names.get(PLANNER, 'of the planner')!r} made no valid plan in {tries} tries. "
            f"The last one has these problems:\n{listed}",
            hint="Try again with: openmanus-graph resume --last\nOr set another model for [models.planner].",
        )
    text = json.dumps(value, ensure_ascii=False) if value is not None else "(no plan)"
    return {"problems": problems, "proposal": text, "plan_tries": tries}

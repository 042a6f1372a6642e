"""Planner: the node in which a model turns the task into a plan, one try a visit."""

from __future__ import annotations

import json
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph import shell_commands
from openmanus_graph.agent_nodes import PLANNER
from openmanus_graph.errors import BudgetError, PlanningError
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.prompt_context import earlier_text, request_text, results_text
from openmanus_graph.nodes.offered_tools import usable_tools
from openmanus_graph.nodes.planning.plan_repair import mended
from openmanus_graph.nodes.planning.proposal import SUBMIT, checked_plan, merged, proposal_schema
from openmanus_graph.nodes.planning.tool_catalogue import catalogue_text, planned_tools, told_agents
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import at_stage, decided
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.plan import Plan
from openmanus_graph.state import ManusState, SubtaskResult
from openmanus_graph.tools.surroundings import surroundings_line

RESULT_CHARACTERS = 12_000
SHOWN_PROBLEMS = 20


def planning_text(state: ManusState, roles: Roles) -> str:
    """The planner's prompt."""
    parts = [request_text(state)]
    earlier = earlier_text(state.get("earlier"))
    if earlier:
        parts.append(f"# Earlier in this conversation\n{earlier}")
    parts.append(catalogue_text(roles))
    sandbox = state.get("sandbox") or roles.settings.sandbox
    parts.append(f"# The surroundings\n{surroundings_line(usable_tools(roles), sandbox, settings=roles.settings)}")
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


def plan_schema(roles: Roles) -> dict[str, Any]:
    """The JSON Schema of a plan for these tools and agents, as a model is asked for it."""
    return proposal_schema(list(planned_tools(usable_tools(roles))), list(told_agents(roles)))


def planner_node(roles: Roles) -> Node[ManusState]:
    """The gated node that plans; an invalid plan brings it back with the problems.

    A plan that the coordinator already gave is checked and taken, with no call of a model.
    """
    schema = plan_schema(roles)

    async def planner(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        if state.get("decision") == "propose" and state.get("proposal") and not state.get("problems"):
            return _taken(turn, json.loads(state.get("proposal", "")), "")
        messages: list[BaseMessage] = [roles.prompt(PLANNER), HumanMessage(planning_text(state, roles))]
        problems = state.get("problems") or []
        if problems:
            listed = "\n".join(f"- {problem}" for problem in problems[:SHOWN_PROBLEMS])
            messages.append(AIMessage(state.get("proposal", "")))
            messages.append(
                HumanMessage(f"This plan cannot be taken:\n{listed}\nGive the whole plan again, corrected.")
            )
        try:
            found = await turn.structured(PLANNER, messages, schema, SUBMIT, "Give the plan.")
        except BudgetError as error:
            turn.tell("budget_reached", budget=error.budget, text=error.message)
            return {**decided("stop"), "reason": error.message, "problems": []}
        return turn.with_usage(_taken(turn, found.value, found.problem or ""))

    return gated(planner, PLANNER)


def _taken(turn: Turn, value: Any, problem: str) -> dict[str, Any]:
    """The state update of a plan, or of its problems; after the last try those are an error."""
    state, roles = turn.state, turn.roles
    tries = (state.get("plan_tries") or 0) + 1
    kept = [name for name, result in (state.get("results") or {}).items() if result["status"] == "completed"]
    proposal = mended(value, roles.tools, list(roles.agents), kept)
    if (state.get("plan") or {}).get("subtasks"):
        proposal = merged(proposal, state.get("plan") or {}, state.get("results") or {})
    plan, problems = checked_plan(proposal, roles.tools, list(roles.agents), roles.settings.max_subtasks, kept)
    if value is None and problem:
        problems = [problem]
    is_proposed = state.get("decision") == "propose"
    if plan is not None and not _left(plan, state) and is_proposed:
        plan, problems = None, ["All of its subtasks are completed already: answer, or plan what is left."]
    if plan is not None and not _left(plan, state):
        reason = "The new plan has nothing but what is completed already; what is not completed stays so."
        turn.tell("decided", decision="stop", text=reason)
        return {**decided("stop"), "reason": reason, "problems": [], "proposal": "", "plan_tries": tries}
    if plan is not None:
        turn.tell("plan_made", plan=plan.to_dict(), attempt=tries)
        taken: dict[str, Any] = {"plan": plan.to_dict(), "problems": [], "proposal": "", **decided("dispatch")}
        return {**taken, "plan_tries": tries, "results": _dropped(plan, state)}
    turn.tell("plan_refused", problems=problems, attempt=tries)
    text = json.dumps(value, ensure_ascii=False) if value is not None else "(no plan)"
    refused: dict[str, Any] = {"problems": problems, "proposal": text, "plan_tries": tries}
    if is_proposed:
        # The last try is the planner's own, with a prompt that has nothing but the task.
        is_last = tries + 1 >= roles.settings.max_plan_tries
        return {**refused, "calls": {}, **decided("plan")} if is_last else {**refused, **at_stage("refused")}
    if tries >= roles.settings.max_plan_tries:
        listed = "\n".join(f"  - {problem}" for problem in problems[:SHOWN_PROBLEMS])
        raise PlanningError(
            f"The model {roles.models.names.get(PLANNER, 'of the planner')!r} made no valid plan in {tries} tries. "
            f"The last one has these problems:\n{listed}",
            hint=f"Try again with: {shell_commands.resume(turn.thread_id)}\nOr set another model for [models.planner].",
        )
    return refused


def _left(plan: Plan, state: ManusState) -> list[str]:
    """The subtasks that are not completed already."""
    results = state.get("results") or {}
    return [
        subtask.id
        for subtask in plan.subtasks
        if subtask.id not in results or results[subtask.id]["status"] != "completed"
    ]


def _dropped(plan: Plan, state: ManusState) -> dict[str, SubtaskResult]:
    """The results of subtasks that the new plan dropped: skipped, with their former status."""
    ids = {subtask.id for subtask in plan.subtasks}
    return {
        name: {**result, "status": "skipped", "error": f"A later plan dropped it; it was {result['status']}: {error}"}
        for name, result in (state.get("results") or {}).items()
        if name not in ids and result["status"] not in ("completed", "skipped") and (error := result["error"] or "")
    }

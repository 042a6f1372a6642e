"""Review: the node in which a person approves a plan, edits it or sends it back, where the settings say so."""

from __future__ import annotations

from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import REVIEW
from openmanus_graph.config.settings import Settings
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.planning.proposal import checked_plan
from openmanus_graph.nodes.prompt_context import plan_outline
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import decided
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.questions import Approval, ask, is_answered
from openmanus_graph.state import ManusState


def is_reviewed(plan: dict[str, Any], settings: Settings) -> bool:
    """Whether a person is to approve the plan."""
    large = len(plan.get("subtasks") or []) > settings.large_plan
    return settings.review == "always" or (settings.review == "large" and large)


def review_node(roles: Roles) -> Node[ManusState]:
    """The gated node that asks about a plan; it asks nothing where the settings do not say so."""

    async def review(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        plan = state.get("plan") or {}
        if not is_reviewed(plan, roles.settings):
            return decided("dispatch")
        turn = Turn(roles, state, config, runtime)
        count = len(plan["subtasks"])
        many = "1 subtask" if count == 1 else f"{count} subtasks"
        question = f"Is this plan of {many} to be carried out?\n{plan_outline(plan)}"
        reason = ""
        while True:
            asked = {"kind": "approve", "subtask": "", "question": question, "plan": plan, "reason": reason}
            if not is_answered():
                turn.tell("question_asked", question=asked)
            said: Approval = ask(question, subtask="", kind="approve", plan=plan, reason=reason or None)
            if said.action == "reject" or (said.action == "edit" and said.plan is None):
                why = f"The person did not approve the plan: {said.reason or 'no reason given'}"
                return {**decided("replan"), "reason": why, "plan_tries": 0, "problems": []}
            if said.action != "edit":
                return decided("dispatch")
            limit = roles.settings.max_subtasks
            edited, problems = checked_plan(said.plan, roles.tools, list(roles.agents), limit)
            if edited is not None:
                turn.tell("plan_made", id="plan_edited", plan=edited.to_dict(), attempt=0)
                return {"plan": edited.to_dict(), **decided("dispatch")}
            reason = "The edited plan cannot be taken: " + " ".join(problems)

    return gated(review, REVIEW)

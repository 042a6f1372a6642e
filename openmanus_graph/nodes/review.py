"""Review: the node in which a person approves a plan, edits it or sends it back, where the settings say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import REVIEW
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted
from openmanus_graph.events import now
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.prompt_context import plan_outline
from openmanus_graph.nodes.planning.coordinator_calls import PLAN
from openmanus_graph.nodes.planning.proposal import checked_edit
from openmanus_graph.nodes.reply import open_calls
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import at_stage, decided
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.questions import Approval, ask, is_answered
from openmanus_graph.state import ManusState, SubtaskResult


def is_reviewed(ahead: Sequence[str], settings: Settings) -> bool:
    """Whether a person is to approve a plan, by the subtasks of it that are not completed."""
    large = len(ahead) > settings.large_plan
    return settings.review == "always" or (settings.review == "large" and large)


def _is_coordinators(state: ManusState) -> bool:
    """Whether the coordinator itself gave the plan, and not a planner that it asked."""
    names = [call["name"] for call in open_calls(state.get("dialogue") or [])]
    return bool(names) and PLAN not in names


def _ahead(state: ManusState) -> list[str]:
    """The subtasks of the plan that are not completed."""
    results = state.get("results") or {}
    done = {name for name, result in results.items() if result["status"] == "completed"}
    subtasks: list[dict[str, Any]] = (state.get("plan") or {}).get("subtasks") or []
    return [str(one["id"]) for one in subtasks if one["id"] not in done]


def _skipped(why: str) -> SubtaskResult:
    """The result of a subtask that a person did not approve."""
    return SubtaskResult(
        status="skipped",
        output=None,
        error=why,
        attempts=0,
        started_at=None,
        finished_at=now(),
        definition="",
        output_file=None,
    )


def review_node(roles: Roles) -> Node[ManusState]:
    """The gated node that asks about a plan; it asks nothing where the settings do not say so."""

    async def review(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        plan, ahead = state.get("plan") or {}, _ahead(state)
        if not is_reviewed(ahead, roles.settings):
            return decided("dispatch")
        turn = Turn(roles, state, config, runtime)
        question = f"Is this plan of {counted(len(ahead), 'subtask')} to be carried out?\n{plan_outline(plan, ahead)}"
        reason = str(state.get("reason") or "") if (state.get("template") or {}).get("filled") else ""
        while True:
            asked = {"kind": "approve", "subtask": "", "question": question, "plan": plan, "reason": reason}
            if not is_answered():
                turn.tell("question_asked", question=asked)
            approval: Approval = ask(question, subtask="", kind="approve", plan=plan, reason=reason or None)
            if approval.action == "reject" or (approval.action == "edit" and approval.plan is None):
                why = f"The person did not approve the plan: {approval.reason or 'no reason given'}"
                if _is_coordinators(state):
                    back = {**decided("propose"), **at_stage("refused"), "problems": [why], "plan_tries": 0}
                    return {**back, "results": {name: _skipped(why) for name in ahead}}
                return {**decided("replan"), "reason": why, "plan_tries": 0, "problems": []}
            if approval.action != "edit":
                return decided("dispatch")
            limit = roles.settings.max_subtasks
            edited, problems = checked_edit(approval.plan or {}, roles.tools, list(roles.agents), limit)
            if edited is not None:
                turn.tell("plan_made", id="plan_edited", plan=edited.to_dict(), attempt=0)
                return {"plan": edited.to_dict(), "calls": {}, **decided("dispatch")}
            reason = "The edited plan cannot be taken: " + " ".join(problems)

    return gated(review, REVIEW)

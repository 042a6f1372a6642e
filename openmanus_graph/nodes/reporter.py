"""Reporter: the node that writes the answer, and says so where a budget or failures left it partial."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from openmanus_graph.agent_nodes import REPORTER
from openmanus_graph.display_text import counted
from openmanus_graph.errors import BudgetError
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.material.answer_links import made_files, with_links
from openmanus_graph.nodes.material.prompt_context import (
    all_completed,
    dropped_text,
    earlier_text,
    failures_text,
    planned_results,
    request_text,
    results_text,
)
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.turn import CHARACTERS_PER_TOKEN, CUT_OFF, MOST_CHARACTERS, Turn, is_cut
from openmanus_graph.state import ManusState

SHARE_FOR_RESULTS = 0.5
"""How much of the window the outputs may take."""
NO_WORDS = "Your reply had no words. Write the answer as plain text."
SILENT = "The model that writes answers wrote none. This is what was found:"


def reporter_node(roles: Roles) -> Node[ManusState]:
    """The gated node that answers."""

    async def reporter(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        out_of_budget = turn.spending.reached() is not None
        is_done = all_completed(state) and not state.get("reason")
        status = "completed" if is_done else "partial" if out_of_budget else "failed"
        ready = _ready(state) if is_done else ""
        try:
            if out_of_budget and ready:
                answer, status = ready, "completed"
            elif out_of_budget:
                answer, status = partial_answer(state), "partial"
            elif not (state.get("plan") or {}).get("subtasks"):
                answer = f"The task was not done. {state.get('reason', '')}".strip()
            else:
                answer, status = await _written(turn, status)
        except BudgetError as error:
            turn.tell("budget_reached", budget=error.budget, text=error.message)
            answer, status = ready, "completed"
            if not ready:
                answer, status = partial_answer(cast("ManusState", {**state, "reason": error.message})), "partial"
        turn.tell("answered", text=answer, status=status)
        return turn.with_usage({"answer": answer, "status": status, "messages": [AIMessage(answer)]})

    return gated(reporter, REPORTER)


def _ready(state: ManusState) -> str:
    """The answer that the coordinator had before another model was to write one; empty if it had none."""
    text = state.get("answer") or ""
    return with_links(text, made_files(state), planned_results(state)) if text else ""


async def _written(turn: Turn, status: str) -> tuple[str, str]:
    state, roles = turn.state, turn.roles
    limit = int(await roles.window(REPORTER) * SHARE_FOR_RESULTS * CHARACTERS_PER_TOKEN)
    parts = [request_text(state)]
    earlier = earlier_text(state.get("earlier"))
    if earlier:
        parts.append(f"# Earlier in this conversation\n{earlier}")
    parts.append(f"# Outputs of the subtasks\n{results_text(state, min(limit, MOST_CHARACTERS))}")
    files = made_files(state)
    if files:
        parts.append("# Files that were made\n" + "\n".join(files))
    if status != "completed":
        why = f"\n{state.get('reason')}" if state.get("reason") else ""
        parts.append(f"# What was not done\n{failures_text(state)}{why}")
        if dropped := dropped_text(state):
            parts.append(f"# What a later plan dropped\n{dropped}")
    asked = [roles.prompt(REPORTER), HumanMessage("\n\n".join(parts))]
    reply = await turn.reply_in_full(REPORTER, asked)
    text = str(reply.text).strip()
    if not text:
        reply = await turn.reply_in_full(REPORTER, [*asked, HumanMessage(NO_WORDS)])
        text = str(reply.text).strip()
    whole = bool(text) and not is_cut(reply)
    text = text or state.get("answer") or f"{SILENT}\n\n{results_text(state, MOST_CHARACTERS // 4, apart=False)}"
    if not whole:
        text += CUT_OFF if is_cut(reply) else ""
        status = "partial" if status == "completed" else status
    return with_links(text, files, planned_results(state)), status


def partial_answer(state: ManusState) -> str:
    """An answer without a model: what is completed with its outputs, and what is not."""
    if not (state.get("plan") or {}).get("subtasks"):
        return f"Nothing was done: {state.get('reason', '')}"
    done = sum(result["status"] == "completed" for result in planned_results(state).values())
    total = len((state.get("plan") or {}).get("subtasks") or [])
    head = f"This is a partial answer: {state.get('reason') or 'a budget is used up.'}"
    body = results_text(state, MOST_CHARACTERS // 4, apart=False)
    return f"{head}\n{done} of {counted(total, 'subtask')} completed.\n\n{body}"

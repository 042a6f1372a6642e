"""Coordinator: the node that takes a request and decides what happens next, by rule where a rule suffices."""

from __future__ import annotations

import json
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.runtime import Runtime
from langgraph.types import Overwrite
from pydantic import BaseModel, Field

from openmanus_graph.agent_nodes import COORDINATOR, PLANNER
from openmanus_graph.errors import BudgetError, UsageError
from openmanus_graph.models.context import fit
from openmanus_graph.models.structured import read_object
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.planner import SUBMIT, plan_schema
from openmanus_graph.nodes.planning.tool_catalogue import catalogue_text
from openmanus_graph.nodes.prompt_context import all_completed, and_this, failures_text, request_text, results_text
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import decided
from openmanus_graph.nodes.turn import Turn, is_cut
from openmanus_graph.state import ManusState

SHARE_FOR_CONVERSATION = 0.5
"""Share of the window that the conversation may take."""
RESULT_CHARACTERS = 12_000
MOST_QUESTIONS = 1
"""Questions about one request before its plan."""

DECISION = {
    "type": "object",
    "properties": {
        "decision": {"type": "string", "enum": ["replan", "report", "ask", "stop"]},
        "reason": {"type": "string", "description": "Why, in a sentence; for `replan` what to do differently."},
        "question": {"type": "string", "description": "For `ask`: the question to the person."},
    },
    "required": ["decision", "reason"],
    "additionalProperties": False,
}


class _PlanArguments(BaseModel):
    """Arguments of `plan`."""

    why: str = Field(default="", description="What has to be done, in a few words.")


class _AskArguments(BaseModel):
    """Arguments of `ask`."""

    question: str = Field(min_length=1, description="The one question, short and plain.")


def _never(**_: Any) -> str:
    raise NotImplementedError("The coordinator reads these calls; nobody makes them.")


PLAN_CALL = StructuredTool.from_function(
    _never, name="plan", description="Have the task planned and carried out.", args_schema=_PlanArguments
)
ASK_CALL = StructuredTool.from_function(
    _never,
    name="ask",
    description="Ask the person the one question without which the task cannot be begun.",
    args_schema=_AskArguments,
)


def coordinator_node(roles: Roles) -> Node[ManusState]:
    """The gated node that coordinates."""

    async def coordinator(state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        turn = Turn(roles, state, config, runtime)
        try:
            update = await _decide(turn)
        except BudgetError as error:
            turn.tell("budget_reached", budget=error.budget, text=error.message)
            update = {**decided("stop"), "reason": error.message}
        if update["decision"] != "recall":
            said = "plan" if update["decision"] == "propose" else update["decision"]
            turn.tell("decided", decision=said, text=update.get("reason", ""))
        return turn.with_usage(update)

    return gated(coordinator, COORDINATOR)


async def _decide(turn: Turn) -> dict[str, Any]:
    state = turn.state
    stage = state.get("stage", "new")
    if stage == "new" and plans_at_once(turn.roles):
        return {**_anew(state), **decided("recall")}  # what is remembered must be there before the plan is
    if stage == "new":
        return {**_anew(state), **await _received(turn)}
    if stage == "recalled":
        return await _received(turn)
    if stage == "planned":
        return {**_anew(state), "plan": state.get("plan"), **decided("dispatch"), "reason": "The plan is given."}
    if stage == "again":
        if not state.get("request"):
            raise UsageError("The thread has no request, so there is nothing to try again.", hint='Give {"task": ...}.')
        again: dict[str, Any] = {"status": "", "answer": "", "replans": 0, "plan_tries": 0}
        if (state.get("plan") or {}).get("subtasks"):
            return {**again, **decided("dispatch"), "reason": "What is not completed is tried again."}
        return {**again, **decided("plan"), "reason": "The request is planned again."}
    if stage == "clarified":
        if (state.get("plan") or {}).get("subtasks"):
            return {**_replan(state), "reason": f"{state.get('reason', '')} The person answered a question.".strip()}
        return await _received(turn)
    return await _dispatched(turn)


def _anew(state: ManusState) -> dict[str, Any]:
    """What a new request resets; the earlier ones stay in `earlier` and in the conversation.

    Behind a request that did not end, dispatches count on, or what its subtasks left would be taken for this one's.
    """
    unfinished = bool(state.get("request")) and not state.get("status")
    return {
        "round": state.get("round", 0) + unfinished,
        "request": (state.get("request") or 0) + 1,
        "results": Overwrite({}),
        "plan": {},
        "clarifications": [],
        "knowledge": "",
        "question": "",
        "proposal": "",
        "problems": [],
        "plan_tries": 0,
        "replans": 0,
        "reason": "",
        "answer": "",
        "status": "",
    }


def plans_at_once(roles: Roles) -> bool:
    """Whether the coordinator gives the plan in its first reply: only where the planner has no model of its own."""
    names = roles.models.names
    return names.get(COORDINATOR) == names.get(PLANNER)


def _system(roles: Roles, state: ManusState) -> SystemMessage:
    """What the coordinator is told, with what a planner is told where it plans at once."""
    told = roles.prompt(COORDINATOR)
    if not plans_at_once(roles):
        return told
    parts = [str(told.text), f"# How to plan\n{roles.text(PLANNER)}", catalogue_text(roles)]
    if state.get("knowledge"):
        parts.append(f"# From memory\n{state.get('knowledge')}")
    return SystemMessage("\n\n".join(parts))


def _plan_call(roles: Roles) -> BaseTool:
    if not plans_at_once(roles):
        return PLAN_CALL
    return StructuredTool.from_function(
        _never,
        name=SUBMIT,
        description="Have the task carried out: give the plan.",
        args_schema=plan_schema(roles),
        infer_schema=False,
    )


async def _received(turn: Turn) -> dict[str, Any]:
    """Decide about a request: answer it, ask, or have it planned."""
    roles, state = turn.roles, turn.state
    limit = int(await roles.window(COORDINATOR) * SHARE_FOR_CONVERSATION)
    conversation = fit(
        [_system(roles, state), *_with_attachments(state)],
        limit_tokens=limit,
        count=lambda messages: roles.models.count_tokens(COORDINATOR, messages),
    )
    asked = len(state.get("clarifications") or [])
    call = _plan_call(roles)
    reply = await turn.reply(COORDINATOR, conversation, [call] if asked >= MOST_QUESTIONS else [call, ASK_CALL])
    names = {made["name"]: made["args"] for made in reply.tool_calls}
    if SUBMIT in names:
        return {**decided("propose"), "reason": "", "proposal": json.dumps(names[SUBMIT], ensure_ascii=False)}
    if PLAN_CALL.name in names:
        return {**decided("plan"), "reason": str(names[PLAN_CALL.name].get("why") or "")}
    question = str(names.get("ask", {}).get("question") or "").strip()
    if question and asked < MOST_QUESTIONS:
        return {**decided("ask"), "question": question, "reason": "The task cannot be begun without an answer."}
    text = str(reply.text).strip()
    written, _ = read_object(text)
    if written and isinstance(written.get("subtasks"), list):  # a plan in words, where a call was meant
        return {**decided("propose"), "reason": "", "proposal": json.dumps(written, ensure_ascii=False)}
    called = reply.tool_calls or reply.invalid_tool_calls
    if text and not called and not is_cut(reply):
        turn.tell("answered", text=text, status="completed")
        return {
            **decided("answer"),
            "answer": text,
            "status": "completed",
            "messages": [AIMessage(text)],
            "earlier": and_this(state, text, "completed"),
            "reason": "",
        }
    return {**decided("plan"), "reason": ""}


def _with_attachments(state: ManusState) -> list[AnyMessage]:
    """The conversation, with the files of this request named in its last message."""
    messages = list(state.get("messages") or [])
    if not state.get("attachments") or not messages:
        return messages
    files = "\n".join(state.get("attachments") or [])
    return [
        *messages[:-1],
        HumanMessage(f"{messages[-1].text}\n\n(Files that come with it, in the workspace:\n{files})"),
    ]


async def _dispatched(turn: Turn) -> dict[str, Any]:
    """Decide after a dispatch."""
    state = turn.state
    if all_completed(state):
        return {**decided("report"), "reason": ""}
    reached = turn.spending.reached()
    if reached is not None:
        text = turn.spending.describe(reached)
        turn.tell("budget_reached", budget=reached, text=text)
        return {**decided("stop"), "reason": text}
    most = turn.roles.settings.max_replans
    if (state.get("replans") or 0) >= most:
        return {**decided("report"), "reason": f"It was planned again {most} times, and still not all of it worked."}
    return await _after_failure(turn)


def _replan(state: ManusState) -> dict[str, Any]:
    return {**decided("replan"), "replans": (state.get("replans") or 0) + 1, "plan_tries": 0, "problems": []}


async def _after_failure(turn: Turn) -> dict[str, Any]:
    state = turn.state
    told = (
        f"{request_text(state)}\n\n# What is not completed\n{failures_text(state)}\n\n"
        f"# What came of each subtask\n{results_text(state, RESULT_CHARACTERS)}"
    )
    messages = [turn.roles.prompt("decision"), HumanMessage(told)]
    found = await turn.structured(COORDINATOR, messages, DECISION, "decision", "How to go on.")
    value = cast("dict[str, Any]", found.value or {})
    decision, reason = value.get("decision"), str(value.get("reason") or "")
    question = str(value.get("question") or "").strip()
    if decision == "ask" and question:
        return {**decided("ask"), "question": question, "reason": reason}
    if decision in ("report", "stop"):
        return {**decided(decision), "reason": reason}
    # Without a readable decision another plan is the one way that may still help.
    return {**_replan(state), "reason": reason}

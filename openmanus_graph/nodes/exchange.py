"""Exchange: one reply of the coordinator's model, and what it leads to."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Overwrite

from openmanus_graph.agent_nodes import COORDINATOR, EXECUTOR, PLANNER, REPORTER
from openmanus_graph.errors import BudgetError
from openmanus_graph.models.structured import read_object
from openmanus_graph.nodes.material.answer_links import made_files, with_links
from openmanus_graph.nodes.material.conversation import compacted, note
from openmanus_graph.nodes.material.pictures import referring, tokens_of_pictures, with_hashes
from openmanus_graph.nodes.material.prompt_context import all_completed, and_this, planned_results
from openmanus_graph.nodes.offered_tools import MORE_TOOLS, offered_of, usable_tools
from openmanus_graph.nodes.planning.coordinator_calls import (
    ASK,
    ASK_CALL,
    PLAN,
    PLAN_CALL,
    callable_tools,
    declared,
    delegate_call,
    more_tools_call,
)
from openmanus_graph.nodes.planning.direct_calls import DELEGATE, numbered, subtasks_of
from openmanus_graph.nodes.planning.proposal import SUBMIT
from openmanus_graph.nodes.planning.tool_catalogue import agents_text, told_agents
from openmanus_graph.nodes.reply import read_reply, refusal
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.transitions import at_stage, decided
from openmanus_graph.nodes.turn import CUT_OFF, Turn, is_cut
from openmanus_graph.state import ManusState
from openmanus_graph.tools.surroundings import surroundings_line

SHARE_FOR_CONVERSATION = 0.6
"""Share of the window that the conversation may take before it is compacted."""
FILTER = "content_filter"
EMPTY = "Your reply was empty. Answer the person, or call tools."
FILTERED = "Your reply was cut off by a filter of the provider. Reply in another way."
ASKED_ALREADY = "The person has just answered a question. Go on with that answer."
_FENCED = re.compile(r"\A```\w*\n(.*)\n```\Z", re.DOTALL)


def plans_at_once(roles: Roles) -> bool:
    """Whether the coordinator gives plans itself: only where the planner has no model of its own."""
    names = roles.models.names
    return names.get(COORDINATOR) == names.get(PLANNER)


def reports_apart(roles: Roles) -> bool:
    """Whether answers to work are another model's matter."""
    names = roles.models.names
    return names.get(REPORTER) != names.get(COORDINATOR)


def said_so_far(state: ManusState) -> int:
    """How many messages the conversation with the person has."""
    return len(state.get("messages") or [])


def concluded(turn: Turn, text: str, *, is_whole: bool) -> dict[str, Any]:
    """The state update of an answer: of small talk, or of a request that work was done for."""
    state = turn.state
    if not (state.get("plan") or {}).get("subtasks"):
        # Where work was tried and none was carried out, nobody can have seen that anything is done.
        tried = bool(state.get("made") or state.get("proposal"))
        status = "failed" if tried else "completed" if is_whole else "partial"
        answer = text if is_whole else text + CUT_OFF
        turn.tell("answered", text=answer, status=status)
        return {
            **decided("answer"),
            "answer": answer,
            "status": status,
            "messages": [AIMessage(answer)],
            "earlier": and_this(state, answer, status),
            "reason": "",
        }
    status = "failed" if not all_completed(state) else "completed" if is_whole else "partial"
    answer = with_links(text if is_whole else text + CUT_OFF, made_files(state), planned_results(state))
    turn.tell("answered", text=answer, status=status)
    return {**decided("conclude"), "answer": answer, "status": status, "messages": [AIMessage(answer)], "reason": ""}


class Exchange:
    """One reply of the coordinator's model, and what it leads to."""

    def __init__(self, turn: Turn, new: list[AnyMessage]) -> None:
        """Prepare it.

        Args:
            turn: The visit.
            new: What the model has not been told yet.
        """
        self.turn = turn
        self.roles = turn.roles
        self.state = turn.state
        self.new = new
        self.number = (self.state.get("replies") or 0) + 1
        self.offered = offered_of(callable_tools(usable_tools(self.roles)), self.state.get("dialogue") or [])

    async def take(self) -> dict[str, Any]:
        """Ask the model, and read its reply."""
        self.new = await with_hashes(self.new, self.turn.workspace)
        unanswered = {"dialogue": self.new, "heard": said_so_far(self.state)}
        most = self.roles.settings.budget.steps
        if self.number > most:
            return {**unanswered, **decided("report"), "reason": f"It was not done within its limit of {most} steps."}
        before = [*(self.state.get("dialogue") or []), *self.new]
        kept = compacted(before, limit_tokens=await conversation_limit(self.roles, before), count=self._count)
        tools = self._tools()
        prompt = [_system(self.roles, self.state), *referring(kept)]
        try:
            reply = await self.turn.reply_in_full(COORDINATOR, prompt, tools)
        except BudgetError as error:
            self.turn.tell("budget_reached", budget=error.budget, text=error.message)
            return {**unanswered, **decided("stop"), "reason": error.message}
        known = {tool.name for tool in tools} | self.offered.others.keys()
        names = ", ".join(sorted(known))
        read = read_reply(reply, {SUBMIT, PLAN, DELEGATE, *known}, self.roles.tools, self.number, names)
        message, *looked = self.offered.answered(read.message)
        added, update = self._read(reply, cast("AIMessage", message), read.refused, cast("list[ToolMessage]", looked))
        said = [message, *read.refused, *looked, *added]
        new = [*self.new, *said] if kept == before else Overwrite([*kept, *said])
        heard_now = said_so_far(self.state) + len(update.get("messages") or [])
        made = (self.state.get("made") or 0) + len(_counted_calls(read.message))
        return {"dialogue": new, "heard": heard_now, "replies": self.number, "made": made, **update}

    def _count(self, messages: Sequence[BaseMessage]) -> int:
        return self.roles.models.count_tokens(COORDINATOR, messages)

    def _tools(self) -> list[BaseTool]:
        """What the model may call: an agent or a planner, a question, and tools; the same as long as it can be."""
        own = delegate_call(told_agents(self.roles)) if plans_at_once(self.roles) else PLAN_CALL
        tools = [tool for tool in self.offered.tools if tool.name != MORE_TOOLS or not self.offered.others]
        more = [more_tools_call(self.offered.others)] if len(tools) < len(self.offered.tools) else []
        return [own, ASK_CALL, *map(declared, tools), *more]

    def _read(
        self, reply: AIMessage, message: AIMessage, wrong: list[ToolMessage], looked: list[ToolMessage]
    ) -> tuple[list[AnyMessage], dict[str, Any]]:
        """What else the model is answered at once, and the state update; what can be carried out is."""
        answered = {result.tool_call_id for result in (*wrong, *looked)}
        calls = [call for call in message.tool_calls if call["id"] not in answered]
        questions = [call for call in calls if call["name"] == ASK]
        if questions and self.state.get("stage") != "clarified":
            question = str(questions[0]["args"].get("question") or "").strip() or str(message.text).strip()
            if question:
                return [], {**decided("ask"), "question": question, "reason": "It cannot go on without an answer."}
        why = ASKED_ALREADY if self.state.get("stage") == "clarified" else "It needs 'question'."
        added: list[AnyMessage] = [refusal(str(call["id"]), ASK, why) for call in questions]
        planned = next((call for call in calls if call["name"] == PLAN), None)
        if planned is not None:
            return added, self._planned(str(planned["args"].get("why") or ""))
        work = [call for call in calls if call["name"] != ASK]
        if work:
            return added, self._proposed(message, work)
        if looked and not wrong and not added:
            return [], {**decided("look"), **at_stage("looked")}
        if wrong or looked or added:
            return added, self._look([result.text for result in (*wrong, *looked)] or [why])
        return self._answered(reply)

    def _answered(self, reply: AIMessage) -> tuple[list[AnyMessage], dict[str, Any]]:
        """The same for a reply without calls."""
        text = str(reply.text).strip()
        written = _plan_in_words(text)
        if written is not None and not self.state.get("results"):  # later, what it has read may stand in its words
            return [], {**self._proposal(written), "calls": {}}
        problem = EMPTY if not text else FILTERED if reply.response_metadata.get("finish_reason") == FILTER else None
        if problem is not None:
            return [note(problem)], self._look([problem])
        if (self.state.get("plan") or {}).get("subtasks") and reports_apart(self.roles):
            return [], {**decided("report"), "reason": "", "answer": text}
        return [], concluded(self.turn, text, is_whole=not is_cut(reply))

    def _look(self, problems: list[str]) -> dict[str, Any]:
        """Let the model reply again, a few times; then the request is over, and not done."""
        tries = (self.state.get("plan_tries") or 0) + 1
        if tries >= self.roles.settings.max_plan_tries:
            name = self.roles.models.names.get(COORDINATOR, "of the coordinator")
            why = (
                f"Of the replies of the model {name!r}, {tries} could not be carried out; the last one: {problems[-1]}"
            )
            return {**decided("stop"), "reason": why}
        return {**decided("look"), **at_stage("looked"), "plan_tries": tries, "problems": []}

    def _planned(self, why: str) -> dict[str, Any]:
        """The state update that has a planner of its own plan; what a person said against a plan is told it."""
        sent_back = self.state.get("problems") or [] if self.state.get("stage") == "refused" else []
        reason = " ".join([*sent_back, why]).strip()
        plan: dict[str, Any] = {"calls": {}, "reason": reason, "problems": [], "proposal": "", "plan_tries": 0}
        if not (self.state.get("plan") or {}).get("subtasks"):
            return {**plan, **decided("plan")}
        return {**plan, **decided("replan"), **self._replans()}

    def _replans(self) -> dict[str, Any]:
        """One plan more after a dispatch with failures, however many replies it takes."""
        state = self.state
        replans, rounds = state.get("replans") or 0, state.get("round") or 0
        failed = bool(planned_results(state)) and not all_completed(state)
        if not failed or state.get("failed_round") == rounds:
            return {"replans": replans}
        return {"replans": replans + 1, "failed_round": rounds}

    def _proposed(self, message: AIMessage, work: list[ToolCall]) -> dict[str, Any]:
        """The state update of calls and plans, which are one plan together."""
        results = self.state.get("results") or {}
        given = [call["args"] for call in work if call["name"] == SUBMIT]
        ids = numbered(_counted_calls(message), self.state.get("made") or 0, results)
        direct = [call for call in work if call["name"] != SUBMIT]
        if len(given) == 1 and not direct:
            return {**self._proposal(given[0]), "calls": {}}
        done = [name for name, result in results.items() if result["status"] == "completed"]
        subtasks = subtasks_of(direct, ids, done)
        for plan in given:
            subtasks += plan.get("subtasks") or []
        calls = {str(call["id"]): ids[str(call["id"])] for call in direct}
        return {**self._proposal({"goal": self.state.get("task", ""), "subtasks": subtasks}), "calls": calls}

    def _proposal(self, plan: Any) -> dict[str, Any]:
        proposal = json.dumps(plan, ensure_ascii=False)
        return {**decided("propose"), "reason": "", "proposal": proposal, "problems": [], **self._replans()}


def _counted_calls(message: AIMessage) -> list[ToolCall]:
    """The calls of a reply that have a number, those that cannot be made included."""
    return [call for call in message.tool_calls if call["name"] not in (ASK, PLAN, SUBMIT, MORE_TOOLS)]


def _plan_in_words(text: str) -> Mapping[str, Any] | None:
    """A plan that is all of a reply, where a call was meant."""
    inside = found[1] if (found := _FENCED.fullmatch(text)) else text
    if not inside.lstrip().startswith("{") or not inside.rstrip().endswith("}"):
        return None
    written, _ = read_object(inside)
    return written if written and isinstance(written.get("subtasks"), list) else None


async def conversation_limit(roles: Roles, messages: Sequence[BaseMessage]) -> int:
    """Tokens that the text of a conversation may have before it is compacted, beside its pictures."""
    limit = int(await roles.window(COORDINATOR) * SHARE_FOR_CONVERSATION)
    pictures = tokens_of_pictures(messages)
    return max(limit - pictures, limit // 2) if pictures and roles.models.sees_images(COORDINATOR) else limit


def _system(roles: Roles, state: ManusState) -> SystemMessage:
    """The coordinator's system prompt; the same all day, so that a provider's prompt cache takes it again."""
    sandbox = state.get("sandbox") or roles.settings.sandbox
    parts = [
        str(roles.prompt(COORDINATOR).text),
        surroundings_line(usable_tools(roles), sandbox, settings=roles.settings, briefly=True),
    ]
    # What an executor is for, `delegate` says.
    agents = {name: text for name, text in told_agents(roles).items() if name != EXECUTOR}
    if agents:
        parts.append(agents_text(agents))
    return SystemMessage("\n\n".join(parts))

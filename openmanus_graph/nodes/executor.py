"""Executor: the node in which a model works on a subtask, one step at a time, its tool calls being nodes of their own.

After ReAct (Yao et al. 2022), with all calls of a reply made at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from openmanus_graph.agent_nodes import EXECUTOR, KNOWLEDGE
from openmanus_graph.call_site import CallSite, Role
from openmanus_graph.errors import BudgetError, ContextOverflowError, ModelError, ModelRefusedError
from openmanus_graph.memory.memory import Memory
from openmanus_graph.models.context import KEPT, fit, repaired, summarised, summary_request
from openmanus_graph.models.gateway import usage_of
from openmanus_graph.nodes.brief import clipped
from openmanus_graph.nodes.gate import Node, gated
from openmanus_graph.nodes.loops import REMINDER, stuck
from openmanus_graph.nodes.material.newest_output import newest_only
from openmanus_graph.nodes.material.pictures import referring
from openmanus_graph.nodes.material.research import closed, keep_named
from openmanus_graph.nodes.offered_tools import offered_tools, roles_of_now
from openmanus_graph.nodes.outcome import draft_of, failed_or_again
from openmanus_graph.nodes.reply import TERMINATE, failed_calls, open_calls, read_reply
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.nodes.tool import FACTS
from openmanus_graph.nodes.turn import is_cut
from openmanus_graph.plan import Subtask
from openmanus_graph.state import SubtaskState
from openmanus_graph.tools.spec import spec_of

KEPT_TURNS = 2
"""Turns of the model that summarising leaves as they are."""
SHARE_FOR_MESSAGES = 0.85
"""Share of the window that messages may take; the rest is for the tools' schemas and the reply."""
STEPS_TOLD = 3
"""Steps left from which on the model is told how many there are."""
PROSE_CHARACTERS = 4_000
"""How much the model is sent again of a reply of its own that calls nothing."""
NUDGE = "Your reply calls no tool, so nothing has ended: call `terminate` with the result, or go on with a tool."
SHORTENINGS = 3
"""How often a context that the provider calls too long is halved before the subtask fails."""


class ExecutorStep:
    """One step of the executor."""

    def __init__(self, roles: Roles, state: SubtaskState, run: SubtaskScope, memory: Memory | None) -> None:
        self.roles = roles
        self.memory = memory
        self.state = state
        self.run = run
        self.subtask = Subtask.model_validate(state.get("subtask"))
        self.role: Role = "knowledge" if self.subtask.agent == KNOWLEDGE else "executor"
        self.messages: list[BaseMessage] = newest_only(repaired(state.get("messages") or []), roles.tools)
        self.offered = offered_tools(self.subtask, roles, self.messages)
        self.tools = self.offered.tools
        self.steps = state.get("steps") or 0
        self.turn = (state.get("turns") or 0) + 1
        self.window = 0
        self.active = (state.get("active_s") or 0.0) + _slowest(self.messages)

    async def take(self) -> dict[str, Any]:
        """Ask the model what to do next, unless a limit, a loop or the size of the context comes first."""
        self.window = await self.roles.window(self.role)
        most = self.roles.settings.budget.steps
        if self.steps >= most:
            return self._failed(f"It was not done within its limit of {most} steps.")
        if self.subtask.timeout_s is not None and self.active >= self.subtask.timeout_s:
            return self._failed(f"It was not done within its limit of {self.subtask.timeout_s:g} s.")
        reads = {tool.name for tool in self.tools if spec_of(tool).changes_nothing}
        found = stuck(self.messages, reads=reads)
        if found is not None and found.was_warned:
            return self._failed(found.failure())
        warnings = [] if found is None else [found.warning()]
        try:
            older = summary_request(self.messages, keep_last=KEPT_TURNS) if self._too_long() else []
            if older:
                return await self._summary(older)
            began = time.monotonic()
            told = referring([*map(_shown, self.messages), *warnings])
            reply = await self._reply(with_note(told, self._left(most)))
        except BudgetError as error:
            return self._failed(str(error.message), again=False)
        except ModelRefusedError:
            raise  # no subtask can go on: the run stops, and resumes once the cause is mended
        except ModelError as error:
            return self._failed(str(error))
        counted = {
            "steps": self.steps + 1,
            "turns": self.turn,
            "active_s": self.active + time.monotonic() - began,
            "usage": usage_of(reply),
        }
        return {**counted, **await self._closed(self._read(reply, warnings))}

    def _left(self, most: int) -> str:
        """What the model is told of its steps when few are left."""
        left = most - self.steps
        if left > STEPS_TOLD:
            return ""
        if left == 1:
            return "[This is your last step: end with `terminate` now, and say what is not done.]"
        return f"[{left} steps are left, with this one. Come to an end with `terminate` before they are used up.]"

    def _failed(self, error: str, *, again: bool = True) -> dict[str, Any]:
        return failed_or_again(self.state, self.run, error, again=again)

    def _count(self, messages: Sequence[BaseMessage]) -> int:
        return self.roles.models.count_tokens(self.role, messages)

    def _too_long(self) -> bool:
        share = self.window * self.roles.settings.summarise_at
        return self._count(referring(self.messages)) > share

    async def _summary(self, request: list[BaseMessage]) -> dict[str, Any]:
        """Replace the older messages by a summary of them; the step counts."""
        limit = int(self.window * SHARE_FOR_MESSAGES)
        reply = await self._ask(fit(request, limit_tokens=limit, count=self._count), tools=())
        if self.role == KNOWLEDGE:
            await keep_named(str(reply.text), self.messages, self.run, self.memory)
        shorter = summarised(self.messages, str(reply.text), keep_last=KEPT_TURNS)
        return {
            "messages": Overwrite(list(shorter)),
            "steps": self.steps + 1,
            "turns": self.turn,
            "usage": usage_of(reply),
        }

    async def _reply(self, messages: list[BaseMessage]) -> AIMessage:
        limit = int(self.window * SHARE_FOR_MESSAGES)
        for _ in range(SHORTENINGS):
            try:
                return await self._ask(fit(messages, limit_tokens=limit, count=self._count), tools=self.tools)
            except ContextOverflowError:
                limit = min(limit, self._count(messages)) // 2
        return await self._ask(fit(messages, limit_tokens=limit, count=self._count), tools=self.tools)

    async def _ask(self, messages: Sequence[BaseMessage], tools: Sequence[BaseTool]) -> AIMessage:
        place = CallSite(self.role, self.subtask.id, self.turn, self.state.get("round") or 1)
        folder = self.run.context.workspace
        return await self.roles.models.reply(
            place, messages, scope=self.run, emit=self.run.emit, tools=tools, folder=folder
        )

    def _read(self, reply: AIMessage, warnings: list[HumanMessage]) -> dict[str, Any]:
        """The state update of a reply: calls to make, the end, or a message to the model."""
        names = self.offered.callable_names
        read = read_reply(reply, names, self.roles.tools, self.turn, ", ".join(names))
        added: list[BaseMessage] = [*warnings, *self.offered.answered(read.message), *read.refused, *read.noted]
        if read.end is not None and read.refused and read.end["status"] == "success":
            return {"messages": [*added, _too_early(read.refused)]}
        if read.end is not None:
            return {"messages": added, "draft": self._ended_by(read.end, read.message)}
        if read.message.tool_calls:
            return {"messages": added}
        if is_cut(reply):
            added.append(_reminder("Your reply was cut off by the model's limits. Go on, more briefly."))
            return {"messages": added}
        if TERMINATE in self.offered.callable_names and self._may_be_nudged():
            return {"messages": [*added, _reminder(NUDGE, kept=True)]}
        return {"messages": added, "draft": draft_of(str(reply.text), None, self.run.context)}

    async def _closed(self, update: dict[str, Any]) -> dict[str, Any]:
        """An update whose answer from sources has them, unless calls are still to be made."""
        draft, added = update.get("draft"), list[BaseMessage](update["messages"])
        if self.role != KNOWLEDGE or draft is None or draft["error"] is not None or open_calls(added):
            return update
        end = await closed(self.state, draft, [*self.messages, *added], self.run, self.memory)
        return {**update, **end, "messages": [*added, *end.get("messages", [])]}

    def _may_be_nudged(self) -> bool:
        """Whether words without a call are not taken for the result yet: once, as long as there is a step for it."""
        nudged = any(message.name == REMINDER and message.text == NUDGE for message in self.messages)
        return not nudged and self.steps + 1 < self.roles.settings.budget.steps

    def _ended_by(self, args: Mapping[str, Any], reply: AIMessage) -> Any:
        answer = args.get("answer")
        if args.get("status") == "failure":
            return draft_of(None, str(answer or "Its agent gave up without saying why."), self.run.context)
        if answer in (None, ""):
            said = [message for message in (*self.messages, reply) if isinstance(message, AIMessage) and message.text]
            answer = str(said[-1].text) if said else ""
        return draft_of(answer, None, self.run.context)


def _too_early(messages: Sequence[BaseMessage]) -> HumanMessage:
    failed = ", ".join(failed_calls(messages))
    return _reminder(f"You said that it is done in one reply with calls that failed: {failed}. It is not ended yet.")


def _reminder(text: str, *, kept: bool = False) -> HumanMessage:
    return HumanMessage(text, name=REMINDER, additional_kwargs={KEPT: True} if kept else {})


def with_note(messages: Sequence[BaseMessage], note: str) -> list[BaseMessage]:
    """Messages with a note at their very end, so that what a provider has cached of them stays valid.

    Args:
        messages: The conversation.
        note: The note; empty adds nothing.
    """
    if not note:
        return list(messages)
    last = messages[-1]
    if isinstance(last, HumanMessage):  # many models take no two human messages in a row
        return [*messages[:-1], last.model_copy(update={"content": f"{last.text}\n\n{note}"})]
    return [*messages, HumanMessage(note)]


def _shown(message: BaseMessage) -> BaseMessage:
    """A message as the model is sent it: long prose without a call, which is no result, is shortened."""
    if not isinstance(message, AIMessage) or message.tool_calls or len(message.text) <= PROSE_CHARACTERS:
        return message
    return message.model_copy(update={"content": clipped(str(message.text), PROSE_CHARACTERS)})


def _slowest(messages: Sequence[BaseMessage]) -> float:
    """Seconds that the last reply's calls took together: they ran at the same time."""
    slowest = 0.0
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        facts: dict[str, Any] = message.additional_kwargs.get(FACTS) or {}
        slowest = max(slowest, float(facts.get("elapsed_s", 0.0)))
    return slowest


def executor_node(roles: Roles, memory: Memory | None = None) -> Node[SubtaskState]:
    """The gated node in which a model takes the next step of a subtask; what an answer cites is kept in memory."""

    async def executor(state: SubtaskState, config: RunnableConfig, runtime: Runtime[SubtaskScope]) -> dict[str, Any]:
        draft, messages = state.get("draft"), state.get("messages") or []
        if draft and draft["error"] is None and failed_calls(messages):
            return {"draft": None, "messages": [_too_early(messages)]}
        if draft:  # it ended with a reply whose other calls had to be made first
            answers = (state.get("subtask") or {}).get("agent") == KNOWLEDGE and draft["error"] is None
            return await closed(state, draft, messages, runtime.context, memory) if answers else {}
        now = await roles_of_now(roles, runtime.context.context)
        return await ExecutorStep(now, state, runtime.context, memory).take()

    return gated(executor, EXECUTOR)

"""Turn: the scope of a run, narrowed to one visit of a role's node, with its calls of models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from openmanus_graph.call_site import CallSite
from openmanus_graph.errors import BudgetError, ContextOverflowError
from openmanus_graph.events import Usage
from openmanus_graph.models.gateway import Structured, usage_of
from openmanus_graph.nodes.brief import clipped
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.scope import NodeScope, scope_of
from openmanus_graph.state import ManusState
from openmanus_graph.usage import add_usage
from openmanus_graph.workspace import workspace_of

SHORTENINGS = 3
"""How often the longest message is halved after the provider said that the context is too long."""
CUT = ("length", "content_filter")
"""Why a reply ended that is not whole."""
CUT_OFF = "\n\n(The answer was cut off by the model's limits.)"
"""What an answer says that is not whole."""
MOST_CONTINUATIONS = 3
GO_ON = "Your answer was cut off. Go on exactly where it stops, and repeat nothing."
CHARACTERS_PER_TOKEN = 3
"""Characters that a token has at least, reckoned carefully."""
MOST_CHARACTERS = 60_000
"""What outputs may take of one prompt, however large the window is."""

AnswerT = TypeVar("AnswerT")


def is_cut(reply: AIMessage) -> bool:
    """Whether a reply ended before its end."""
    return reply.response_metadata.get("finish_reason") in CUT


async def shortening(
    messages: Sequence[BaseMessage], ask: Callable[[Sequence[BaseMessage]], Awaitable[AnswerT]]
) -> AnswerT:
    """Ask with these messages, or, where the provider finds them too long, with the middle of the longest cut out.

    Args:
        messages: A prompt; system messages stay as they are.
        ask: The call of a model.

    Raises:
        ContextOverflowError: If that does not help.
    """
    for _ in range(SHORTENINGS):
        try:
            return await ask(messages)
        except ContextOverflowError:
            messages = _shorter(messages)
    return await ask(messages)


def _shorter(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    lengths = [0 if isinstance(message, SystemMessage) else len(message.text) for message in messages]
    longest = lengths.index(max(lengths))
    text = str(messages[longest].text)
    return [
        _with_text(message, clipped(text, len(text) // 2)) if index == longest else message
        for index, message in enumerate(messages)
    ]


def _with_text(message: BaseMessage, text: str) -> BaseMessage:
    """A message with another text, and its pictures as they are."""
    content = cast("str | list[str | dict[str, Any]]", message.content)
    others = [] if isinstance(content, str) else [one for one in content if _is_no_text(one)]
    return message.model_copy(update={"content": [{"type": "text", "text": text}, *others] if others else text})


def _is_no_text(block: str | dict[str, Any]) -> bool:
    return isinstance(block, dict) and block.get("type") != "text"


class Turn(NodeScope):
    """The run's scope as one visit of a role's node has it, with the state and the calls of the role's model."""

    def __init__(self, roles: Roles, state: ManusState, config: RunnableConfig, runtime: Runtime[Any]) -> None:
        """Narrow the run's scope to a visit.

        Args:
            roles: What the graph's nodes share.
            state: The state that the node was given.
            config: LangGraph's config for the node.
            runtime: LangGraph's runtime.
        """
        request = state.get("request") or 1
        step = (config.get("metadata") or {}).get("langgraph_step", 0)
        scope = scope_of(config, roles.settings)
        # The step is the same when a suspended node repeats its beginning.
        super().__init__(scope, scope.emitter(runtime.stream_writer, f"q{request}.{step}"))
        self.roles = roles
        self.state = state
        self._turns = dict(state.get("turns") or {})
        self._usage: Usage | None = None

    @property
    def workspace(self) -> Path:
        """The thread's folder."""
        return workspace_of(self.state, self.thread_id)

    def _place(self, role: str) -> CallSite:
        self._turns[role] = self._turns.get(role, 0) + 1
        return CallSite(role, turn=self._turns[role])

    async def reply(self, role: str, messages: Sequence[BaseMessage], tools: Sequence[BaseTool] = ()) -> AIMessage:
        """Call the role's model.

        Raises:
            BudgetError: If a budget is used up.
            ModelError: If the model cannot be reached.
        """
        place = self._place(role)
        reply = await shortening(
            messages,
            lambda fitting: self.roles.models.reply(
                place, fitting, scope=self, emit=self.emit, tools=tools, folder=self.workspace
            ),
        )
        self._usage = add_usage(self._usage, usage_of(reply))
        return reply

    async def reply_in_full(
        self, role: str, messages: Sequence[BaseMessage], tools: Sequence[BaseTool] = ()
    ) -> AIMessage:
        """Call the role's model, and have an answer in words continued that hit the limit of tokens.

        Returns:
            The reply with its whole text; `is_cut` tells whether it is still not whole.

        Raises:
            BudgetError: If a budget is used up before the first reply.
            ModelError: If the model cannot be reached.
        """
        reply = await self.reply(role, messages, tools)
        try:
            for _ in range(MOST_CONTINUATIONS):
                calls = reply.tool_calls or reply.invalid_tool_calls
                if calls or not reply.text or reply.response_metadata.get("finish_reason") != "length":
                    break
                text = str(reply.text)
                further = await self.reply(role, [*messages, AIMessage(text), HumanMessage(GO_ON)], tools)
                reply = further.model_copy(update={"content": text + str(further.text)})
        except BudgetError as error:
            self.tell("budget_reached", budget=error.budget, text=error.message)
        return reply

    async def structured(
        self, role: str, messages: Sequence[BaseMessage], schema: Mapping[str, Any], name: str, description: str
    ) -> Structured:
        """Call the role's model for an object; `problem` says where it gave none.

        Raises:
            BudgetError: If a budget is used up.
            ModelError: If the model cannot be reached.
        """
        place = self._place(role)
        asked: dict[str, Any] = {"schema": schema, "name": name, "description": description}
        found = await shortening(
            messages,
            lambda fitting: self.roles.models.structured(place, fitting, scope=self, emit=self.emit, **asked),
        )
        self._usage = add_usage(self._usage, usage_of(found.message))
        return found

    def with_usage(self, update: dict[str, Any]) -> dict[str, Any]:
        """A state update with what the visit has used."""
        if self._usage is None:
            return update
        return {**update, "turns": self._turns, "usage": self._usage}

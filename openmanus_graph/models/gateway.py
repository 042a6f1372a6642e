"""Gateway: the one way to a model: budget, replay or provider, usage, recording and events."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool

from openmanus_graph.call_site import CallSite
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.events import Emit, Usage
from openmanus_graph.models import providers
from openmanus_graph.models.cache import ReplyCache
from openmanus_graph.models.call import NOTE, CallResources, ModelCall
from openmanus_graph.models.capability import Capabilities
from openmanus_graph.models.catalog import Catalog, ModelsChoice, ModelTarget
from openmanus_graph.models.clean_text import clean_values, cleaned
from openmanus_graph.models.request_adapter import Ask
from openmanus_graph.models.structured import Structured, read_object
from openmanus_graph.models.tool_schema import compact, request_tool
from openmanus_graph.scope import Scope
from openmanus_graph.usage import NO_USAGE

if TYPE_CHECKING:
    from openmanus_graph.models.recording import Replay, ReplyRecorder

__all__ = ["Models", "ModelsChoice", "Structured", "usage_of"]


def usage_of(message: AIMessage) -> Usage:
    """The usage noted in a reply; none for a message that did not come from the gateway."""
    noted: Any = message.response_metadata.get(NOTE, {})
    return cast("Usage", {**NO_USAGE, **noted.get("usage", {})})


class Models:
    """The chat models of the roles."""

    def __init__(self, settings: Settings, chosen: ModelsChoice | None = None) -> None:
        """Take models from the settings; nothing is imported or called yet.

        Args:
            settings: The user's settings.
            chosen: A model's name, a LangChain chat model, or either by role; it wins over the settings.

        Raises:
            NoModelError: If `chosen` names a role that does not exist.
            SettingsError: If the cache of replies cannot be used.
        """
        self._settings = settings
        self._catalog = Catalog(settings, chosen)
        self._tools = CallResources(Capabilities(settings.home), ReplyCache(settings))
        self._targets: dict[str, list[ModelTarget]] = {}
        self._replays: dict[str, Replay] = {}

    def require(self) -> None:
        """Check that every role has a model.

        Raises:
            NoModelError: With what to set, and two examples.
        """
        self._catalog.require()

    @property
    def names(self) -> dict[str, str]:
        """The model of each role that has one."""
        return self._catalog.names()

    @property
    def importable(self) -> bool:
        """Whether another process can build the same from names alone; not with LangChain objects."""
        return self._catalog.importable

    def window(self, role: str) -> int:
        """Tokens that the role's model takes."""
        return providers.window_of(self._first(role))

    def count_tokens(self, role: str, messages: Sequence[BaseMessage]) -> int:
        """Tokens of messages, as the role's model counts them."""
        return providers.count_tokens(self._first(role), messages)

    def sees_images(self, role: str) -> bool:
        """Whether the role's model sees images."""
        return providers.sees_images(self._first(role))

    def recorded(self, place: CallSite) -> bool | None:
        """Whether the recording that the role is replayed from has a reply for a place; `None` without a recording."""
        file = self._first(place.role).replay
        return None if file is None else str(place) in self._replay_of(file).lines

    async def reply(
        self,
        place: CallSite,
        messages: Sequence[BaseMessage],
        *,
        scope: Scope,
        emit: Emit,
        tools: Sequence[BaseTool] = (),
        folder: Path | None = None,
    ) -> AIMessage:
        """Ask a role's model for its next message.

        Args:
            place: Who asks, where in the run.
            messages: The conversation; results of tools follow their calls.
            scope: The run.
            emit: Takes the events.
            tools: Tools the model may call; one without tool calling is told to ask for them in JSON.
            folder: The workspace with the pictures that messages refer to; `None` where none does.

        Returns:
            The reply: its `tool_calls`, its `invalid_tool_calls` (arguments that could not be read, with the error),
            `response_metadata["finish_reason"]` (`length` when it was cut), and what `usage_of` reads.

        Raises:
            BudgetError: If a budget is used up; nothing was called.
            ContextOverflowError: If the conversation is too long.
            ModelError: If no model of the role answers, after retries and fallbacks.
            NoModelError: If the role has no model, or its key is missing.
        """
        ask = Ask(messages, tuple(request_tool(tool) for tool in tools), folder=folder)
        return await self._reply(place, ask, scope, emit)

    async def structured(
        self,
        place: CallSite,
        messages: Sequence[BaseMessage],
        *,
        scope: Scope,
        emit: Emit,
        schema: Mapping[str, Any],
        name: str,
        description: str = "",
    ) -> Structured:
        """Ask a role's model for one JSON object, by a tool call, a response format or plain words, as it can.

        Args:
            place: Who asks, where in the run.
            messages: The conversation.
            scope: The run.
            emit: Takes the events.
            schema: JSON Schema of the object; the reply is not validated against it.
            name: What the object is called, letters, digits and underscores.
            description: What the object is.

        Returns:
            The object, or what is wrong with the reply.

        Raises:
            OpenManusGraphError: As `reply` does.
        """
        ask = Ask(messages, schema=compact(schema), name=name, description=description)
        message = await self._reply(place, ask, scope, emit)
        value, problem = _object_of(message)
        return Structured(clean_values(value), problem, message)

    async def _reply(self, place: CallSite, ask: Ask, scope: Scope, emit: Emit) -> AIMessage:
        scope.spending.check()
        targets = self._targets.get(place.role) or await asyncio.to_thread(self._usable, place.role)
        call = ModelCall(place, ask, tools=self._tools, scope=scope, emit=emit)
        call.event({"type": "model_started", "model": targets[0].name})
        began = time.monotonic()
        try:
            if targets[0].replay is not None:
                target, (reply, usage) = targets[0], await self._replayed(targets[0], place, ask, call, scope)
            else:
                target, reply, usage = await call.answer(targets)
        except OpenManusGraphError as error:
            call.event(
                {
                    "type": "model_finished",
                    "model": targets[0].name,
                    "error": error.message,
                    "elapsed_s": round(time.monotonic() - began, 3),
                    "id": f" failed {uuid.uuid4().hex[:8]}",  # what a later try says must not count as the same
                }
            )
            raise
        reply = cleaned(reply)
        noted = {**reply.response_metadata, NOTE: {"usage": dict(usage), "model": target.name}}
        reply = reply.model_copy(update={"response_metadata": noted})
        if self._recorder is not None and target.replay is None:
            self._recorder.write(place, target.name, ask.messages, ask.tools, reply)
        call.event(
            {
                "type": "model_finished",
                "model": target.name,
                "text": reply.text,
                "usage": usage,
                "error": None,
                "elapsed_s": round(time.monotonic() - began, 3),
            }
        )
        return reply

    async def _replayed(
        self, target: ModelTarget, place: CallSite, ask: Ask, call: ModelCall, scope: Scope
    ) -> tuple[AIMessage, Usage]:
        """The recorded reply and its usage, at no cost."""
        replay = self._replay_of(cast("str", target.replay))
        reply = replay.reply(place, ask.messages, ask.tools)
        if (drift := replay.drift(place, ask.messages, ask.tools)) is not None:
            call.event({"type": "warned", "text": drift})
        call.say(target.name, reply.text)
        recorded = reply.usage_metadata
        usage = Usage(
            calls=1,
            input_tokens=recorded["input_tokens"] if recorded else 0,
            output_tokens=recorded["output_tokens"] if recorded else 0,
            cached_tokens=0,
            cost_usd=0.0,
            cache_hits=0,
        )
        await scope.spending.add(place, target.name, usage, 0.0)
        return reply, usage

    def _replay_of(self, file: str) -> Replay:
        from openmanus_graph.models.recording import Replay

        replay = self._replays.get(file)
        if replay is None:
            replay = self._replays[file] = Replay(file)
        return replay

    @cached_property
    def _recorder(self) -> ReplyRecorder | None:
        if self._settings.record is None:
            return None
        from openmanus_graph.models.recording import ReplyRecorder, secrets_hidden, secrets_of

        return ReplyRecorder(self._settings.record, redact=secrets_hidden(secrets_of(self._settings)))

    def _usable(self, role: str) -> list[ModelTarget]:
        """The role's models, checked once: an unknown provider or a missing key is an error before any call."""
        if role not in self._targets:
            targets = self._catalog.targets(role)
            for target in targets:
                providers.usable(target)
            self._targets[role] = targets
        return self._targets[role]

    def _first(self, role: str) -> ModelTarget:
        return self._usable(role)[0]


def _object_of(message: AIMessage) -> tuple[dict[str, Any] | None, str | None]:
    """The JSON object of a reply, also where a recording or a model put it into a tool call."""
    if message.tool_calls and not message.text.strip():
        return message.tool_calls[0]["args"], None
    value, problem = read_object(message.text)
    if value is None and message.response_metadata.get("finish_reason") == "length":
        return None, f"The reply was cut at its maximum length, so its JSON is not whole. {problem or ''}".strip()
    return value, problem

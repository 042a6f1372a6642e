"""Call: one request to a role's models, with attempts, pauses, learned capabilities and fallbacks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.utils import count_tokens_approximately

from openmanus_graph.call_site import CallSite
from openmanus_graph.errors import DatabaseError
from openmanus_graph.events import Emit, Event, Usage
from openmanus_graph.models import providers
from openmanus_graph.models.cache import ReplyCache
from openmanus_graph.models.capability import Capabilities
from openmanus_graph.models.catalog import ModelTarget
from openmanus_graph.models.faults import BrokenReplyError, ProviderFault, backoff, sort
from openmanus_graph.models.pace import Pace
from openmanus_graph.models.pictures import has_references, with_pictures
from openmanus_graph.models.request_adapter import Ask, Shape, shape
from openmanus_graph.models.stream import TokenStream, usage_in, whole, without_thoughts
from openmanus_graph.scope import Scope
from openmanus_graph.usage import add_usage
from openmanus_graph.values.storable_json import storable_text

NOTE = "openmanus_graph"
"""Where in `response_metadata` the gateway notes what is its own."""

_SECRET_NAMES = ("key", "token", "secret", "password", "credential")


@dataclass(frozen=True)
class CallResources:
    """Objects that all calls of one `Models` share."""

    capabilities: Capabilities
    """Capabilities that models have refused."""
    cache: ReplyCache
    """The cache of replies."""
    paces: dict[str, Pace] = field(default_factory=dict[str, Pace])
    """Limits a minute, by model and server."""

    def pace(self, target: ModelTarget) -> Pace | None:
        """The limits of a model, or `None`."""
        table = target.settings
        if table.requests_per_minute is None and table.tokens_per_minute is None:
            return None
        name = f"{target.litellm_name}@{table.base_url}"
        return self.paces.setdefault(name, Pace(table.requests_per_minute, table.tokens_per_minute))


class _FailedError(Exception):
    """A model that failed for good, with the fault that made it."""

    def __init__(self, fault: ProviderFault, attempts: int) -> None:
        self.fault = fault
        self.attempts = attempts
        super().__init__(fault.why)


class ModelCall:
    """One request from one call site."""

    def __init__(self, place: CallSite, ask: Ask, *, tools: CallResources, scope: Scope, emit: Emit) -> None:
        """Prepare a request.

        Args:
            place: The call site.
            ask: The request.
            tools: Objects that calls share.
            scope: The run it belongs to.
            emit: Takes its events.
        """
        self._place = place
        self._ask = ask
        self._pictured: Ask | None = None
        self._tools = tools
        self._scope = scope
        self._emit = emit
        self._pieces_sent = 0
        self._retried = 0
        self._used: Usage = add_usage()
        self._sent: int | None = None
        """The attempt that has no reply yet, as the budget knows it."""

    def event(self, fields: Event) -> None:
        """Send an event of this call."""
        event: Event = {"role": self._place.role, "turn": self._place.turn, **fields}
        if self._place.subtask:
            event["subtask"] = self._place.subtask
        event["id"] = f"{fields.get('type')} {self._place}{fields.get('id', '')}"
        self._emit(event)

    def say(self, model: str, text: str) -> None:
        """Send a piece of the reply."""
        if not text:
            return
        self._pieces_sent += 1
        self.event({"type": "model_tokens", "model": model, "text": storable_text(text), "id": f" {self._pieces_sent}"})

    def _retrying(self, model: str, fault: ProviderFault, attempt: int, delay_s: float) -> None:
        self._retried += 1
        self.event(
            {
                "type": "model_retrying",
                "model": model,
                "error": f"The model {fault.why}.",
                "attempt": attempt,
                "delay_s": round(delay_s, 3),
                "id": f" {self._retried}",
            }
        )

    async def answer(self, targets: Sequence[ModelTarget]) -> tuple[ModelTarget, AIMessage, Usage]:
        """Ask the models in order until one answers.

        Args:
            targets: The role's model and its fallbacks.

        Returns:
            The model that answered, its reply, and the usage, failed attempts included.

        Raises:
            ContextOverflowError: If the request is too long for all that may be asked.
            ModelError: If no model answers.
        """
        while True:
            target, *others = targets
            try:
                return await self._ask_one(target)
            except _FailedError as failed:
                fault, attempts = failed.fault, failed.attempts
            targets = _fallbacks(others, target, fault)
            if not targets:
                raise fault.error(target, attempts)
            self._retrying(targets[0].name, fault, 1, 0.0)

    async def _ask_one(self, target: ModelTarget) -> tuple[ModelTarget, AIMessage, Usage]:
        """Ask one model; retry transient faults, and adapt the request after refusals of a capability."""
        attempt = 1
        while True:
            self._scope.spending.check()
            request = await self._shaped(target)
            if (kept := await self._kept(target, request)) is not None:
                return target, without_thoughts(request.read(kept)), self._used
            began = time.monotonic()
            try:
                raw = await self._received(target, request)
            except DatabaseError:
                raise  # it could not be noted, so nothing was sent
            except Exception as error:  # noqa: BLE001 - whatever a provider raises is sorted, and raised as ours
                sent, self._sent = self._sent, None
                await self._scope.spending.forget(sent)
                fault = sort(error, target, secrets_of(target), request.needs)
            else:
                await self._spend(target, usage_in(target, raw, request), time.monotonic() - began)
                await self._keep(target, request, raw)
                reply = without_thoughts(request.read(raw))
                if reply.text.strip() or reply.tool_calls or reply.invalid_tool_calls:
                    return target, reply, self._used
                fault = _empty(raw)
            if fault.kind == "unsupported" and self._learn(target, fault):
                continue
            if fault.kind != "retry" or attempt > target.settings.retries:
                raise _FailedError(fault, attempt)
            pause = backoff(attempt) if fault.delay_s is None else fault.delay_s
            attempt += 1
            self._retrying(target.name, fault, attempt, pause)
            await asyncio.sleep(pause)

    def _learn(self, target: ModelTarget, fault: ProviderFault) -> bool:
        """Remember a refused capability; not where the user has set that the model has it."""
        if fault.feature is None or (fault.feature == "tools" and target.settings.tool_calling):
            return False
        self._tools.capabilities.learn(target, fault.feature)
        return True

    async def _shaped(self, target: ModelTarget) -> Shape:
        known, sees = providers.known(target), providers.sees_images(target)
        return shape(
            await self._with_pictures() if sees else self._ask,
            sees=sees,
            lacks=lambda feature: self._tools.capabilities.lacks(target, feature, known),
        )

    async def _with_pictures(self) -> Ask:
        """The request with the pictures that its messages refer to."""
        if self._pictured is None:
            ask = self._ask
            if has_references(ask.messages):
                ask = replace(ask, messages=await asyncio.to_thread(with_pictures, ask.messages, ask.folder))
            self._pictured = ask
        return self._pictured

    async def _kept(self, target: ModelTarget, request: Shape) -> AIMessage | None:
        """The cached reply, counted as a call at no cost."""
        cache = self._tools.cache
        if not cache.on or (kept := await cache.get(cache.key(target, request))) is None:
            return None
        self.say(target.name, kept.text)
        usage = usage_in(target, kept, request)
        usage["cost_usd"], usage["cache_hits"] = 0.0, 1
        await self._spend(target, usage, 0.0)
        return kept

    async def _keep(self, target: ModelTarget, request: Shape, reply: AIMessage) -> None:
        cache = self._tools.cache
        if cache.on and _worth_keeping(reply):
            await cache.put(cache.key(target, request), reply)

    async def _spend(self, target: ModelTarget, usage: Usage, elapsed_s: float) -> None:
        """Commit the usage of a reply, even of one that is discarded."""
        await self._scope.spending.add(self._place, target.name, usage, elapsed_s, self._sent)
        self._sent = None
        self._used = add_usage(self._used, usage)

    async def _received(self, target: ModelTarget, request: Shape) -> AIMessage:
        """The model's reply as received, within the limits a minute."""
        pace = self._tools.pace(target)
        if pace is None:
            self._sent = await self._scope.spending.send(self._place, target.name)
            async with asyncio.timeout(target.settings.timeout_s):
                return await self._streamed(target, request)
        entry = await pace.wait(count_tokens_approximately(request.messages))
        self._sent = await self._scope.spending.send(self._place, target.name)
        async with asyncio.timeout(target.settings.timeout_s):
            reply = await self._streamed(target, request)
        usage = usage_in(target, reply, request)
        pace.correct(entry, usage["input_tokens"] + usage["output_tokens"])
        return reply

    async def _streamed(self, target: ModelTarget, request: Shape) -> AIMessage:
        chunks: list[AIMessageChunk] = []
        tokens = TokenStream(lambda text: self.say(target.name, text))
        pieces = providers.stream(target, request)
        async with aclosing(pieces):
            async for piece in pieces:
                chunks.append(piece)
                tokens.add(piece.text)
        tokens.end()
        if not chunks:
            raise BrokenReplyError("gives an empty reply")
        # Added up at once: each sum reads the arguments of calls anew, which takes seconds for a long file.
        return whole(add_ai_message_chunks(chunks[0], *chunks[1:]) if chunks[1:] else chunks[0], target)


def _fallbacks(others: Sequence[ModelTarget], failed: ModelTarget, fault: ProviderFault) -> Sequence[ModelTarget]:
    """The models that may succeed after this fault."""
    if fault.kind == "stop":
        return ()
    if fault.kind == "overflow":
        window = providers.window_of(failed)
        return [other for other in others if providers.window_of(other) > window]
    return others


def _empty(reply: AIMessage) -> ProviderFault:
    if reply.response_metadata.get("finish_reason") == "length":
        return ProviderFault(
            "fall_back", "uses up its tokens before it says anything", "Give it more with 'max_tokens'."
        )
    if reply.response_metadata.get("finish_reason") == "content_filter":
        return ProviderFault("fall_back", "filters its reply out", "Put it differently, or set a fallback.")
    return ProviderFault("retry", "gives an empty reply")


def _worth_keeping(reply: AIMessage) -> bool:
    cut = reply.response_metadata.get("finish_reason") == "length"
    return not cut and bool(reply.text.strip() or reply.tool_calls)


def secrets_of(target: ModelTarget) -> set[str]:
    """Every key that an error of a model may quote."""
    secrets = {target.api_key} if target.api_key else set[str]()
    secrets |= {str(value) for name, value in target.settings.extra.items() if _is_secret(name)}
    secrets |= {value for name, value in os.environ.items() if _is_secret(name) and len(value) >= 8}
    return secrets


def _is_secret(name: str) -> bool:
    return name.lower().endswith(_SECRET_NAMES)

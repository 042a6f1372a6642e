"""Stream: the pieces of a reply, passed on as events and put together; reasoning taken out, usage counted."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.tool import ToolCallChunk
from langchain_core.messages.utils import count_tokens_approximately

from openmanus_graph.events import Usage
from openmanus_graph.models import providers
from openmanus_graph.models.catalog import ModelTarget
from openmanus_graph.models.request_adapter import Shape
from openmanus_graph.values.storable_json import storable_text

EVERY_S = 0.05
"""Seconds between two events: views are not flooded by a fast model."""
_CLOSED = re.compile(r"\A\s*<(think(?:ing)?)>.*?(?:</\1>\s*|\Z)", re.DOTALL)
"""At the beginning; one without an end is a reply that was cut while it thought."""
_OPENED_BY_TEMPLATE = re.compile(r"\A(?:(?!</?think).)*?^\s*</think(?:ing)?>\s*", re.DOTALL | re.MULTILINE)
"""Some chat templates open the tag in the prompt, so that only its end is in the reply."""


class TokenStream:
    """Gathers pieces of text and passes them on together."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Pass text on.

        Args:
            say: Takes the text gathered.
        """
        self._say = say
        self._waiting = ""
        self._last = 0.0

    def add(self, text: str) -> None:
        """Take a piece."""
        self._waiting += text
        if self._waiting and time.monotonic() - self._last >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Pass on the text gathered, but for half an emoji at its end, whose other half is in the next piece."""
        held = self._waiting[-1:] if "\ud800" <= self._waiting[-1:] <= "\udbff" else ""
        if text := self._waiting.removesuffix(held):
            self._say(text)
            self._waiting = held
            self._last = time.monotonic()

    def end(self) -> None:
        """Pass on all that is left."""
        self.flush()
        if self._waiting:
            self._say(self._waiting)
            self._waiting = ""


def whole(gathered: AIMessageChunk, target: ModelTarget) -> AIMessage:
    """The pieces of a stream as one message.

    Arguments of tools are read strictly: LangChain completes those that were cut, and half a command would run.

    Args:
        gathered: The pieces, added up.
        target: The model that sent them.

    Returns:
        The message, with calls that cannot be read in `invalid_tool_calls`.
    """
    kept = {key: value for key, value in gathered.additional_kwargs.items() if key != "tool_calls"}
    metadata = {key: value for key, value in gathered.response_metadata.items() if key != "model_id"}
    metadata["model_name"] = target.name
    if "finish_reason" not in metadata and metadata.get("stop_reason") in ("max_tokens", "length"):
        metadata["finish_reason"] = "length"
    calls, broken = _calls(gathered)
    return AIMessage(
        gathered.content,
        id=gathered.id,
        additional_kwargs=kept,
        response_metadata=metadata,
        usage_metadata=gathered.usage_metadata,
        tool_calls=calls,
        invalid_tool_calls=broken,
    )


def _calls(gathered: AIMessage) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    # A chat model that does not stream gives its whole message as the one piece.
    if not isinstance(gathered, AIMessageChunk) or not gathered.tool_call_chunks:
        return gathered.tool_calls, gathered.invalid_tool_calls
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for number, piece in enumerate(gathered.tool_call_chunks):
        name, call_id = piece["name"] or "", piece["id"] or f"call_{gathered.id}_{number}"
        args, error = _arguments(piece)
        if args is not None and name:
            calls.append(ToolCall(type="tool_call", id=call_id, name=name, args=args))
        else:
            broken.append(
                InvalidToolCall(
                    type="invalid_tool_call",
                    id=call_id,
                    name=name,
                    args=piece["args"],
                    error=error or "The call names no tool.",
                )
            )
    return calls, broken


def _arguments(piece: ToolCallChunk) -> tuple[dict[str, Any] | None, str | None]:
    text = storable_text(piece["args"] or "")
    if not text or not text.strip():
        return {}, None
    try:
        value: Any = json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        return None, f"The arguments are not valid JSON: {error.msg} at character {error.pos}."
    if not isinstance(value, dict):
        return None, "The arguments are not a JSON object."
    return cast("dict[str, Any]", value), None


def without_thoughts(reply: AIMessage) -> AIMessage:
    """The reply without reasoning in tags at its beginning; such tags elsewhere are part of the text.

    A server that knows the tags sends the reasoning apart.
    """
    if not isinstance(reply.content, str) or "think" not in reply.content:
        return reply
    text = _CLOSED.sub("", reply.content, count=1)
    if text == reply.content:
        text = _OPENED_BY_TEMPLATE.sub("", text, count=1)
    return reply if text == reply.content else reply.model_copy(update={"content": text})


def usage_in(target: ModelTarget, reply: AIMessage, request: Shape) -> Usage:
    """Usage of a reply; about four characters a token where the provider does not report it.

    Args:
        target: The model that gave it.
        reply: The reply.
        request: The request.
    """
    reported = reply.usage_metadata
    if reported is None:
        inputs = count_tokens_approximately(request.messages, tools=list(request.tools) or None)
        outputs, cached = count_tokens_approximately([reply]), 0
    else:
        details = cast("Mapping[str, Any]", reported.get("input_token_details") or {})
        inputs, outputs = reported["input_tokens"], reported["output_tokens"]
        cached = int(details.get("cache_read") or 0)
    usage = Usage(
        calls=1, input_tokens=inputs, output_tokens=outputs, cached_tokens=cached, cost_usd=None, cache_hits=0
    )
    usage["cost_usd"] = providers.priced(target, usage)
    return usage

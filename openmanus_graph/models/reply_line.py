"""Reply line: one reply of a model as a recording has it, and the outline of the prompt it answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.call_site import CallSite
from openmanus_graph.models.volatile import steady

SHOWN_ENDS = 3
"""Messages at either end of a prompt that a line has the beginnings of, to say where a prompt drifted."""

Redactor = Callable[[str], str]
"""Takes secrets out of a text."""


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolCallLine(_Line):
    """One call of a tool that a reply asks for."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: str = ""
    """Empty: made from the place when it is replayed."""


class BrokenCallLine(_Line):
    """A call whose arguments the model did not write as JSON."""

    name: str | None = None
    args: str | None = None
    id: str | None = None
    error: str | None = None


class UsageLine(_Line):
    """Usage of the reply."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class PromptLine(_Line):
    """Outline of the prompt that the reply answered, enough to notice another prompt."""

    hash: str
    messages: list[str]
    """Type, hash and beginning of the first and last messages."""
    count: int
    """How many messages there were."""
    tools: list[str] = Field(default_factory=list[str])
    """Names of the tools offered."""


class ReplyLine(_Line):
    """One line of a recording: one reply."""

    place: str
    """`role/subtask/turn`, with `-` for no subtask."""
    model: str = ""
    text: str = ""
    content: list[Any] | None = None
    """The reply's blocks, where it is not text alone."""
    tool_calls: list[ToolCallLine] = Field(default_factory=list[ToolCallLine])
    invalid_tool_calls: list[BrokenCallLine] = Field(default_factory=list[BrokenCallLine])
    finish_reason: str = ""
    """Empty: `tool_calls` or `stop`, by what the reply holds."""
    usage: UsageLine = UsageLine()
    prompt: PromptLine | None = None
    """`None` where a person wrote the line."""


def _message_text(message: BaseMessage) -> str:
    """The content of a message, without the ids that differ from run to run."""
    parts: list[Any] = [message.content]
    if isinstance(message, AIMessage):
        parts += [[call["name"], call["args"]] for call in message.tool_calls]
    if isinstance(message, ToolMessage):
        parts.insert(0, message.name)
    if len(parts) == 1 and isinstance(parts[0], str):
        return steady(parts[0])
    return steady(json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def tool_name(tool: Any) -> str:
    """The name of a tool: a LangChain tool, or a schema in a provider's form."""
    if isinstance(tool, Mapping):
        fields = cast("Mapping[str, Any]", tool)
        inner = cast("Mapping[str, Any]", fields.get("function") or fields)
        return str(inner.get("name") or inner.get("title") or "")
    return str(getattr(tool, "name", None) or getattr(tool, "__name__", ""))


def prompt_of(messages: Sequence[BaseMessage], tools: Sequence[Any], redact: Redactor = str) -> PromptLine:
    """The hash and short outline of a prompt; what is volatile in it does not count."""
    lines: list[str] = []
    for message in messages:
        text = redact(_message_text(message))
        lines.append(f"{message.type} {_short_hash(text)} {text[:60]}")
    names = sorted(tool_name(tool) for tool in tools)
    whole = json.dumps([[line.split(" ", 2)[:2] for line in lines], names])
    shown = lines if len(lines) <= 2 * SHOWN_ENDS else [*lines[:SHOWN_ENDS], *lines[-SHOWN_ENDS:]]
    return PromptLine(hash=_short_hash(whole), messages=shown, count=len(lines), tools=names)


def reply_line(place: CallSite, model: str, reply: AIMessage, prompt: PromptLine | None = None) -> ReplyLine:
    """A reply as a recording has it."""
    fields: dict[str, Any] = {
        "model": model,
        "text": str(reply.text),
        "content": None if isinstance(reply.content, str) else reply.content,
        "tool_calls": [
            {"name": call["name"], "args": call["args"], "id": call.get("id") or ""} for call in reply.tool_calls
        ],
        "invalid_tool_calls": [
            {key: call.get(key) for key in ("name", "args", "id", "error")} for call in reply.invalid_tool_calls
        ],
        "finish_reason": str(reply.response_metadata.get("finish_reason") or ""),
        "usage": _usage(reply),
    }
    return ReplyLine.model_validate({**readable(fields), "place": str(place), "prompt": prompt})


def _usage(reply: AIMessage) -> dict[str, int]:
    """Usage of a reply: as the provider reports it, else as counted."""
    reported = reply.usage_metadata
    if reported is not None:
        cached = (reported.get("input_token_details") or {}).get("cache_read") or 0
        return {
            "input_tokens": reported["input_tokens"],
            "output_tokens": reported["output_tokens"],
            "cached_tokens": cached,
        }
    noted = cast("dict[str, dict[str, Any]]", reply.response_metadata.get("openmanus_graph") or {})
    counted = noted.get("usage") or {}
    return {key: counted.get(key) or 0 for key in UsageLine.model_fields}


def readable(value: Any, redact: Redactor = str) -> Any:
    """A value whose texts can be read back: half a surrogate pair becomes `\ufffd`.

    Args:
        value: Built-in types, nested.
        redact: What else is done to each text.
    """
    if isinstance(value, str):
        return redact(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    if isinstance(value, list):
        return [readable(item, redact) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        given = cast("dict[Any, Any]", value)
        return {readable(str(key), redact): readable(item, redact) for key, item in given.items()}
    return value


def message_of(line: ReplyLine) -> AIMessage:
    """The message that a line holds."""
    usage = UsageMetadata(
        input_tokens=line.usage.input_tokens,
        output_tokens=line.usage.output_tokens,
        total_tokens=line.usage.input_tokens + line.usage.output_tokens,
    )
    if line.usage.cached_tokens:
        usage["input_token_details"] = {"cache_read": line.usage.cached_tokens}
    calls: list[Any] = [
        {"name": call.name, "args": call.args, "id": call.id or f"{line.place}/{index}", "type": "tool_call"}
        for index, call in enumerate(line.tool_calls, start=1)
    ]
    broken: list[Any] = [{**call.model_dump(), "type": "invalid_tool_call"} for call in line.invalid_tool_calls]
    finish = line.finish_reason or ("tool_calls" if calls else "stop")
    return AIMessage(
        content=line.text if line.content is None else line.content,
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=usage,
        response_metadata={"finish_reason": finish, "model_name": line.model},
    )


def difference(then: PromptLine, now: PromptLine) -> str:
    """In words, where a prompt is not the recorded one."""
    if then.tools != now.tools:
        added = sorted(set(now.tools) - set(then.tools))
        gone = sorted(set(then.tools) - set(now.tools))
        parts = [f"{word} {', '.join(names)}" for word, names in (("new", added), ("gone", gone)) if names]
        return f"other tools are offered ({'; '.join(parts)})"
    if then.count != now.count:
        return f"it has {now.count} messages and had {then.count}"
    for index, (old, new) in enumerate(zip(then.messages, now.messages, strict=True)):
        if old != new:
            number = index + 1 if index < SHOWN_ENDS else now.count - len(now.messages) + index + 1
            kind, _, text = new.split(" ", 2)
            before = old.split(" ", 2)[2]
            if text == before:
                return f"message {number} ({kind}, {text!r} …) changed after its beginning"
            return f"message {number} ({kind}) begins {text!r} and began {before!r}"
    return "a message in its middle changed"

"""Actions: tool calls as JSON in replies, for models without tool calling."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from openmanus_graph.models.fence import fenced
from openmanus_graph.models.structured import read_object

_INSTRUCTIONS = """\
You can use the tools below. To use some, answer with one JSON object and nothing else:

{"actions": [{"tool": "NAME", "args": {"ARGUMENT": "VALUE"}}]}

Several actions in one answer are carried out at the same time; their results come in the next message. Without a
need for tools, answer in plain words, without JSON.

Tools:
"""


def describe(tools: Sequence[Mapping[str, Any]]) -> str:
    """Instructions for calling tools by JSON.

    Args:
        tools: The tools in OpenAI's form.

    Returns:
        Text for a system message.
    """
    lines: list[str] = []
    for tool in tools:
        function = cast("Mapping[str, Any]", tool["function"])
        lines.append(f"- {function['name']}: {' '.join(str(function.get('description', '')).split())}")
        lines.append(f"  args (JSON Schema): {json.dumps(function.get('parameters', {}), ensure_ascii=False)}")
    return _INSTRUCTIONS + "\n".join(lines)


def as_text(messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]]) -> list[BaseMessage]:
    """A conversation with its calls of tools and their results as plain text.

    Args:
        messages: The conversation.
        tools: The tools to describe, in OpenAI's form; none when only the history is put into text.

    Returns:
        System, human and AI messages only, the tools described in the first.
    """
    plain: list[BaseMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        if isinstance(message, AIMessage) and message.tool_calls:
            names.update({str(call["id"]): call["name"] for call in message.tool_calls})
            actions = [{"tool": call["name"], "args": call["args"]} for call in message.tool_calls]
            spoken = json.dumps({"actions": actions}, ensure_ascii=False)
            plain.append(AIMessage("\n".join(part for part in (message.text, spoken) if part)))
        elif isinstance(message, ToolMessage):
            name = names.get(message.tool_call_id, message.name or "tool")
            _add_result(plain, f"Result of {name}:\n{fenced(message.text)}")
        else:
            plain.append(message)
    if not tools:
        return plain
    if plain and isinstance(plain[0], SystemMessage):
        return [SystemMessage(f"{plain[0].text}\n\n{describe(tools)}"), *plain[1:]]
    return [SystemMessage(describe(tools)), *plain]


def _add_result(plain: list[BaseMessage], text: str) -> None:
    """Results of one turn make one message: many models take no two human messages in a row."""
    last = plain[-1] if plain else None
    if isinstance(last, HumanMessage) and last.additional_kwargs.get("results"):
        plain[-1] = HumanMessage(f"{last.text}\n\n{text}", additional_kwargs={"results": True})
    else:
        plain.append(HumanMessage(text, additional_kwargs={"results": True}))


def read_actions(reply: AIMessage, tools: Sequence[Mapping[str, Any]]) -> AIMessage:
    """A reply with the actions it asks for as tool calls with ids of their own.

    Args:
        reply: The reply.
        tools: The tools it was offered, in OpenAI's form.

    Returns:
        The reply with `tool_calls`; with `invalid_tool_calls` where it tried and failed; else as it was.
    """
    text = reply.text
    value, problem = read_object(text) if '"actions"' in text or '"tool"' in text else (None, None)
    if value is None:
        if problem is None or '"actions"' not in text:
            return reply
        broken = InvalidToolCall(
            type="invalid_tool_call", id=_call_id(), name=_first_name(text, tools), args=text, error=problem
        )
        return reply.model_copy(update={"invalid_tool_calls": [broken]})
    if "actions" not in value and value.get("tool") not in [tool["function"]["name"] for tool in tools]:
        return reply  # words that quote some JSON
    calls, broken_calls = _calls(value)
    if not calls and not broken_calls:
        return reply
    return reply.model_copy(update={"content": _around(text), "tool_calls": calls, "invalid_tool_calls": broken_calls})


def _calls(value: dict[str, Any]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    listed: Any = value.get("actions", [value] if "tool" in value else [])
    entries = cast("list[Any]", listed if isinstance(listed, list) else [listed])
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for entry in entries:
        fields = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        name, args = fields.get("tool", fields.get("name")), fields.get("args", fields.get("arguments", {}))
        if isinstance(name, str) and isinstance(args, dict):
            calls.append(ToolCall(type="tool_call", id=_call_id(), name=name, args=cast("dict[str, Any]", args)))
        else:
            broken.append(
                InvalidToolCall(
                    type="invalid_tool_call",
                    id=_call_id(),
                    name=name if isinstance(name, str) else "",
                    args=json.dumps(entry, ensure_ascii=False),
                    error='An action is {"tool": "NAME", "args": {…}}.',
                )
            )
    return calls, broken


def _first_name(text: str, tools: Sequence[Mapping[str, Any]]) -> str:
    named = [str(tool["function"]["name"]) for tool in tools if f'"{tool["function"]["name"]}"' in text]
    return named[0] if named else ""


def _around(text: str) -> str:
    """The prose before the JSON."""
    prose = text[: text.index("{")].strip()
    return prose.removesuffix("```json").removesuffix("```").strip()


def _call_id() -> str:
    return f"call_{uuid.uuid4().hex[:20]}"

"""Chat form: messages and tools as OpenAI's chat completions, and trainers after them, have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool

from openmanus_graph.models.tool_schema import request_tool
from openmanus_graph.nodes.planning.coordinator_calls import ASK, ASK_CALL, PLAN, PLAN_CALL, declared, delegate_call
from openmanus_graph.nodes.planning.direct_calls import DELEGATE
from openmanus_graph.nodes.reply import TERMINATE
from openmanus_graph.tools.registry import BUILTIN_TOOLS, builtin
from openmanus_graph.training.scrubber import Scrubber

Form = dict[str, Any]
_ROLES = {"system": "system", "human": "user", "ai": "assistant", "tool": "tool"}


def chat_messages(messages: Sequence[BaseMessage], scrubber: Scrubber) -> list[Form]:
    """Messages with `role`, `content`, `tool_calls` and `tool_call_id`, without secrets.

    Args:
        messages: The messages.
        scrubber: Takes the secrets out.
    """
    return [_chat_message(message, scrubber) for message in messages if message.type in _ROLES]


def _chat_message(message: BaseMessage, scrubber: Scrubber) -> Form:
    form: Form = {"role": _ROLES[message.type]}
    if isinstance(message, AIMessage):
        form["content"] = scrubber.text(str(message.text))
        if message.tool_calls:
            form["tool_calls"] = [_call(cast("dict[str, Any]", call), scrubber) for call in message.tool_calls]
        return form
    form["content"] = scrubber.value(cast("Any", message.content))  # pyright: ignore[reportUnknownMemberType]
    if isinstance(message, ToolMessage):
        form["tool_call_id"] = scrubber.text(message.tool_call_id)
    return form


def _call(call: Mapping[str, Any], scrubber: Scrubber) -> Form:
    arguments = json.dumps(scrubber.value(call["args"]), ensure_ascii=False)
    function = {"name": scrubber.text(call["name"]), "arguments": arguments}
    return {"id": scrubber.text(str(call["id"])), "type": "function", "function": function}


def called_in(messages: Sequence[BaseMessage]) -> list[str]:
    """The names of the calls in messages, each once."""
    made = [call["name"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    return list(dict.fromkeys(made))


def builtins_of(graph: Mapping[str, Any]) -> set[str]:
    """The built-in tools of a thread's graph, by what its row says of how to build it."""
    tools: list[dict[str, Any]] = graph.get("tools") or []
    return {str(tool.get("name")) for tool in tools if tool.get("builtin")} & set(BUILTIN_TOOLS)


def agent_tools(names: Sequence[str], graph: Mapping[str, Any]) -> list[Form] | None:
    """The schemas of an agent's tools; `None` if one is not built in.

    Args:
        names: The tools.
        graph: What the thread's row says of its graph.
    """
    known = builtins_of(graph) | {TERMINATE}
    return [request_tool(builtin(name)) for name in names] if names and known.issuperset(names) else None


def coordinator_tools(names: Sequence[str], graph: Mapping[str, Any]) -> list[Form] | None:
    """The schemas of what a coordinator calls, as it was told of them; `None` if one is not known.

    Args:
        names: The names of its calls.
        graph: What the thread's row says of its graph.
    """
    # Threads of earlier versions do not say which agents their models were told of.
    told: list[str] = graph.get("agents_told") or ["executor", *(graph.get("agents") or [])]
    own: dict[str, BaseTool] = {ASK: ASK_CALL, PLAN: PLAN_CALL, DELEGATE: delegate_call(told)}
    known = builtins_of(graph)
    found = [own.get(name) or (declared(builtin(name)) if name in known else None) for name in names]
    tools = [request_tool(tool) for tool in found if tool is not None]
    return tools if tools and len(tools) == len(names) else None

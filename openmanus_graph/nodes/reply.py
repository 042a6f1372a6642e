"""Reply: reads a model's reply with calls, in the ways that models really write them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool

from openmanus_graph.nodes.tool import FACTS
from openmanus_graph.tools.spec import spec_of

TERMINATE = "terminate"
MOST_KEPT = 20
"""Names of what calls have kept that a call is told."""
MALFORMED_CHARACTERS = 300
"""How much of malformed arguments the model is shown."""
_SUCCESS = frozenset({"success", "successful", "succeeded", "completed", "complete", "done", "ok"})
_FAILURE = frozenset({"failure", "failed", "fail", "error", "incomplete", "partial", "blocked", "aborted", "cancelled"})


@dataclass(frozen=True)
class ReadReply:
    """A reply that can be kept in a conversation, with the answers that it needs at once."""

    message: AIMessage
    """The reply: each call has an id of its own and the name of a tool that can be called, or it is refused."""
    refused: list[ToolMessage]
    """Answers to the calls that cannot be made."""
    noted: list[ToolMessage]
    """Answers to the calls that end the subtask."""
    end: Mapping[str, Any] | None
    """The arguments of the call that ends the subtask, its status being `success` or `failure`."""


def read_reply(
    reply: AIMessage, offered: Collection[str], tools: Mapping[str, BaseTool], turn: int, names: str
) -> ReadReply:
    """Read a reply.

    Args:
        reply: The reply.
        offered: The tools that the model may call.
        tools: All tools, to know second names by.
        turn: Which reply of the subtask it is, for ids that it does not give.
        names: The offered tools in words.
    """
    refused: list[ToolMessage] = []
    noted: list[ToolMessage] = []
    end: Mapping[str, Any] | None = None
    calls: list[ToolCall] = []
    taken: set[str] = set()
    for number, made in enumerate(reply.tool_calls):
        key = _own_id(made["id"], taken, f"call-{turn}-{number}")
        name = _known_name(made["name"], offered, tools)
        calls.append(ToolCall(type="tool_call", id=key, name=name, args=made["args"]))
        if name not in offered:
            refused.append(refusal(key, name, f"There is no tool {name!r}. You have: {names}."))
        elif name == TERMINATE:
            status = _status(made["args"])
            if status is None:
                text = f"It needs the argument 'status', 'success' or 'failure', not {made['args'].get('status')!r}."
                refused.append(refusal(key, name, text))
                continue
            noted.append(ToolMessage("Noted.", tool_call_id=key, name=name))
            end = end or {**made["args"], "status": status}
    for number, broken in enumerate(reply.invalid_tool_calls):
        key = _own_id(broken["id"], taken, f"malformed-{turn}-{number}")
        calls.append(ToolCall(type="tool_call", id=key, name=broken["name"] or "unknown", args={}))
        why = broken["error"] or "The arguments are not valid JSON."
        shown = str(broken["args"] or "")[:MALFORMED_CHARACTERS]
        text = f"{why} They are: {shown!r}\nMake the call again with valid JSON."
        refused.append(refusal(key, broken["name"] or "unknown", text))
    message = reply.model_copy(update={"tool_calls": calls, "invalid_tool_calls": []}) if calls else reply
    return ReadReply(message, refused, noted, end)


def refusal(call_id: str, name: str, text: str) -> ToolMessage:
    """The answer to a call that is not made."""
    facts = {FACTS: {"failed": True, "elapsed_s": 0.0}}
    return ToolMessage(text, tool_call_id=call_id, name=name, status="error", additional_kwargs=facts)


def open_calls(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The calls of the last reply that have no result yet."""
    answered: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            answered.add(message.tool_call_id)
        elif isinstance(message, AIMessage):
            return [cast("dict[str, Any]", made) for made in message.tool_calls if made["id"] not in answered]
        else:
            return []
    return []


def kept_names(messages: Sequence[BaseMessage]) -> list[str]:
    """What calls have kept beside the checkpoints, by name, the newest first."""
    names: list[str] = []
    for message in reversed(messages):
        facts: dict[str, Any] = message.additional_kwargs.get(FACTS) or {}
        if isinstance(message, ToolMessage) and facts.get("kept") and len(names) < MOST_KEPT:
            names.append(str(facts["kept"]))
    return names


def failed_calls(messages: Sequence[BaseMessage]) -> list[str]:
    """The tools whose calls in the last reply failed."""
    failed: list[str] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        if message.status == "error":
            failed.append(str(message.name))
    return failed[::-1]


def _own_id(given: str | None, taken: set[str], otherwise: str) -> str:
    """An id that no other call of the reply has: some models give none, or the same to all."""
    key, number = given or otherwise, 2
    while key in taken:
        key, number = f"{given or otherwise}-{number}", number + 1
    taken.add(key)
    return key


def _known_name(name: str, offered: Collection[str], tools: Mapping[str, BaseTool]) -> str:
    """The name of an offered tool for a second name of it."""
    if name in offered or name not in tools:
        return name
    alias_of = spec_of(tools[name]).alias_of
    return alias_of if alias_of in offered and alias_of is not None else name


def _status(args: Mapping[str, Any]) -> str | None:
    """`success` or `failure`, however it is put; `None` if it is neither."""
    word = str(cast("Any", args.get("status"))).strip().lower()
    return "success" if word in _SUCCESS else "failure" if word in _FAILURE else None

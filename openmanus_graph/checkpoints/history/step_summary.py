"""Step summary: describes a step in a line, from the writes of its tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.types import Interrupt, Overwrite

from openmanus_graph.agent_nodes import CONTENT_SHOWN, NOT_SHOWN
from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.display_text import counted
from openmanus_graph.langgraph_internals import INTERRUPT, RESUME, START_CHANNEL, is_inner, is_send, pulled_node
from openmanus_graph.namespaces import DISPATCHER

READ = (*CONTENT_SHOWN, INTERRUPT, RESUME)
"""Channels whose values are read; of others the names are."""
LONGEST = 90
"""Characters of one value."""


@dataclass(frozen=True, slots=True)
class Write:
    """One value that a task wrote."""

    task_id: str
    path: str
    channel: str
    value: Any
    """`None` also where it was not read."""


def nodes_of(writes: Sequence[Write]) -> list[str]:
    """The nodes that wrote, in order, each as often as it ran."""
    nodes: dict[str, str] = {}
    for write in writes:
        if pulled := pulled_node(write.path):
            nodes[write.task_id] = pulled
        elif is_send(write.path):
            sent = next(
                (message.name for message in _messages(write) if isinstance(message, ToolMessage) and message.name),
                None,
            )
            if sent or write.task_id not in nodes:
                nodes[write.task_id] = sent or "sent"
    return [node for node in nodes.values() if node != START_CHANNEL]


def what_changed(point: Point, writes: Sequence[Write]) -> str:
    """The step that led to a point, in a line."""
    if point.source == "input":
        return "the input"
    if point.source in ("update", "fork"):
        return "edited"
    parts: list[str] = []
    values = {write.channel: write.value for write in writes}
    for write in writes:
        part = _describe_write(write, values)
        if part and part not in parts:
            parts.append(part)
    if not parts and any(_is_start(write) for write in writes):
        return "begins"
    if not parts:
        channels = (write.channel for write in writes if not is_inner(write.channel) and write.channel not in NOT_SHOWN)
        names = dict.fromkeys(channels)
        return f"sets {', '.join(names)}" if names else ""
    return "; ".join(parts)


def what_is_asked(writes: Sequence[Write]) -> str:
    """The questions to a person at a checkpoint, in a line."""
    asked: list[str] = []
    for write in writes:
        if write.channel != INTERRUPT:
            continue
        for interrupt in cast("Sequence[Any]", write.value or ()):
            value: Any = interrupt.value if isinstance(interrupt, Interrupt) else interrupt
            text = cast("dict[str, Any]", value).get("question", value) if isinstance(value, dict) else value
            if (question := _short(text)) not in asked:
                asked.append(question)
    return "; ".join(asked)


def _is_start(write: Write) -> bool:
    return pulled_node(write.path) == START_CHANNEL


def _messages(write: Write) -> list[BaseMessage]:
    value: Any = write.value
    if write.channel != "messages" or not isinstance(value, list):
        return []
    return [message for message in cast("list[Any]", value) if isinstance(message, BaseMessage)]


def _describe_write(write: Write, values: Mapping[str, Any]) -> str:
    value = write.value
    if _is_start(write):
        return f"is asked: {_short(value)}" if write.channel == "task" and value else ""
    if pulled_node(write.path) == DISPATCHER:
        return "has executed the plan" if write.channel == "plan" else ""
    if write.channel == "messages":
        if isinstance(value, Overwrite):
            return "shortens its messages" if value.value else "begins anew"
        return "; ".join(filter(None, map(_describe_message, _messages(write)))) if "draft" not in values else ""
    if value is None or value == "":
        return ""
    if isinstance(value, dict):
        return _structured(write.channel, cast("dict[str, Any]", value))
    if write.channel == "decision":
        reason = values.get("reason")
        return f"decides to {value}" + (f": {_short(reason)}" if reason else "")
    if write.channel == "problems":
        return f"finds {counted(len(cast('list[Any]', value)), 'problem')} in the plan" if value else ""
    words = {"answer": "answers", "question": "asks"}
    if write.channel == "retry_at":
        return "is to be tried again"
    if write.channel == RESUME:
        given = cast("list[Any]", value)[-1:] if isinstance(value, list) else [value]
        answers = [
            cast("dict[str, Any]", answer).get("value", answer) if isinstance(answer, dict) else answer
            for answer in given
        ]
        return f"is answered: {_short(answers[0])}" if answers else ""
    if write.channel == "approved":
        return "is approved" if value else "is not approved"
    return f"{words[write.channel]}: {_short(value)}" if write.channel in words else ""


def _structured(channel: str, value: dict[str, Any]) -> str:
    if channel == "plan":
        count = len(cast("list[Any]", value.get("subtasks") or []))
        return f"has a plan of {counted(count, 'subtask')}" if count else ""
    if channel == "result":
        return f"{value.get('status')}: {_short(value.get('error') or value.get('output'))}"
    if channel == "draft":
        return f"ends with: {_short(value.get('error') or value.get('output'))}"
    if channel == "approved":
        return f"is approved with {_short(value)}"
    return ""


def _describe_message(message: BaseMessage) -> str:
    if isinstance(message, ToolMessage):
        return f"{message.name} {'fails' if message.status == 'error' else 'returns'}: {_short(message.text)}"
    if isinstance(message, AIMessage) and message.tool_calls:
        return "calls " + ", ".join(f"{made['name']}({_short(made['args'], 50)})" for made in message.tool_calls)
    text = _short(message.text)
    return f"says: {text}" if isinstance(message, AIMessage) else f"is told: {text}" if text else ""


def _short(value: Any, longest: int = LONGEST) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join(text[: 8 * longest].split())
    return line if len(line) <= longest else line[: longest - 1] + "…"

"""Newest output: of a page that changes, a model is sent what it shows now, and not what it showed before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import BaseTool

from openmanus_graph.tools.spec import spec_of

LEFT_OUT = "[left out: a newer one follows]"


def newest_only(messages: Sequence[BaseMessage], tools: Mapping[str, BaseTool]) -> list[BaseMessage]:
    """Messages in which only the newest call's output has the fields that a tool's `newest` names.

    Args:
        messages: The conversation.
        tools: The tools by name.
    """
    kept: list[BaseMessage] = []
    seen: set[tuple[str, str]] = set()
    for message in reversed(messages):
        tool = tools.get(message.name or "") if isinstance(message, ToolMessage) else None
        names = () if tool is None else spec_of(tool).newest
        kept.append(_without_older(message, names, seen) if names else message)
    return kept[::-1]


def _without_older(message: BaseMessage, names: Sequence[str], seen: set[tuple[str, str]]) -> BaseMessage:
    try:
        output: Any = json.loads(str(message.text))
    except ValueError:  # an error, or an output that is in a file
        return message
    if not isinstance(output, dict):
        return message
    fields = cast("dict[str, Any]", output)
    shorter = dict(fields)
    for name in names:
        if not fields.get(name):
            continue
        key = (str(message.name), name)
        if key in seen:
            shorter[name] = LEFT_OUT
        seen.add(key)
    if shorter == fields:
        return message
    return message.model_copy(update={"content": json.dumps(shorter, ensure_ascii=False)})

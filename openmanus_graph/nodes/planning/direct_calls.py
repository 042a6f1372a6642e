"""Direct calls: the calls of a reply as subtasks of a plan, each of which may use the outputs of others.

After LLMCompiler (Kim et al. 2023): calls of one reply that refer to each other are a DAG, in the form that models are
trained to write calls in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any, cast

from langchain_core.messages import ToolCall

DELEGATE = "delegate"
"""The call that gives work to an agent; every other one is a tool's."""
_OPENING = re.compile(r"(\$+)\{")
_ID = re.compile(r"[A-Za-z0-9_-]+")
_NUMBERED = re.compile(r"c\d+")


def numbered(calls: Sequence[ToolCall], before: int, taken: Collection[str]) -> dict[str, str]:
    """The subtask of each call by the call's id: `c1`, `c2` and so on, as the model counts them.

    Args:
        calls: The calls of a reply.
        before: How many calls were made before.
        taken: Ids that others have; a plan may have given one of these.
    """
    names = (name for number in count(before + 1) if (name := f"c{number}") not in taken)
    return {str(call["id"]): next(names) for call in calls}


def subtasks_of(calls: Sequence[ToolCall], ids: dict[str, str], known: Collection[str]) -> list[dict[str, Any]]:
    """The subtasks of a plan that calls are.

    Args:
        calls: Calls of tools, and of `delegate`.
        ids: The subtask of each, by the call's id.
        known: Other subtasks whose outputs they may use; every other `${` in their arguments is the tool's own.
    """
    names = {*ids.values(), *known}
    return [_subtask(call, ids[str(call["id"])], names) for call in calls]


def _subtask(call: ToolCall, name: str, names: Collection[str]) -> dict[str, Any]:
    if call["name"] != DELEGATE:
        return {"id": name, "tool": call["name"], "args": _escaped(call["args"], names)}
    return {**call["args"], "goal": _escaped(call["args"].get("goal", ""), names), "id": name}


def _escaped(value: Any, names: Collection[str]) -> Any:
    if isinstance(value, str):
        return _OPENING.sub(lambda found: _dollars(found, names) + "{", value)
    if isinstance(value, dict):
        return {key: _escaped(item, names) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_escaped(item, names) for item in cast("list[Any]", value)]
    return value


def _dollars(found: re.Match[str], names: Collection[str]) -> str:
    """The `$` of a reference as they are, and twice as many where the brace is the tool's own."""
    name = _ID.match(found.string, found.end())
    refers = name is not None and (name[0] in names or _NUMBERED.fullmatch(name[0]) is not None)
    return found[1] if refers else found[1] * 2

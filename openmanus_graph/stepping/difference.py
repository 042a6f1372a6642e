"""Difference: changes of a thread's state since the last stop."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.checkpoints.history.diff import state_as_json
from openmanus_graph.stepping.view import Difference, ValueChange

Side = tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]
"""The graph's values, and those of each subtask."""
UNTOLD = frozenset({"subtask", "definition", "round"})
"""Channels of a subtask that never change."""


def changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[ValueChange]:
    """Changes between two mappings, by name."""
    changed: list[ValueChange] = []
    for name in dict.fromkeys([*before, *after]):
        if name in before and name in after and before[name] is after[name]:
            continue
        old, new = state_as_json(before.get(name)), state_as_json(after.get(name))
        if old == new:
            continue
        kind: Any = "added" if before.get(name) is None else "removed" if after.get(name) is None else "changed"
        change = ValueChange(name=prefix + name, kind=kind, before=old, after=new)
        if isinstance(old, str) and isinstance(new, str):
            change["lines"] = "\n".join(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm=""))
        changed.append(change)
    return changed


def added_messages(before: Any, after: Any, name: str) -> list[ValueChange]:
    """Changes of a list of messages behind the beginning that both have."""
    old, new = list(before or []), list(after or [])
    same = 0
    while same < min(len(old), len(new)) and (old[same] is new[same] or old[same] == new[same]):
        same += 1
    gone = [ValueChange(name=name, kind="removed", before=state_as_json(item), after=None) for item in old[same:]]
    return gone + [ValueChange(name=name, kind="added", before=None, after=state_as_json(item)) for item in new[same:]]


def difference(before: Side, after: Side) -> Difference:
    """Changes between two stops."""
    (was, branches_were), (now, branches_now) = before, after
    apart = {"messages", "results"}
    changed = Difference(
        state=changes(_without(was, apart), _without(now, apart)),
        results=changes(_mapping(was.get("results")), _mapping(now.get("results"))),
        messages=added_messages(was.get("messages"), now.get("messages"), "messages"),
        branches=[],
    )
    for name, own in branches_now.items():
        earlier = branches_were.get(name, {})
        if earlier is own:
            continue
        left_out = {"messages", *UNTOLD}
        changed["branches"] += changes(_without(earlier, left_out), _without(own, left_out), f"{name}.")
        changed["messages"] += added_messages(earlier.get("messages"), own.get("messages"), f"{name}.messages")
    return changed


def _without(values: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}

"""Head: the branches of a thread that nothing runs, as far as what is stored tells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.namespaces import DISPATCHER
from openmanus_graph.stepping.record import StoredThread
from openmanus_graph.stepping.view import Branch


def waiting(record: StoredThread) -> list[Branch]:
    """The branches that ask a person, with the node that does where that is certain."""
    own = record.next[0] if len(record.next) == 1 else ""
    asking = {one["subtask"]: one.get("tool", "") if one["subtask"] else own for one in record.questions}
    return [Branch(name=one, node=node, namespace="", status="waiting", state={}) for one, node in asking.items()]


def head_of(record: StoredThread) -> list[Branch]:
    """The branches that stand where the run goes on, and those that wait for a person."""
    results = cast("Mapping[str, Any]", record.values.get("results") or {})
    asked = waiting(record)
    names = {one["name"] for one in asked}
    found: list[Branch] = []
    if "" not in names:
        found += [
            Branch(name="", node=node, namespace="", status="next", state=record.values)
            for node in record.next
            if node != DISPATCHER or not record.begun
        ]
    for one in record.plan.subtasks if record.plan is not None else ():
        if one.id in record.begun and one.id not in results and one.id not in names:
            node = str(one.tool or one.agent)
            found.append(Branch(name=str(one.id), node=node, namespace="", status="next", state={}))
    return found + asked

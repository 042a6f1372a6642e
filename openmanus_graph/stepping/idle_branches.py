"""Idle branches: current branches of a thread that is not running, derived from its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.namespaces import DISPATCHER
from openmanus_graph.stepping.record import StoredThread
from openmanus_graph.stepping.view import Branch


def waiting(record: StoredThread) -> list[Branch]:
    """Branches that ask a person, with the asking node where that is certain."""
    own = record.next[0] if len(record.next) == 1 else ""
    asking = {
        question["subtask"]: question.get("tool", "") if question["subtask"] else own for question in record.questions
    }
    return [
        Branch(name=subtask, node=node, namespace="", status="waiting", state={}) for subtask, node in asking.items()
    ]


def head_of(record: StoredThread) -> list[Branch]:
    """Branches at which the run goes on, and those that wait for a person."""
    results = cast("Mapping[str, Any]", record.values.get("results") or {})
    asked = waiting(record)
    names = {branch["name"] for branch in asked}
    branches: list[Branch] = []
    if "" not in names:
        branches += [
            Branch(name="", node=node, namespace="", status="next", state=record.values)
            for node in record.next
            if node != DISPATCHER or not record.begun
        ]
    for subtask in record.plan.subtasks if record.plan is not None else ():
        if subtask.id in record.begun and subtask.id not in results and subtask.id not in names:
            node = str(subtask.tool or subtask.agent)
            branches.append(Branch(name=str(subtask.id), node=node, namespace="", status="next", state={}))
    return branches + asked

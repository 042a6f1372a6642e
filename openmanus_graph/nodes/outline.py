"""Outline: plans, results and the conversation as the roles that read them are told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from openmanus_graph.nodes.brief import clipped
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.references import as_text
from openmanus_graph.state import Earlier, ManusState, SubtaskResult

EARLIER_REQUESTS = 5
EARLIER_CHARACTERS = 2_000
"""How many earlier requests are told, and how much of each answer."""


def work_of(subtask: Subtask) -> str:
    """What a subtask does, in a line."""
    if subtask.tool:
        return f"{subtask.tool} {clipped(json.dumps(dict(subtask.args), ensure_ascii=False), 300)}"
    return f"{subtask.agent}: {subtask.goal}"


def plan_outline(plan: Mapping[str, Any] | None) -> str:
    """A plan in a line per subtask."""
    if not plan:
        return ""
    parsed = Plan.parse(plan)
    return "\n".join(f"{one.id}: {one.goal or work_of(one)}" for one in parsed.subtasks)


def planned_results(state: ManusState) -> dict[str, SubtaskResult]:
    """The results of the plan's subtasks, in plan order."""
    results = state.get("results") or {}
    subtasks: list[Any] = (state.get("plan") or {}).get("subtasks") or []
    ids = [str(subtask["id"]) for subtask in subtasks]
    return {name: results[name] for name in ids if name in results}


def all_completed(state: ManusState) -> bool:
    """Whether there is a plan, and every subtask of it is completed."""
    subtasks: list[Any] = (state.get("plan") or {}).get("subtasks") or []
    results = planned_results(state)
    return bool(subtasks) and len(results) == len(subtasks) and all(_done(result) for result in results.values())


def _done(result: SubtaskResult) -> bool:
    return result["status"] == "completed"


def results_text(state: ManusState, characters: int) -> str:
    """What came of each subtask; long outputs are shortened so that all together have about `characters`."""
    plan = Plan.parse(state.get("plan") or {})
    results = planned_results(state)
    share = max(characters // max(len(results), 1), 400)
    parts: list[str] = []
    for subtask in plan.subtasks:
        result = results.get(subtask.id)
        status = "not done" if result is None else result["status"]
        if result is not None and result.get("verified"):
            status += ", checked"
        text = f"## {subtask.id} ({status}): {subtask.goal or work_of(subtask)}"
        if result is not None and result["error"]:
            text += f"\nError: {clipped(result['error'], 1_000)}"
        if result is not None and result["output"] is not None:
            text += "\n" + clipped(_output(result), share, result["output_file"] or "")
        parts.append(text)
    return "\n\n".join(parts)


def _output(result: SubtaskResult) -> str:
    if result["output_file"] is None:
        return as_text(result["output"])
    kept = cast("dict[str, Any]", result["output"])
    return f"{kept['preview']}\n[... all {kept['characters']} characters: {result['output_file']} ...]"


def failures_text(state: ManusState) -> str:
    """What is not completed and why, a line each."""
    return "\n".join(
        f"{name} is {result['status']}: {result['error']}"
        for name, result in planned_results(state).items()
        if not _done(result)
    )


def earlier_text(earlier: Sequence[Earlier] | None) -> str:
    """Earlier requests of the conversation and their answers."""
    parts: list[str] = []
    for one in (earlier or [])[-EARLIER_REQUESTS:]:
        parts.append(f"Asked: {one['task']}\nAnswered ({one['status']}): {clipped(one['answer'], EARLIER_CHARACTERS)}")
    return "\n\n".join(parts)


def request_text(state: ManusState) -> str:
    """The person's task in their own words, with what they were asked about it and the files they gave."""
    parts = [f"# The task, in the person's own words\n{state.get('task', '')}"]
    for one in state.get("clarifications") or []:
        parts.append(f"# Asked about it: {one['question']}\nThe person said: {one['answer']}")
    if state.get("attachments"):
        parts.append("# Files that came with it\n" + "\n".join(state.get("attachments") or []))
    return "\n\n".join(parts)

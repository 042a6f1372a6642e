"""Outline: plans, results and the conversation as the roles that read them are told."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from openmanus_graph.nodes.brief import INPUT_CHARACTERS, clipped
from openmanus_graph.nodes.untrusted_text import fenced
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.references import as_text
from openmanus_graph.state import Earlier, ManusState, SubtaskResult

EARLIER_REQUESTS = 5
EARLIER_CHARACTERS = 2_000
"""How many earlier requests are told at length, and how much of each task and answer."""
OLDER_CHARACTERS = 200
"""How much is told of a task and of an answer that are longer ago."""
KEPT_REQUESTS = 20
"""Earlier requests that the state holds."""
ANSWER_CHARACTERS = 4_000
"""How much of each answer it holds."""
LEAST_CHARACTERS = 400
BRIEF_CHARACTERS = 1_000
"""What is told of an output at least, and of one that an agent has worked through."""


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


def _apart(text: str) -> str:
    """What a tool or an agent said, apart where it has lines of its own."""
    return f"\n{fenced(text)}" if "\n" in text else text


def _done(result: SubtaskResult) -> bool:
    return result["status"] == "completed"


def results_text(state: ManusState, characters: int, *, brief: Collection[str] = (), apart: bool = True) -> str:
    """What came of each subtask; long outputs are shortened so that all together have about `characters`.

    Args:
        state: The state with the plan and its results.
        characters: About how many all outputs may have together; short ones leave their room to long ones.
        brief: Ids of subtasks of whose output a little of its beginning and end suffices.
        apart: Whether outputs stand between fences, as models are told them; a person needs none.
    """
    plan = Plan.parse(state.get("plan") or {})
    results = planned_results(state)
    outputs = {name: _output(result) for name, result in results.items() if result["output"] is not None}
    limits = {name: BRIEF_CHARACTERS for name in outputs if name in brief}
    limits |= _shares({name: len(text) for name, text in outputs.items() if name not in brief}, characters)
    parts: list[str] = []
    for subtask in plan.subtasks:
        result = results.get(subtask.id)
        status = "not done" if result is None else result["status"]
        if result is not None and result.get("verified"):
            status += ", checked"
        text = f"## {subtask.id} ({status}): {subtask.goal or work_of(subtask)}"
        if result is not None and result["error"]:
            error = clipped(result["error"], 1_000)
            text += f"\nError: {_apart(error) if apart else error}"
        if result is not None and subtask.id in outputs:
            shown = clipped(outputs[subtask.id], limits[subtask.id], result["output_file"] or "")
            text += f"\n{fenced(shown) if apart else shown}"
        parts.append(text)
    return "\n\n".join(parts)


def _shares(lengths: Mapping[str, int], characters: int) -> dict[str, int]:
    """How many characters each output gets: what it needs, as long as the others get their equal share too."""
    shares: dict[str, int] = {}
    left = characters
    for number, name in enumerate(sorted(lengths, key=lambda name: lengths[name])):
        shares[name] = max(min(lengths[name], left // (len(lengths) - number)), LEAST_CHARACTERS)
        left = max(left - shares[name], 0)
    return shares


def worked_through(state: ManusState) -> set[str]:
    """Subtasks whose outputs an agent was given, and has made a completed result of."""
    plan, results = Plan.parse(state.get("plan") or {}), planned_results(state)
    done = [one for one in plan.subtasks if one.agent and one.id in results and _done(results[one.id])]
    return {name for one in done for name in one.prerequisites()}


def _output(result: SubtaskResult) -> str:
    if result["output_file"] is None:
        return as_text(result["output"])
    kept = cast("dict[str, Any]", result["output"])
    return f"{kept['preview']}\n[... all {kept['characters']} characters: {result['output_file']} ...]"


def failures_text(state: ManusState) -> str:
    """What is not completed and why, a line each."""
    return "\n".join(
        f"{name} is {result['status']}: {_apart(result['error'] or '')}"
        for name, result in planned_results(state).items()
        if not _done(result)
    )


def dropped_text(state: ManusState) -> str:
    """What earlier plans of the request had and the present one has not, and why, a line each."""
    planned = planned_results(state)
    return "\n".join(
        f"{name}: {_apart(result['error'] or '')}"
        for name, result in (state.get("results") or {}).items()
        if name not in planned and not _done(result)
    )


def earlier_text(earlier: Sequence[Earlier] | None) -> str:
    """Earlier requests of the conversation and their answers, those longer ago in brief."""
    told: list[str] = []
    for age, one in enumerate(reversed(earlier or []), start=1):
        most = EARLIER_CHARACTERS if age <= EARLIER_REQUESTS else OLDER_CHARACTERS
        told.append(
            f"Asked: {clipped(one['task'], most)}\nAnswered ({one['status']}): {_apart(clipped(one['answer'], most))}"
        )
    return "\n\n".join(reversed(told))


def background_text(state: ManusState) -> str:
    """The request and the conversation around it, as the agents of its subtasks are told them; empty without any."""
    asked = "".join(f"\n(Asked: {one['question']} {one['answer']})" for one in state.get("clarifications") or [])
    task, earlier = state.get("task", "") + asked, earlier_text(state.get("earlier"))
    parts: list[str] = []
    if task:
        shown = clipped(task, INPUT_CHARACTERS)
        parts.append(f"# The whole task it belongs to, in the person's own words\n{shown}")
    if earlier:
        parts.append(f"# Earlier in this conversation\n{earlier}")
    if state.get("attachments"):
        parts.append("# Files that came with the task\n" + "\n".join(state.get("attachments") or []))
    return "\n\n".join(parts)


def and_this(state: ManusState, answer: str, status: str) -> list[Earlier]:
    """The earlier requests with this one, which is over."""
    one = Earlier(
        task=state.get("task", ""),
        outline=plan_outline(state.get("plan")),
        answer=clipped(answer, ANSWER_CHARACTERS),
        status=status,
    )
    return [*(state.get("earlier") or []), one][-KEPT_REQUESTS:]


def request_text(state: ManusState) -> str:
    """The person's task in their own words, with what they were asked about it and the files they gave."""
    parts = [f"# The task, in the person's own words\n{state.get('task', '')}"]
    for one in state.get("clarifications") or []:
        parts.append(f"# Asked about it: {one['question']}\nThe person said: {one['answer']}")
    if state.get("attachments"):
        parts.append("# Files that came with it\n" + "\n".join(state.get("attachments") or []))
    return "\n\n".join(parts)

"""Prompt context: renders plan, results and conversation as prompt text for the roles."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from openmanus_graph.nodes.brief import INPUT_CHARACTERS, clipped
from openmanus_graph.nodes.material.untrusted_text import fenced
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
REFUSED = "Its output was refused by the check, so it is no finding, and it is left out here."
LEAST_CHARACTERS = 400
BRIEF_CHARACTERS = 1_000
PART_CHARACTERS = 60
"""What is told of an output at least, of one that an agent has worked through, and of one that a call has used."""


def work_of(subtask: Subtask, result: SubtaskResult | None = None) -> str:
    """The work of a subtask, in a line: a direct call with the arguments it was made with, as far as they are known."""
    if subtask.tool:
        made = None if result is None else result.get("args")
        args = dict(subtask.args) if made is None else made
        return f"{subtask.tool} {clipped(json.dumps(args, ensure_ascii=False), 300)}"
    return f"{subtask.agent}: {subtask.goal}"


def plan_outline(plan: Mapping[str, Any] | None, only: Collection[str] | None = None) -> str:
    """A plan in a line per subtask, of those in `only` if it is given."""
    if not plan:
        return ""
    parsed = Plan.parse(plan)
    shown = [subtask for subtask in parsed.subtasks if only is None or subtask.id in only]
    return "\n".join(f"{subtask.id}: {subtask.goal or work_of(subtask)}" for subtask in shown)


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


def sole_agent(plan: Plan) -> Subtask | None:
    """The one agent of a plan, where all else is done for it: its answer is the answer to the request."""
    agents = [subtask for subtask in plan.subtasks if subtask.agent]
    if len(agents) != 1:
        return None
    needed: set[str] = set(agents[0].prerequisites())
    by_id: dict[str, Subtask] = {subtask.id: subtask for subtask in plan.subtasks}
    left = list(needed)
    while left:
        more = set(by_id[left.pop()].prerequisites()) - needed
        needed |= more
        left += more
    return agents[0] if len(needed) + 1 == len(plan.subtasks) else None


def sole_answer(state: ManusState) -> str | None:
    """The answer of a plan's one agent; `None` where another role has to write one."""
    subtask = sole_agent(Plan.parse(state.get("plan") or {}))
    output = None if subtask is None else planned_results(state)[subtask.id]["output"]
    return output.strip() or None if isinstance(output, str) else None


def _apart(text: str) -> str:
    """The words of a tool or an agent, fenced where they have several lines."""
    return f"\n{fenced(text)}" if "\n" in text else text


def _said(result: SubtaskResult, error: str) -> str:
    """Why a subtask has not completed, apart unless the words are our own: a tool may say anything in a line, too."""
    return f"\n{fenced(error)}" if result["status"] == "failed" or "\n" in error else error


def _done(result: SubtaskResult) -> bool:
    return result["status"] == "completed"


def results_text(state: ManusState, characters: int, *, apart: bool = True) -> str:
    """The result of each subtask; long outputs are shortened so that all together have about `characters`.

    An output that its check refused is left out, so that nobody takes it for a finding.

    Args:
        state: The state with the plan and its results.
        characters: About how many all outputs may have together; short ones leave their room to long ones.
        apart: Whether outputs stand between fences, as models are told them; a person needs none.
    """
    return "\n\n".join(f"## {text}" for text in result_texts(state, characters, apart=apart).values())


def result_texts(
    state: ManusState,
    characters: int,
    *,
    without: Collection[str] = (),
    known: Collection[str] = (),
    apart: bool = True,
) -> dict[str, str]:
    """What came of each subtask, by id; of what other subtasks have used up, a little is told.

    Args:
        state: The state with the plan and its results.
        characters: About how many all outputs may have together.
        without: Subtasks that are left out.
        known: Subtasks whose work the reader knows, so that it is not said again.
        apart: Whether outputs stand between fences.
    """
    plan = Plan.parse(state.get("plan") or {})
    results = {name: result for name, result in planned_results(state).items() if name not in without}
    outputs = {
        name: _output(result)
        for name, result in results.items()
        if result["output"] is not None and not _is_refused(result)
    }
    limits = {name: limit for name, limit in _used_up(state).items() if name in outputs}
    limits |= _shares({name: len(text) for name, text in outputs.items() if name not in limits}, characters)
    texts: dict[str, str] = {}
    for subtask in plan.subtasks:
        result = results.get(subtask.id)
        if subtask.id in without:
            continue
        status = "not done" if result is None else result["status"]
        if result is not None and result.get("verified"):
            status += ", checked"
        text = f"{subtask.id} ({status}): {subtask.goal or work_of(subtask, result)}"
        if subtask.id in known:
            text = subtask.id if status == "completed" else f"{subtask.id} ({status})"
        if result is not None and result.get("args") is not None:
            text += f"\n{_changed_call(subtask, result)}"
        if result is not None and result["error"]:
            error = clipped(result["error"], 1_000)
            text += f"\nError: {_said(result, error) if apart else error}"
        if result is not None and result["output"] is not None and _is_refused(result):
            text += f"\n{REFUSED}"
        elif result is not None and subtask.id in outputs:
            shown = _shown(outputs[subtask.id], limits[subtask.id], result["output_file"] or "")
            text += f"\n{fenced(shown) if apart else shown}"
        texts[subtask.id] = text
    return texts


def _shown(text: str, limit: int, where: str) -> str:
    """An output within its limit; of one that a call has used, the beginning and its length."""
    if limit == PART_CHARACTERS < len(text):
        return f"{text[:limit]}… [{len(text):,} characters]"
    return clipped(text, limit, where)


def _is_refused(result: SubtaskResult) -> bool:
    """Whether a check has found that the output is not what was to be done, so that it is no finding."""
    return result.get("verified") is False


def _changed_call(subtask: Subtask, result: SubtaskResult) -> str:
    """What was called, where it is not what the plan says."""
    who = result.get("args_by") or "a person"
    return f"{who[:1].upper()}{who[1:]} changed its arguments. What was called: {work_of(subtask, result)}"


def _shares(lengths: Mapping[str, int], characters: int) -> dict[str, int]:
    """How many characters each output gets: what it needs, as long as the others get their equal share too."""
    shares: dict[str, int] = {}
    left = characters
    for number, name in enumerate(sorted(lengths, key=lambda name: lengths[name])):
        shares[name] = max(min(lengths[name], left // (len(lengths) - number)), LEAST_CHARACTERS)
        left = max(left - shares[name], 0)
    return shares


def _used_up(state: ManusState) -> dict[str, int]:
    """How many characters are told of outputs that completed subtasks have used.

    A direct call has taken the part that was wanted; an agent has said what it found in the whole.
    """
    plan, results = Plan.parse(state.get("plan") or {}), planned_results(state)
    done = [subtask for subtask in plan.subtasks if subtask.id in results and _done(results[subtask.id])]
    by_call: dict[str, int] = {
        name: PART_CHARACTERS for subtask in done if subtask.tool for name in subtask.prerequisites()
    }
    return by_call | {name: BRIEF_CHARACTERS for subtask in done if subtask.agent for name in subtask.prerequisites()}


def _output(result: SubtaskResult) -> str:
    if result["output_file"] is None:
        return as_text(result["output"])
    kept = cast("dict[str, Any]", result["output"])
    return f"{kept['preview']}\n[... all {kept['characters']} characters: {result['output_file']} ...]"


def failures_text(state: ManusState) -> str:
    """Subtasks that are not completed and why, a line each."""
    return "\n".join(
        f"{name} is {result['status']}: {_said(result, result['error'] or '')}"
        for name, result in planned_results(state).items()
        if not _done(result)
    )


def dropped_text(state: ManusState) -> str:
    """Subtasks of earlier plans that the present one dropped, and why, a line each."""
    planned = planned_results(state)
    return "\n".join(
        f"{name}:\n{fenced(result['error'] or '')}"
        for name, result in (state.get("results") or {}).items()
        if name not in planned and not _done(result)
    )


def earlier_text(earlier: Sequence[Earlier] | None) -> str:
    """Earlier requests of the conversation and their answers, those longer ago in brief."""
    shown: list[str] = []
    for age, request in enumerate(reversed(earlier or []), start=1):
        most = EARLIER_CHARACTERS if age <= EARLIER_REQUESTS else OLDER_CHARACTERS
        shown.append(
            f"Asked: {clipped(request['task'], most)}\n"
            f"Answered ({request['status']}): {_apart(clipped(request['answer'], most))}"
        )
    return "\n\n".join(reversed(shown))


def background_text(state: ManusState) -> str:
    """The request and its conversation as prompt text for the agents of subtasks; empty without any."""
    asked = "".join(f"\n(Asked: {pair['question']} {pair['answer']})" for pair in state.get("clarifications") or [])
    task, earlier = state.get("task", "") + asked, earlier_text(state.get("earlier"))
    parts: list[str] = []
    if task:
        shown = clipped(task, INPUT_CHARACTERS)
        parts.append(f"# The whole task it belongs to, in the person's own words\n{shown}")
    plan = state.get("plan") or {}
    if (sole := sole_agent(Plan.parse(plan)) if plan else None) is not None:
        parts.append(f"# Whom the answer is for\nThe person gets the answer of {sole.id} as it is: in their language.")
    if earlier:
        parts.append(f"# Earlier in this conversation\n{earlier}")
    if told := instructions_text(state):
        parts.append(told)
    if state.get("attachments"):
        parts.append("# Files that came with the task\n" + "\n".join(state.get("attachments") or []))
    return "\n\n".join(parts)


def and_this(state: ManusState, answer: str, status: str) -> list[Earlier]:
    """The earlier requests with this one, which is over."""
    request = Earlier(
        task=state.get("task", ""),
        outline=plan_outline(state.get("plan")),
        answer=clipped(answer, ANSWER_CHARACTERS),
        status=status,
    )
    return [*(state.get("earlier") or []), request][-KEPT_REQUESTS:]


def request_text(state: ManusState) -> str:
    """The person's task in their own words, with what they were asked about it and the files they gave."""
    parts = [f"# The task, in the person's own words\n{state.get('task', '')}"]
    for pair in state.get("clarifications") or []:
        parts.append(f"# Asked about it: {pair['question']}\nThe person said: {pair['answer']}")
    if told := instructions_text(state):
        parts.append(told)
    if attached := attachments_text(state):
        parts.append(attached)
    return "\n\n".join(parts)


def instructions_text(state: ManusState) -> str:
    """What the workspace's own instructions say, as a section of a prompt; empty without any."""
    told = state.get("instructions")
    return f"# Instructions of the workspace, from AGENTS.md\n{told}" if told else ""


def attachments_text(state: ManusState) -> str:
    """The files that came with the request, as a section of a prompt; empty without any."""
    names = state.get("attachments") or []
    return "# Files that came with it, in the workspace\n" + "\n".join(names) if names else ""

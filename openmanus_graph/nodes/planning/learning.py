"""Learning: stores how a request was done, and for which template it counts.

That is the template that rules made the plan of, if that plan is what ran, else the one of the same key. Both successes
and failures go by this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from openmanus_graph.errors import ForeignTypeError, MemoryStoreError, SettingsError
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.procedural.holes import MOST_OUTPUT_CHARACTERS
from openmanus_graph.memory.procedural.making import is_template_size, template_of
from openmanus_graph.memory.procedural.outcome import blames_nobody, run_of
from openmanus_graph.memory.procedural.signature import places_in
from openmanus_graph.memory.procedural.template import Template, TemplateRun, task_digest
from openmanus_graph.memory.protocols import TemplateMemory
from openmanus_graph.nodes.material.prompt_context import all_completed
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.outputs import whole
from openmanus_graph.plan import Plan
from openmanus_graph.plans.subtask import digest
from openmanus_graph.state import ManusState, SubtaskResult
from openmanus_graph.tools.spec import code_arguments


def plan_digest(plan: Mapping[str, Any]) -> str:
    """What tells plans apart, whatever their goal, and however long their steps are expected to take."""
    return digest([{key: value for key, value in one.items() if key != "expected_s"} for one in _subtasks(plan)])


def failure_of_rules(turn: Turn) -> dict[str, Any]:
    """The state update that keeps how a plan by rules failed; empty where it did not.

    A model may plan anew then, and what came of the first plan is not known at the end.
    """
    if all_completed(turn.state) or not _is_by_rules(turn.state) or not _says_something(turn):
        return {}
    run = _run(turn, has_succeeded=False)
    went = {"ended_at": run.ended_at, "seconds": dict(run.seconds), "failed": list(run.failed)}
    return {"template": {**(turn.state.get("template") or {}), "went": went}}


def tell_of(turn: Turn, error: MemoryStoreError | SettingsError, then: str) -> None:
    """Warn that the store of templates does not answer: why, what to do, and what becomes of the run."""
    hint = f"{error.hint.rstrip('.')}. " if error.hint else ""
    turn.tell("warned", id="templates", text=f"{error.message} {hint}{then}")


async def remember_procedure(turn: Turn, memory: Memory) -> None:
    """Store the way in which a request that is over was done, and whether it worked."""
    if (turn.state.get("template") or {}).get("unavailable"):
        return  # it has been waited for once, and said
    try:
        store = memory.procedures(turn)
        if isinstance(store, TemplateMemory):
            await _remember(turn, store)
    except (MemoryStoreError, SettingsError) as error:
        tell_of(turn, error, "The way it was done is not remembered.")


async def _remember(turn: Turn, store: TemplateMemory) -> None:
    state = turn.state
    offered = state.get("template") or {}
    filled = await store.template(str(offered["key"])) if offered.get("filled") else None
    if filled is not None and offered.get("went") and not _is_by_rules(state):
        await store.remember(filled.template, _replaced_run(turn, offered["went"]))
    has_succeeded = all_completed(state) and state.get("status") == "completed"
    if not has_succeeded and not _says_something(turn):
        return
    if filled is not None and _is_by_rules(state):
        await store.remember(filled.template, _run(turn, has_succeeded=has_succeeded))
    elif is_template_size(len(_subtasks(state.get("plan") or {}))):
        template = await asyncio.to_thread(_template, turn)  # of a large plan it takes seconds
        if template is not None:
            await _count(turn, store, template, has_succeeded=has_succeeded)


async def _count(turn: Turn, store: TemplateMemory, template: Template, *, has_succeeded: bool) -> None:
    """Count a request for the way in which it was done, as that is stored if its steps will stay."""
    known = await store.template(template.key)
    stays = known is not None and (known.is_proven or not has_succeeded)
    stored = known.template if known is not None and stays else template
    places = places_in(template.steps, stored.steps)
    ids = [str(subtask["id"]) for subtask in _subtasks(turn.state.get("plan") or {})]
    steps = zip(ids, template.steps, strict=True)
    names = {name: places[step.id] for name, step in steps if step.id in places}
    await store.remember(stored, _run(turn, names, has_succeeded=has_succeeded))


def _template(turn: Turn) -> Template | None:
    """The template of the plan that ran."""
    state = turn.state
    plan, code = Plan.parse(state.get("plan") or {}), code_arguments(turn.roles.tools)
    workspace = Path(state.get("workspace") or "")
    results = {name: _with_output(result, workspace) for name, result in _planned(state).items()}
    return template_of(state.get("task", ""), plan, results, code)


def _with_output(result: SubtaskResult, workspace: Path) -> SubtaskResult:
    """A result with its output from its file, where that is there and not too large to be looked through."""
    kept: Any = result["output"]
    if not result["output_file"] or not isinstance(kept, dict):
        return result
    if cast("dict[str, Any]", kept).get("characters", 0) > MOST_OUTPUT_CHARACTERS:
        return result
    try:
        return {**result, "output": whole(result, workspace), "output_file": None}
    except ForeignTypeError:  # a person may have cleared the folder; what it said is not known then
        return result


def _run(turn: Turn, names: Mapping[str, str] | None = None, *, has_succeeded: bool) -> TemplateRun:
    """The run of the plan, whose subtasks have these ids in the template; `None` means their own."""
    state, results = turn.state, _planned(turn.state)
    known = {name: name for name in results} if names is None else names
    request = state.get("request") or 1
    return run_of(turn.thread_id, request, state.get("task", ""), results, known, has_succeeded=has_succeeded)


def _replaced_run(turn: Turn, went: Mapping[str, Any]) -> TemplateRun:
    """The run of a plan by rules in whose place another one was made."""
    return TemplateRun(
        thread_id=turn.thread_id,
        request=turn.state.get("request") or 1,
        succeeded=False,
        ended_at=float(went["ended_at"]),
        seconds=dict(went["seconds"]),
        failed=tuple(went["failed"]),
        task_digest=task_digest(turn.state.get("task", "")),
        was_replaced=True,
    )


def _subtasks(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    return plan.get("subtasks") or []


def _planned(state: ManusState) -> dict[str, SubtaskResult]:
    """The results of subtasks that are in the plan."""
    results = state.get("results") or {}
    ids = [str(subtask["id"]) for subtask in _subtasks(state.get("plan") or {})]
    return {name: results[name] for name in ids if name in results}


def _says_something(turn: Turn) -> bool:
    """Whether an end without success says something of the plan."""
    return turn.spending.reached() is None and not blames_nobody(_planned(turn.state))


def _is_by_rules(state: ManusState) -> bool:
    """Whether the plan is the one that rules have made, as they made it."""
    kept = state.get("template") or {}
    return bool(kept.get("filled")) and kept.get("plan") == plan_digest(state.get("plan") or {})

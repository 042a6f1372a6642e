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
from openmanus_graph.memory.procedural.lesson import Lesson, learn
from openmanus_graph.memory.procedural.making import is_template_size, template_of
from openmanus_graph.memory.procedural.outbox_templates import OutboxTemplates
from openmanus_graph.memory.procedural.outcome import blames_nobody, run_of
from openmanus_graph.memory.procedural.stores import lessons_of
from openmanus_graph.memory.procedural.template import Template, TemplateRun, task_digest
from openmanus_graph.memory.procedural.waiting_lessons import WaitingLessons
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
    """Store the way in which a request that is over was done, and whether it worked.

    Where the store does not answer, what was to be stored waits for it, if it can.
    """
    waiting = lessons_of(turn.settings, turn.saver, turn.owner) if memory.procedural is None else None
    is_away = bool((turn.state.get("template") or {}).get("unavailable"))  # it has been waited for once, and said
    try:
        store = None if is_away else memory.procedures(turn)
        if isinstance(store, OutboxTemplates):
            await store.teach(await _lessons(turn))
        elif isinstance(store, TemplateMemory):
            for lesson in await _lessons(turn):
                await learn(store, lesson)
        elif is_away and waiting is not None:
            await _let_wait(turn, waiting)
    except MemoryStoreError as error:
        tell_of(turn, error, _WAITS if waiting is not None else _IS_LOST)
    except SettingsError as error:  # its address is none, or its driver is missing
        if waiting is not None:
            await _let_wait(turn, waiting)
        tell_of(turn, error, _WAITS if waiting is not None else _IS_LOST)


_WAITS = "The way it was done waits, and is stored by a later run."
_IS_LOST = "The way it was done is not remembered."


async def _let_wait(turn: Turn, waiting: WaitingLessons) -> None:
    for lesson in await _lessons(turn):
        await waiting.put(lesson)


async def _lessons(turn: Turn) -> list[Lesson]:
    """What a request that is over teaches: of a plan by rules that another one replaced, and of the one that ran."""
    state = turn.state
    offered = state.get("template") or {}
    is_filled, by_rules = bool(offered.get("filled")), _is_by_rules(state)
    lessons: list[Lesson] = []
    if is_filled and offered.get("went") and not by_rules:
        lessons.append(Lesson(_replaced_run(turn, offered["went"]), str(offered["key"])))
    has_succeeded = all_completed(state) and state.get("status") == "completed"
    if not has_succeeded and not _says_something(turn):
        return lessons
    run = _run(turn, has_succeeded=has_succeeded)
    if by_rules:
        return [*lessons, Lesson(run, str(offered["key"]))]
    subtasks = _subtasks(state.get("plan") or {})
    template = await asyncio.to_thread(_template, turn) if is_template_size(len(subtasks)) else None  # may take seconds
    if template is None:
        return lessons
    names = {str(one["id"]): step.id for one, step in zip(subtasks, template.steps, strict=True)}
    return [*lessons, Lesson(run.renamed(names), template.key, template)]


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


def _run(turn: Turn, *, has_succeeded: bool) -> TemplateRun:
    """The run of the plan, whose steps have the ids of its subtasks."""
    state, results = turn.state, _planned(turn.state)
    names, request = {name: name for name in results}, state.get("request") or 1
    return run_of(turn.thread_id, request, state.get("task", ""), results, names, has_succeeded=has_succeeded)


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

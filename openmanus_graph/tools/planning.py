"""Planning: the tool with which an agent keeps lists of steps, each with its state, its notes and its edges."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.output_shape import ANY, TEXT
from openmanus_graph.tools.plan_store import (
    MAX_STEPS,
    MAX_TEXT,
    PlanStore,
    StepStatus,
    StoredPlan,
    StoredStep,
    missing_plan,
    open_plans,
)
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

Command = Literal["create", "update", "list", "get", "set_active", "mark_step", "delete"]
_MARKS: dict[StepStatus, str] = {"not_started": "[ ]", "in_progress": "[→]", "completed": "[✓]", "blocked": "[!]"}


class Step(BaseModel):
    """A step of a plan."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Its id, kept for good; made if not given."
    )
    text: str | None = Field(
        default=None, min_length=1, max_length=MAX_TEXT, description="What is to be done; not needed for a known id."
    )
    needs: list[str] | None = Field(default=None, description="Ids of the steps that come before it.")


_SPEC = ToolSpec(
    effect="write",
    returns={"text": TEXT, "plan_id": TEXT, "plan": ANY, "plans": ANY},
    planned=False,
    on_request=True,
)


class PlanningArguments(BaseModel):
    """What to do with which plan."""

    model_config = ConfigDict(extra="forbid")

    command: Command = Field(description="What to do.")
    plan_id: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="Which plan; the active one if not given."
    )
    title: str | None = Field(default=None, min_length=1, max_length=200, description="For create and update.")
    steps: list[str | Step] | None = Field(
        default=None,
        max_length=MAX_STEPS,
        description="For create and update: all steps in order, as texts or with id, text and needs. On update a step "
        "keeps its state when its id or its text is that of a step there was.",
    )
    step_id: str | None = Field(default=None, description="For mark_step: the id of the step.")
    step_index: int | None = Field(default=None, ge=0, description="For mark_step without step_id: its place, from 0.")
    step_status: StepStatus | None = Field(default=None, description="For mark_step: its new state.")
    step_notes: str | None = Field(default=None, max_length=MAX_TEXT, description="For mark_step: notes on it.")


@builtin_tool("planning", PlanningArguments, _SPEC)
async def planning(
    command: Command,
    plan_id: str | None = None,
    title: str | None = None,
    steps: list[str | Step] | None = None,
    step_id: str | None = None,
    step_index: int | None = None,
    step_status: StepStatus | None = None,
    step_notes: str | None = None,
) -> dict[str, Any]:
    """Keep plans: lists of steps with states; they stay when the process ends, and all subtasks share them.

    Commands: create (title, steps), update (title, steps), list, get, set_active (plan_id), mark_step (step_id,
    step_status, step_notes), delete. Without plan_id the active plan is meant. Returns {text, plan_id, plan, plans}.
    """
    context = tool_context()
    given = PlanningArguments(
        command=command,
        plan_id=plan_id,
        title=title,
        steps=steps,
        step_id=step_id,
        step_index=step_index,
        step_status=step_status,
        step_notes=step_notes,
    )
    return await asyncio.to_thread(_carry_out, given, context)


def _carry_out(given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    reading = given.command in ("list", "get")
    with open_plans(context.workspace, write=not reading) as store:
        return _COMMANDS[given.command](store, given, context)


def _create(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    if given.title is None or not given.steps:
        raise ToolArgumentsError("The command 'create' needs 'title' and 'steps', with at least one step.")
    name = given.plan_id or store.free_id()
    fresh = StoredPlan(id=name, title=given.title)
    _set_steps(fresh, given.steps)
    fresh.call = context.call_id
    old = store.plans.get(name)
    # The step of this call may run again after a crash; the plan is then there already.
    if old is None:
        store.add(fresh)
    elif old.call is None or old.call != fresh.call or old.title != fresh.title:
        raise ToolArgumentsError(f"There is already a plan {name!r}.", hint="Use 'update', or another 'plan_id'.")
    store.active[context.subtask_id] = name
    return _plan_output(store.plans[name], f"Plan {name!r} is made, and active.")


def _update(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    plan = store.find(given.plan_id, context.subtask_id)
    if given.title is None and given.steps is None:
        raise ToolArgumentsError("The command 'update' needs 'title' or 'steps'.")
    if given.steps is not None:
        _set_steps(plan, given.steps)
    plan.title = given.title or plan.title
    return _plan_output(plan, f"Plan {plan.id!r} is updated.")


def _list(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    del given
    active = store.active.get(context.subtask_id)
    plans = [
        {"id": plan.id, "title": plan.title, "active": plan.id == active, "steps": len(plan.steps), "completed": done}
        for plan in store.plans.values()
        for done in [sum(step.status == "completed" for step in plan.steps)]
    ]
    lines = [
        f"{'*' if plan['active'] else '-'} {plan['id']}: {plan['title']} ({plan['completed']} of {plan['steps']} done)"
        for plan in plans
    ]
    return {"text": "\n".join(lines) or "There are no plans.", "plan_id": active, "plan": None, "plans": plans}


def _get(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    return _plan_output(store.find(given.plan_id, context.subtask_id))


def _set_active(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    if given.plan_id is None:
        raise ToolArgumentsError("The command 'set_active' needs 'plan_id'.")
    plan = store.find(given.plan_id, context.subtask_id)
    store.active[context.subtask_id] = plan.id
    return _plan_output(plan, f"Plan {plan.id!r} is active.")


def _mark_step(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    plan = store.find(given.plan_id, context.subtask_id)
    if given.step_status is None and given.step_notes is None:
        raise ToolArgumentsError("The command 'mark_step' needs 'step_status' or 'step_notes'.")
    step = _step_of(plan, given)
    step.status = given.step_status or step.status
    step.notes = step.notes if given.step_notes is None else given.step_notes
    return _plan_output(plan, f"Step {step.id!r} of plan {plan.id!r} is {step.status}.")


def _delete(store: PlanStore, given: PlanningArguments, context: ToolContext) -> dict[str, Any]:
    if given.plan_id is None:
        raise ToolArgumentsError("The command 'delete' needs 'plan_id'.")
    if not store.remove(given.plan_id, context.call_id):
        raise missing_plan(given.plan_id, store.plans)
    return {"text": f"Plan {given.plan_id!r} is deleted.", "plan_id": None, "plan": None, "plans": None}


_COMMANDS = {
    "create": _create,
    "update": _update,
    "list": _list,
    "get": _get,
    "set_active": _set_active,
    "mark_step": _mark_step,
    "delete": _delete,
}


def _step_of(plan: StoredPlan, given: PlanningArguments) -> StoredStep:
    ids = ", ".join(step.id for step in plan.steps)
    if given.step_id is not None:
        found = next((step for step in plan.steps if step.id == given.step_id), None)
        if found is None:
            raise ToolArgumentsError(f"Plan {plan.id!r} has no step {given.step_id!r}.", hint=f"Its steps are {ids}.")
        return found
    if given.step_index is None:
        raise ToolArgumentsError("The command 'mark_step' needs 'step_id'.", hint=f"The steps are {ids}.")
    if given.step_index >= len(plan.steps):
        raise ToolArgumentsError(
            f"Plan {plan.id!r} has no step at {given.step_index!r}.", hint=f"It has {len(plan.steps)}, from 0."
        )
    return plan.steps[given.step_index]


def _set_steps(plan: StoredPlan, given: list[str | Step]) -> None:
    """Give a plan its steps; those it had keep their states, found by id, else by text."""
    asked = [Step(text=wanted) if isinstance(wanted, str) else wanted for wanted in given]
    old = {step.id: step for step in plan.steps}
    named = {wanted.id for wanted in asked if wanted.id is not None}
    by_text: dict[str, list[StoredStep]] = {}
    for step in plan.steps:
        if step.id not in named:
            by_text.setdefault(" ".join(step.text.split()), []).append(step)
    steps: list[StoredStep] = []
    for wanted in asked:
        same = by_text.get(" ".join((wanted.text or "").split()))
        known = old.get(wanted.id) if wanted.id is not None else same.pop(0) if same else None
        text = wanted.text or (known.text if known else None)
        if text is None:
            raise ToolArgumentsError(f"The new step {wanted.id!r} has no 'text'.")
        if known is not None:
            needs = known.needs if wanted.needs is None else wanted.needs
            steps.append(known.model_copy(update={"text": text, "needs": needs}))
        else:
            name = wanted.id or plan.free_step_id(named)
            steps.append(StoredStep(id=name, text=text, needs=wanted.needs or []))
    dropped = old.keys() - {step.id for step in steps}
    for step in steps:
        step.needs = [need for need in step.needs if need not in dropped]
    plan.replace_steps(steps)


def _plan_output(plan: StoredPlan, headline: str = "") -> dict[str, Any]:
    done = sum(step.status == "completed" for step in plan.steps)
    lines = [headline] if headline else []
    lines.append(f"{plan.title} ({plan.id}): {done} of {len(plan.steps)} done")
    for step in plan.steps:
        after = f" (after {', '.join(step.needs)})" if step.needs else ""
        lines.append(f"{_MARKS[step.status]} {step.id}: {step.text}{after}")
        if step.notes:
            lines.append(f"    {step.notes}")
    shown = plan.model_dump(include={"id", "title", "steps"})
    return {"text": "\n".join(lines), "plan_id": plan.id, "plan": shown, "plans": None}

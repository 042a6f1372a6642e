"""Templates: what procedural memory has for a request; a run goes on without it where its store does not answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openmanus_graph.display_text import counted
from openmanus_graph.errors import MemoryStoreError, SettingsError
from openmanus_graph.memory.memory import Memory
from openmanus_graph.memory.procedural.choice import chosen
from openmanus_graph.memory.procedural.filling import filled_plan, refers_back, values_in
from openmanus_graph.memory.procedural.ranking import described
from openmanus_graph.memory.procedural.template import KnownTemplate, Template
from openmanus_graph.memory.protocols import TemplateMemory
from openmanus_graph.models.catalog import REPLAY_PREFIX
from openmanus_graph.nodes.planning.learning import plan_digest, tell_of
from openmanus_graph.nodes.planning.plan_repair import mended
from openmanus_graph.nodes.planning.proposal import checked_plan
from openmanus_graph.nodes.turn import Turn
from openmanus_graph.plan import Plan
from openmanus_graph.state import ManusState
from openmanus_graph.tools.spec import code_arguments

CANDIDATES = 5
"""Templates of which one is chosen, among those that have only tools and agents that are here."""


@dataclass(frozen=True)
class Procedure:
    """What procedural memory has for a request."""

    text: str = ""
    """What a model is told; empty without any."""
    plan: dict[str, Any] | None = None
    """A whole plan that rules have made of a template; `None` where a model is to plan."""
    kept: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the state keeps of it, as `template`."""
    why: str = ""
    """Where the plan is from, for the person."""


async def procedure_for(turn: Turn, memory: Memory) -> Procedure:
    """The procedure for the request of a visit, at most one."""
    task = turn.state.get("task", "")
    try:
        store = memory.procedures(turn)
        if store is None:
            return Procedure()
        if not isinstance(store, TemplateMemory):
            return Procedure("\n\n".join(await store.recall(task, limit=1)))
        offered = await store.offered(task, limit=CANDIDATES)
    except (MemoryStoreError, SettingsError) as error:
        tell_of(turn, error, "The run goes on without templates.")
        return Procedure(kept={"unavailable": True})
    roles = turn.roles
    usable = [one for one in offered if one.template.fits(roles.tools, roles.agents)]
    # The node counts the request only with its update: the one before has this number in the state.
    known = chosen(usable, seed=f"{turn.thread_id} {turn.state.get('request') or 0}")
    if known is None:
        return Procedure()
    is_for_model = _needs_more_than_words(turn.state) or _is_recorded(turn)
    plan = None if is_for_model else _plan_by_rules(turn, known, task)
    kept: dict[str, Any] = {"key": known.template.key, "filled": plan is not None}
    if plan is None:
        return Procedure(described(known), kept=kept)
    kept["plan"] = plan_digest(plan)
    why = (
        f"The plan is from the template {known.template.key}, which worked {known.worked} of "
        f"{counted(known.runs, 'time')}; no model was asked for it."
    )
    return Procedure(plan=plan, kept=kept, why=why)


def _needs_more_than_words(state: ManusState) -> bool:
    """Whether a request may mean what came with it, or what was said before it."""
    return bool(state.get("attachments") or state.get("earlier")) or len(state.get("messages") or []) > 1


def _is_recorded(turn: Turn) -> bool:
    """Whether replies are recorded or replayed: they are found by their places, so none may be left out."""
    names = turn.roles.models.names.values()
    return turn.roles.settings.record is not None or any(name.startswith(REPLAY_PREFIX) for name in names)


def _plan_by_rules(turn: Turn, known: KnownTemplate, task: str) -> dict[str, Any] | None:
    """The plan of a template that is sure and whose parameters the task names, if it is sound."""
    roles = turn.roles
    values = values_in(known.template, task) if known.is_sure else None
    if values is None or refers_back(values) is not None:
        return None
    filled = filled_plan(known.template, values, code=code_arguments(roles.tools))
    if filled is None:
        return None
    mended_plan = mended(filled, roles.tools, list(roles.agents))  # as the planner's node mends what it is given
    plan, _ = checked_plan(mended_plan, roles.tools, list(roles.agents), roles.settings.max_subtasks)
    return None if plan is None else {**_with_durations(plan, known.template), "goal": task}


def _with_durations(plan: Plan, template: Template) -> dict[str, Any]:
    """A plan whose steps say what they took in earlier runs, so that the dispatcher starts the longest path first."""
    took = {step.id: step.mean_s for step in template.steps if step.runs and step.mean_s > 0}
    filled = plan.to_dict()
    return {
        **filled,
        "subtasks": [
            {**one, "expected_s": took[one["id"]]} if one["id"] in took else one for one in filled["subtasks"]
        ],
    }


def proposal_of(plan: Mapping[str, Any]) -> str:
    """A plan as the planner's node takes it from others."""
    return json.dumps(plan, ensure_ascii=False)

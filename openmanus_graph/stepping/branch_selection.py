"""Branch selection: resolves which held branch the user means, and explains when none matches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from openmanus_graph.errors import UsageError
from openmanus_graph.events import Event
from openmanus_graph.namespaces import innermost_subtask
from openmanus_graph.plan import Plan
from openmanus_graph.stepping.hold_point import GatedNode
from openmanus_graph.stepping.record import StoredThread


def in_order(places: Sequence[GatedNode], plan: Plan | None) -> list[GatedNode]:
    """Gated nodes in plan order, each subtask's by arrival; those of the graph itself come first."""
    index: dict[str, int] = {str(subtask.id): number for number, subtask in enumerate(plan.subtasks)} if plan else {}
    return sorted(places, key=lambda gated: index.get(gated.subtask, -1))


def chosen(
    standing: Sequence[GatedNode], subtask: str | None, current: tuple[str, str] | None, preferred: str | None = None
) -> GatedNode | None:
    """The gated node to let go.

    Args:
        standing: Those that stand, in order.
        subtask: The subtask that is meant, or `None`.
        current: Namespace and node that were let go last, where the same branch is to be preferred.
        preferred: The subtask that comes first if it stands.
    """
    meant = [gated for gated in standing if subtask is None or gated.subtask == subtask]
    preferred_ones = [gated for gated in meant if preferred is not None and gated.subtask == preferred]
    meant = preferred_ones or meant
    if current is not None:
        meant.sort(key=lambda gated: (gated.namespace != current[0], (gated.namespace, gated.node) != current))
    return meant[0] if meant else None


def statuses(plan: Plan | None, values: Mapping[str, Any], here: Collection[str] | None = None) -> dict[str, str]:
    """Statuses of the subtasks of a plan that ended; the others are `pending`.

    Args:
        plan: The plan.
        values: The graph's values, with `results`.
        here: In the middle of a dispatch the subtasks that have ended in it: of earlier ones only what is completed
            counts, and what depends on a failure is `blocked`.
    """
    if plan is None:
        return {}
    results = cast("Mapping[str, Mapping[str, Any]]", values.get("results") or {})
    by_subtask: dict[str, str] = {}
    for key, definition in plan.definition_hashes().items():
        result = results.get(key) or {}
        status = str(result["status"]) if result.get("definition") == definition else "pending"
        counts = here is None or key in here or status == "completed"
        by_subtask[str(key)] = status if counts else "pending"
    failed = (
        [key for key, status in by_subtask.items() if status not in ("pending", "completed")]
        if here is not None
        else []
    )
    dependants = plan.dependants() if failed else {}
    while failed:
        for key in dependants.get(failed.pop(), ()):
            if by_subtask[key] == "pending":
                by_subtask[key] = "blocked"
                failed.append(key)
    return by_subtask


def note_statuses(known: dict[str, str], event: Event) -> None:
    """Note in `known` the statuses of subtasks that an event holds; the store is read only at a stop."""
    kind, subtask = event.get("type"), event.get("subtask")
    if kind == "plan_started":
        kept = event.get("kept") or []
        known.clear()
        known |= {
            listed["id"]: "completed" if listed["id"] in kept else "pending" for listed in event.get("subtasks") or []
        }
    elif kind == "subtask_finished" and subtask:
        known[subtask] = event.get("status", "")


def why_nothing(subtask: str | None, record: StoredThread, statuses: Mapping[str, str]) -> str:
    """The reason, in a sentence, for which no branch can be let go.

    Raises:
        UsageError: If there is no such subtask.
    """
    if subtask is None:
        return "Every branch waits for a person; answer(...) goes on." if record.questions else "Nothing stands."
    if subtask not in statuses:
        near = get_close_matches(subtask, list(statuses), 3, 0.5) or list(statuses)[:5]
        raise UsageError(f"There is no subtask {subtask!r}.", hint=f"The nearest are: {', '.join(near) or 'none'}.")
    status = statuses[subtask]
    if status == "waiting":
        return f"The subtask {subtask!r} waits for a person; answer(...) goes on."
    if status != "pending":
        return f"The subtask {subtask!r} is {status}; there is no step left in it."
    plan = record.plan
    wanted = (
        next((candidate for candidate in plan.subtasks if candidate.id == subtask), None) if plan is not None else None
    )
    needs = [] if plan is None or wanted is None else [*plan.prerequisites(wanted)]
    if record.ended is None:
        return f"The subtask {subtask!r} has not begun, nor has its plan; step() goes on towards that."
    missing = [need for need in needs if statuses.get(need) != "completed"]
    if missing:
        return f"The subtask {subtask!r} waits for {', '.join(missing)}."
    return f"The subtask {subtask!r} waits for a free slot; step another one to its end, or raise max_parallel."


def subtask_name(current: tuple[str, str] | None) -> str:
    """The subtask of a branch that was stepped."""
    task = innermost_subtask(current[0]) if current is not None else None
    return task.subtask if task else ""

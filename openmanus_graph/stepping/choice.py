"""Choice: which of the branches that stand is meant, and why none is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from openmanus_graph.errors import UsageError
from openmanus_graph.stepping.record import Record
from openmanus_graph.stepping.stage import Place


def chosen(
    standing: Sequence[Place],
    subtask: str | None,
    order: Sequence[tuple[str, str]],
    current: tuple[str, str] | None,
) -> Place | None:
    """The place to let go.

    Args:
        standing: Those that stand, by arrival.
        subtask: The subtask that is meant, or `None`.
        order: The keys of those that stood at the last stop; they come first, in this order.
        current: Namespace and node that were let go last, where the same branch is to be preferred.
    """
    places = {key: index for index, key in enumerate(order)}
    ordered = sorted(standing, key=lambda one: places.get(one.key, len(places)))
    if subtask is not None:
        return next((one for one in ordered if one.subtask == subtask), None)
    if current is not None:
        same = next((one for one in ordered if one.namespace == current[0]), None)
        if same is not None:
            return same
    return ordered[0] if ordered else None


def why_nothing(subtask: str | None, record: Record, statuses: Mapping[str, str]) -> str:
    """Why there is nothing to let go.

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
    found = next((one for one in plan.subtasks if one.id == subtask), None) if plan is not None else None
    needs = [] if plan is None or found is None else [*plan.prerequisites(found)]
    missing = [one for one in needs if statuses.get(one) != "completed"]
    if missing:
        return f"The subtask {subtask!r} waits for {', '.join(missing)}."
    return f"The subtask {subtask!r} waits for a free slot; step another one to its end, or raise max_parallel."


def subtask_name(current: tuple[str, str] | None) -> str:
    """The subtask of a branch that was stepped."""
    from openmanus_graph.checkpoints.points import subtask_in

    found = subtask_in(current[0]) if current is not None else None
    return found[0] if found else ""

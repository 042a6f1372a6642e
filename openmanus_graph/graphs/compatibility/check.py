"""Check: compares a graph with the one that ran a thread last, before each run of the thread."""

# LangGraph ships no types for its runtime graph.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from langgraph.pregel import Pregel
from langgraph.types import Command

from openmanus_graph import shell_commands
from openmanus_graph.agent_nodes import PLAN_MAY_CHANGE
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_position import ThreadPosition, position_of
from openmanus_graph.checkpoints.threads import stored_fingerprint
from openmanus_graph.errors import ThreadVersionError
from openmanus_graph.events import now
from openmanus_graph.graphs.compatibility.differences import GraphDifference, differences
from openmanus_graph.graphs.compatibility.fingerprint import FORMAT, fingerprint_of
from openmanus_graph.state import TRY_AGAIN

MOST_NAMED = 6
"""Changes that a note names."""
_NOT_COMPARED = ("program", "unchecked")
"""What of a fingerprint is not compared."""


@dataclass(frozen=True)
class GraphChange:
    """The differences between a graph and the one that ran the thread last."""

    fingerprint: Mapping[str, Any] | None = None
    """The present one, to be kept with the thread; `None` if it is kept already."""
    notes: list[str] = field(default_factory=list[str])
    """What has changed and does not matter to the thread."""
    forced: list[str] = field(default_factory=list[str])
    """What the thread needs and no longer has, and the caller wants to go on all the same."""

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that the thread's row takes."""
        forced = [{"at": now(), "differences": self.forced}] if self.forced else []
        return {"fingerprint": self.fingerprint, "forced": forced}

    @property
    def text(self) -> str:
        """The change in a sentence or two; empty if there is nothing to say."""
        parts: list[str] = []
        if self.forced:
            parts.append(f"The thread goes on although its graph no longer fits: {_listed(self.forced)}.")
        if self.notes:
            parts.append(f"The graph has changed since the thread last ran, which it can bear: {_listed(self.notes)}.")
        return " ".join(parts)


async def change_of(
    graph: Pregel[Any, Any, Any, Any], saver: ThreadSaver, thread_id: str, given: Any, *, force: bool = False
) -> GraphChange:
    """Compare a graph with the one that ran a thread last.

    Args:
        graph: The graph that is to go on.
        saver: The store.
        thread_id: The thread, which may be a new one.
        given: What the graph is to be run with: `None`, a `Command` or an input.
        force: Whether to go on with a graph that does not fit.

    Raises:
        ThreadVersionError: If the thread needs what the graph no longer has, and `force` is not set.
    """
    known, before = await stored_fingerprint(saver, thread_id)
    present = fingerprint_of(graph)
    if before is not None and _compared(before) == _compared(present) and not before.get("unchecked"):
        return GraphChange()
    if not known:
        return GraphChange(present)
    found = await _differences(saver, thread_id, given, before or {}, present)
    breaking = [difference.text for difference in found if difference.breaks]
    if breaking and not force:
        raise _refusal(thread_id, breaking, before or {}, present, going_on=given is None or isinstance(given, Command))
    return GraphChange(present, [difference.text for difference in found if not difference.breaks], breaking)


async def _differences(
    saver: ThreadSaver, thread_id: str, given: Any, before: Mapping[str, Any], present: Mapping[str, Any]
) -> list[GraphDifference]:
    if before.get("format", FORMAT) != FORMAT:
        before = {}
    going_on = given is None or isinstance(given, Command)
    standing = await position_of(saver, thread_id, before or present, going_on=going_on)
    standing.plan = _plan_ahead(given, standing)
    return differences(before, present, standing)


def _plan_ahead(given: Any, standing: ThreadPosition) -> dict[str, Any] | None:
    """The plan that is to be executed without being checked first."""
    if isinstance(given, Command):
        update: Any = cast("Command[Any]", given).update
        if isinstance(update, Mapping) and "plan" in update:
            return None
    elif isinstance(given, Mapping) and cast("Mapping[str, Any]", given).get("stage") == TRY_AGAIN:
        return standing.plan
    due = standing.levels[0].due if standing.levels else set[str]()
    return standing.plan if due - PLAN_MAY_CHANGE else None


def _compared(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fingerprint.items() if key not in _NOT_COMPARED}


def _refusal(
    thread_id: str,
    breaking: Sequence[str],
    before: Mapping[str, Any],
    present: Mapping[str, Any],
    *,
    going_on: bool,
) -> ThreadVersionError:
    was = cast("Mapping[str, str]", before.get("program") or {})
    is_now = cast("Mapping[str, str]", present["program"])
    changed = [f"{name} {was[name]} then, {is_now[name]} now" for name in was if was[name] != is_now.get(name)]
    versions = f" ({'; '.join(changed)})" if changed else ""
    return ThreadVersionError(
        f"The thread {thread_id!r} cannot go on with the graph as it is now{versions}: {'; '.join(breaking)}.",
        differences=breaking,
        hint=f"Put that back, or go on all the same: {shell_commands.resume(thread_id, '--force')}"
        if going_on
        else "Put that back, begin another thread, or go on all the same with --force.",
    )


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMED
    return "; ".join([*texts[:MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])

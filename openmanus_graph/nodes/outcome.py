"""Outcome: how a subtask ends, or whether it is tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from langgraph.types import Overwrite

from openmanus_graph.context import ToolContext
from openmanus_graph.events import Event, now
from openmanus_graph.nodes.subtask_runtime import SubtaskScope
from openmanus_graph.outputs import stored
from openmanus_graph.plan import Subtask
from openmanus_graph.state import Draft, SubtaskResult, SubtaskState, SubtaskStatus

FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0


def retry_delay(attempt: int) -> float:
    """Seconds to wait after the given attempt (from 1): 0.5, doubled each time, at most 30."""
    return min(FIRST_RETRY_SECONDS * 2 ** (attempt - 1), LONGEST_RETRY_SECONDS)


def draft_of(output: Any, error: str | None, context: ToolContext) -> Draft:
    """The unchecked end of a subtask; a large output goes to a file of the workspace.

    An output that cannot be kept is an error of its own.
    """
    try:
        kept, file = stored(
            output, workspace=context.workspace, subtask_id=context.subtask_id, limit=context.settings.inline_output
        )
    except (OSError, ValueError) as problem:
        text = f"The output cannot be kept: {problem}. The work itself was done, and is not repeated."
        return Draft(output=None, error=text, output_file=None)
    return Draft(output=kept, error=error, output_file=file)


def ended(
    state: SubtaskState,
    draft: Draft,
    *,
    status: SubtaskStatus | None = None,
    verified: bool | None = None,
    why: str = "",
    attempt: int | None = None,
    started: str | None = None,
) -> SubtaskResult:
    """The result that a draft becomes.

    Args:
        state: The subtask's state.
        draft: What it ends with.
        status: How; `None` means `failed` with an error and `completed` without.
        verified: What the check said; `None` if nothing was checked.
        why: What the check went by.
        attempt: Which attempt it was; `None` means what the state says.
        started: When the first one began; `None` means what the state says.
    """
    return SubtaskResult(
        status=status or ("completed" if draft["error"] is None else "failed"),
        output=draft["output"],
        error=draft["error"],
        attempts=state.get("attempts", 0) if attempt is None else attempt,
        started_at=started or state.get("started_at"),
        finished_at=now(),
        definition=state.get("definition", ""),
        output_file=draft["output_file"],
        verified=verified,
        verified_why=why,
        **_used(state),
        **_noted(state),
    )


def _used(state: Mapping[str, Any]) -> Any:
    usage = state.get("usage")
    return {"usage": usage} if usage and usage.get("calls") else {}


def _noted(state: Mapping[str, Any]) -> Any:
    """Arguments that a person changed, addresses that were read and pictures that were named, where there are any."""
    ran: Any = state.get("ran") or {}
    return {**ran, **{key: found for key in ("sources", "pictures") if (found := state.get(key))}}


def failed_or_again(
    state: SubtaskState, run: SubtaskScope, error: str, *, again: bool = True, **result: Any
) -> dict[str, Any]:
    """The state update of an agent's failure: another attempt if the subtask has one left, else the end.

    Args:
        state: The subtask's state.
        run: Its run.
        error: What went wrong.
        again: Whether another attempt could end otherwise.
        result: More of the result, as `ended` takes it.
    """
    subtask = Subtask.model_validate(state.get("subtask"))
    attempt = state.get("attempts", 1)
    if again and attempt <= subtask.retries and run.spending.reached() is None:
        delay = retry_delay(attempt)
        run.emit(subtask_event("subtask_retrying", subtask.id, attempt, delay_s=delay, error=error))
        return {
            "retry_at": time.time() + delay,
            "draft": None,
            "steps": 0,
            "active_s": 0.0,
            "messages": Overwrite([]),
        }
    kept = state.get("draft") or Draft(output=None, error=None, output_file=None)
    return {"result": ended(state, {**kept, "error": error}, **result), "draft": None}


def subtask_event(kind: Any, subtask: str, attempt: int, **fields: Any) -> Event:
    """An event of one attempt of a subtask."""
    event = Event(type=kind, id=f"{subtask}/{kind}/{attempt}", subtask=subtask, attempt=attempt)
    event.update(fields)  # pyright: ignore[reportArgumentType, reportCallIssue] - the caller names fields of Event
    return event

"""State: what a checkpoint holds, in built-in types only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from openmanus_graph.events import Usage

SubtaskStatus = Literal["pending", "running", "waiting", "completed", "failed", "blocked", "skipped"]
"""What a subtask can be; only the last four are ends."""

ThreadStatus = Literal["running", "waiting", "paused", "stopped", "partial", "completed", "failed"]
"""What a thread can be: `waiting` for a person, `paused` by a drain, `stopped` when its process died."""


class SubtaskResult(TypedDict):
    """How a subtask ended; a plain dict in the checkpoint and in `out["results"]`."""

    status: SubtaskStatus
    """`completed`, `failed`, `blocked` (a prerequisite did not complete) or `skipped` (a person dropped it)."""
    output: Any
    """What it produced; a large output is a `{file, characters, preview}` dict, see `output_file`."""
    error: str | None
    """Why it failed, was blocked or skipped; `None` when completed."""
    attempts: int
    """How often it was tried; 0 when it never ran."""
    started_at: str | None
    """When the first attempt began, ISO 8601 in UTC; `None` when it never ran."""
    finished_at: str
    """When it ended, ISO 8601 in UTC."""
    definition: str
    """Hash of the definition it came from; a subtask with another one runs again."""
    output_file: str | None
    """Path in the workspace of an output too large for a checkpoint; references resolve to its content."""
    verified: NotRequired[bool | None]
    """Whether a check of what `done_when` says passed; `None` (or missing) when nothing was checked."""
    verified_why: NotRequired[str]
    """What the check went by."""
    usage: NotRequired[Usage]
    """What its calls of models used."""


def merge_results(
    old: dict[str, SubtaskResult] | None, new: dict[str, SubtaskResult] | None
) -> dict[str, SubtaskResult]:
    """Results by subtask id, later ones replacing earlier ones."""
    return {**(old or {}), **(new or {})}


class PlanState(TypedDict, total=False):
    """State of the plan graph."""

    plan: dict[str, Any]
    """The plan as a plain dict."""
    results: Annotated[dict[str, SubtaskResult], merge_results]
    """Results by subtask id, of this dispatch and earlier ones."""
    round: int
    """How many dispatches of this thread have ended."""
    workspace: str
    """The thread's folder, absolute."""
    sandbox: str
    """The confinement chosen for the thread."""


class PlanInput(TypedDict, total=False):
    """Input of the plan graph."""

    plan: dict[str, Any]
    """A plan; the Python API takes a `Plan` too."""
    workspace: str
    """The thread's folder; by default `./openmanus-work/<thread>`."""
    sandbox: str
    """The confinement; by default the setting."""


class PlanOutput(TypedDict):
    """Output of the plan graph."""

    plan: dict[str, Any]
    """The plan that was executed."""
    results: dict[str, SubtaskResult]
    """Results by subtask id."""


class SubtaskState(TypedDict, total=False):
    """State of the subtask graph."""

    subtask: dict[str, Any]
    """The subtask's definition, references unresolved."""
    definition: str
    """Hash of the definition."""
    attempts: int
    """Attempts made."""
    approved: bool | None
    """What a person said, where the subtask asks for approval."""
    started_at: str | None
    """When the first attempt began."""
    retry_at: float | None
    """Moment (Unix time, seconds) before which the next attempt must not start."""
    result: SubtaskResult | None
    """The end; `None` as long as there is none."""

"""State: channels of the graphs' checkpoints, in built-in types and LangChain messages only."""

# LangGraph ships no types for its channels.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, NotRequired

from langchain_core.messages import AnyMessage
from langgraph.channels import DeltaChannel
from typing_extensions import TypedDict  # before Python 3.12 no JSON Schema can be made of the one in `typing`

from openmanus_graph.events import Usage
from openmanus_graph.usage import add_usage

SubtaskStatus = Literal["pending", "running", "waiting", "completed", "failed", "blocked", "skipped"]
"""Statuses of a subtask; only the last four are final."""

Stage = Literal["new", "recalled", "planned", "again", "clarified", "looked", "refused", "dispatched"]
"""What the agent's coordinator is to decide about; `nodes/transitions.py` has the table."""
Decision = Literal[
    "recall", "answer", "ask", "plan", "propose", "look", "dispatch", "conclude", "report", "replan", "stop"
]
"""How the agent goes on; `nodes/transitions.py` has the table."""
PLAN_GIVEN: Stage = "planned"
"""The stage of a request that came with its plan."""
TRY_AGAIN: Stage = "again"
"""The stage of a request that ended and is tried again."""

ThreadStatus = Literal["running", "waiting", "paused", "stopped", "partial", "completed", "failed"]
"""Statuses of a thread: `waiting` for a person, `paused` by a drain, `stopped` when its process died."""


class NotedPicture(TypedDict):
    """A picture of the workspace that belongs to a message or a result; its bytes are read when a model is shown it."""

    path: str
    """In the workspace."""
    sha256: str
    """Of the file as it was; empty until somebody has looked."""


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
    args: NotRequired[dict[str, Any]]
    """Arguments of its direct call, where they were not those of the plan: long values cut, secrets left out."""
    args_by: NotRequired[str]
    """Who changed them: `a person`."""
    sources: NotRequired[list[str]]
    """Addresses that its calls read without an error."""
    pictures: NotRequired[list[NotedPicture]]
    """Pictures that its direct call named, which models that see are shown with the result."""


class Ran(TypedDict):
    """Arguments that a direct call was made with, where they are not the plan's."""

    args: dict[str, Any]
    """The arguments, long values cut and secrets left out."""
    args_by: str
    """Who changed them."""


MOST_SOURCES = 100


def merge_sources(old: list[str] | None, new: list[str] | None) -> list[str]:
    """Addresses, each once, in the order in which they were read; the first hundred."""
    every: list[str] = [*(old or []), *(new or [])]
    return list(dict.fromkeys(every))[:MOST_SOURCES]


def merge_results(
    old: dict[str, SubtaskResult] | None, new: dict[str, SubtaskResult] | None
) -> dict[str, SubtaskResult]:
    """Results by subtask id, later ones replacing earlier ones."""
    return {**(old or {}), **(new or {})}


def appended(old: list[AnyMessage] | None, writes: Sequence[list[AnyMessage]]) -> list[AnyMessage]:
    """Messages with those of each write after them, in order."""
    return [*(old or []), *(message for write in writes for message in write)]


SNAPSHOT_EVERY = 1000
"""Changes after which a checkpoint holds the whole list again: by LangGraph's default of 100, a conversation of 400
changes is written three and a half times over, and reading so many changes takes some hundredths of a second."""

Messages = Annotated[list[AnyMessage], DeltaChannel(appended, snapshot_frequency=SNAPSHOT_EVERY)]
"""A growing list of messages, of which each checkpoint holds only what is new."""


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


class Earlier(TypedDict):
    """One request of the conversation that is over."""

    task: str
    """The person's words."""
    outline: str
    """The plan in a few lines; empty without one."""
    answer: str
    """The answer."""
    status: str
    """`completed`, `failed` or `partial`."""


class ManusState(PlanState, total=False):
    """State of the agent graph."""

    messages: Messages
    """The conversation: requests, clarifications and answers."""
    dialogue: Messages
    """The coordinator's own conversation: what it was told and said, its calls and what came of them."""
    heard: int
    """How many of `messages` are in it."""
    told: list[str]
    """Subtasks of this request whose completed results are in it."""
    made: int
    """How many calls it has made for this request, refused ones included."""
    calls: dict[str, str]
    """Subtasks that the calls of its last reply became, by the id of the call."""
    task: str
    """The request, in the person's own words."""
    attachments: list[str]
    """Files that came with it, paths in the workspace."""
    instructions: str
    """What the `AGENTS.md` of the workspace said when the request came, where its folder is trusted."""
    request: int
    """Which request of the thread it is, from 1."""
    stage: Stage
    """What the coordinator is to decide about."""
    decision: Decision
    """What it decided."""
    reason: str
    """Why: for the planner what went wrong, for the reporter why it ended."""
    question: str
    """What it asks the person."""
    clarifications: list[dict[str, str]]
    """Its questions of this request, each with the answer."""
    knowledge: str
    """What memory had to say."""
    template: dict[str, Any]
    """The template that memory offered: its `key`, and whether its plan was `filled` by rules, then with the digest of
    that `plan`, and how it `went` if it failed; `unavailable` where the store did not answer."""
    proposal: str
    """The plan just made, as the planner gave it."""
    problems: list[str]
    """What is wrong with it; empty when it is sound."""
    plan_tries: int
    """How often the planner has tried since it was last given something new."""
    replans: int
    """How often this request has been planned again."""
    failed_round: int
    """The last dispatch with failures that was counted as one of them."""
    replies: int
    """How often the coordinator has replied to this request."""
    turns: dict[str, int]
    """Calls of a model by role, over the whole thread."""
    earlier: list[Earlier]
    """Requests before this one."""
    answer: str
    """The answer to the request."""
    status: Literal["completed", "failed", "partial", ""]
    """How the request ended; empty as long as it has not."""
    usage: Annotated[Usage, add_usage]
    """What the roles themselves have used; subtasks have their own."""


class ManusInput(TypedDict, total=False):
    """Input of the agent graph: `task`, `messages` or `plan` begin a request, `again` goes on with an ended one."""

    task: str
    """What the person wants."""
    messages: list[AnyMessage]
    """The same as messages; the last one of the person is the task."""
    attachments: list[str]
    """Files that came with it, paths in the workspace."""
    instructions: str
    """What the workspace's `AGENTS.md` says; it is read anew for each request, whatever is given."""
    plan: dict[str, Any]
    """A plan to execute, with no planner."""
    again: bool
    """Whether to try again what an ended request left undone."""
    stage: Stage
    """What the coordinator is to decide about; the graph itself sets it from the rest."""
    decision: Decision
    """How it begins; the graph itself sets it, too."""
    workspace: str
    """The thread's folder; by default `./openmanus-work/<thread>`."""
    sandbox: str
    """The confinement; by default the setting."""


class ManusOutput(TypedDict, total=False):
    """Output of the agent graph."""

    answer: str
    """The answer."""
    status: str
    """`completed`, `failed` or `partial`."""
    plan: dict[str, Any]
    """The plan that was executed; empty without one."""
    results: dict[str, SubtaskResult]
    """Results by subtask id."""
    messages: list[AnyMessage]
    """The conversation."""


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


class Draft(TypedDict):
    """What a subtask would end with, before it is checked."""

    output: Any
    """What it produced; a preview where `output_file` has the whole."""
    error: str | None
    """Why its agent says that it failed, or `None`."""
    output_file: str | None
    """Path in the workspace of a large output."""


class SubtaskState(TypedDict, total=False):
    """State of the subtask graph."""

    subtask: dict[str, Any]
    """The subtask's definition, references unresolved."""
    definition: str
    """Hash of the definition."""
    attempts: int
    """Attempts made."""
    approved: bool | dict[str, Any] | None
    """What a person said to a direct call: yes or no, or with which arguments to make it."""
    started_at: str | None
    """When the first attempt began."""
    retry_at: float | None
    """Moment (Unix time, seconds) before which the next attempt must not start."""
    result: SubtaskResult | None
    """The end; `None` as long as there is none."""
    round: int
    """Which dispatch of the thread it belongs to, from 1."""
    messages: Messages
    """What its agent was told, said, and got back from tools."""
    steps: int
    """Calls of the model its executor has made in this attempt."""
    turns: int
    """Calls of the model its executor has made in all attempts."""
    active_s: float
    """Seconds this attempt has been at work, waiting for people not counted."""
    checks: int
    """How often its outcome has been checked, in all attempts."""
    draft: Draft | None
    """What it would end with, as long as that is not checked."""
    ran: Ran | None
    """With which arguments a direct call was made, where a person changed them."""
    sources: Annotated[list[str], merge_sources]
    """Addresses that its calls read without an error."""
    pictures: list[NotedPicture]
    """Pictures that a direct call named."""
    usage: Annotated[Usage, add_usage]
    """What its calls of models used."""

"""Events: the one typed stream that every view reads.

They travel through LangGraph's `custom` stream as plain dicts, so `astream(..., stream_mode="custom")` of any graph
of ours yields them, and `openmanus-graph run --json` prints them, one a line. Each has a `type`, the `thread_id`, a
`time` (ISO 8601, UTC) and an `id` that stays the same when a suspended node repeats its beginning at a resume.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # before Python 3.12 no JSON Schema can be made of the one in `typing`

EventType = Literal[
    "run_started",
    "plan_started",
    "subtask_started",
    "subtask_progress",
    "subtask_retrying",
    "subtask_waiting",
    "subtask_finished",
    "plan_finished",
    "run_finished",
    "decided",
    "recalled",
    "plan_made",
    "plan_refused",
    "question_asked",
    "model_started",
    "model_tokens",
    "model_retrying",
    "model_finished",
    "tool_called",
    "tool_returned",
    "site_allowed",
    "subtask_verified",
    "budget_reached",
    "answered",
    "remembered",
    "warned",
    "node_started",
    "node_progress",
    "node_finished",
]
"""`run_*` frame one process's work on a thread; `plan_*` one dispatch; `subtask_*` one subtask of it; `model_*` one
call of a model, `tool_*` one call of a tool by an agent; `node_*` one node of a graph that is not ours; the rest is
what the roles decide."""

UNSTORED: frozenset[str] = frozenset({"model_tokens"})
"""Types that are streamed and not stored: `model_finished` has their text whole."""


class Usage(TypedDict):
    """Calls, tokens and cost of model calls."""

    calls: int
    """Calls made, those answered by the cache included."""
    input_tokens: int
    """Tokens of the prompts."""
    output_tokens: int
    """Tokens of the replies."""
    cached_tokens: int
    """Of the prompts' tokens, those the provider had in its own cache."""
    cost_usd: float | None
    """US dollars; `None` if a price is unknown."""
    cache_hits: int
    """Calls answered by the cache of replies, at no cost."""
    in_flight: NotRequired[int]
    """Of the calls, those that were sent and whose process ended before their reply: paid for, but in no other count;
    missing means none."""


class Event(TypedDict, total=False):
    """One thing that happened; which keys there are besides the first four depends on `type`."""

    type: EventType
    """What happened."""
    id: str
    """The same for the same happening, however often a resume repeats it."""
    thread_id: str
    """The thread it happened in."""
    time: str
    """When, ISO 8601 in UTC."""
    subtask: str
    """`subtask_*`, `tool_*`, `site_allowed`, and `model_*` within a subtask: the subtask's id."""
    text: str
    """`subtask_progress`: what it is doing; `model_tokens`: the next piece of a reply; `model_finished`: the reply;
    `answered`: the answer; `decided`, `recalled`, `subtask_verified`, `budget_reached`, `warned`: why, in words;
    `site_allowed`: the site that a person lets the request's calls be made on."""
    attempt: int
    """`subtask_started`, `*_retrying`, `plan_made`, `plan_refused`: which attempt, from 1; 0 for a plan that a person
    edited."""
    delay_s: float
    """`*_retrying`: seconds until the next attempt."""
    status: str
    """`subtask_finished`, `plan_finished`, `run_finished`, `node_finished`, `answered`: how it ended."""
    error: str | None
    """`*_finished`, `*_retrying`, `tool_returned`: what went wrong, or `None`."""
    elapsed_s: float
    """`*_finished`, `tool_returned`: seconds it took."""
    active_s: float
    """`run_started`: seconds that the request had been at work before."""
    preview: str
    """`subtask_finished`, `tool_returned`, `node_finished`: the beginning of its output."""
    question: dict[str, Any]
    """`subtask_waiting`, `question_asked`: what a person is asked, a `Question`."""
    subtasks: list[dict[str, Any]]
    """`plan_started`: id, goal, needs and what runs it, in plan order."""
    goal: str
    """`plan_started`: what the plan is for."""
    kept: list[str]
    """`plan_started`: subtasks whose committed results are kept."""
    counts: dict[str, int]
    """`plan_finished`: subtasks by status."""
    next: str
    """`run_finished`: the command that goes on, where there is one."""
    role: str
    """`model_*`: the role that calls."""
    turn: int
    """`model_*`: which call of this role in this place, from 1."""
    model: str
    """`model_*`: the model's name."""
    usage: Usage
    """`model_finished`: what the call used. `run_finished`: what the request has used so far."""
    tool: str
    """`tool_*`: the tool's name."""
    call: str
    """`tool_*`: the call's id."""
    args: dict[str, Any]
    """`tool_called`: the arguments."""
    decision: str
    """`decided`: `answer`, `plan`, `ask`, `report`, `replan` or `stop`."""
    plan: dict[str, Any]
    """`plan_made`: the plan."""
    problems: list[str]
    """`plan_refused`: what is wrong with it."""
    verified: bool | None
    """`subtask_verified`: whether the check passed; `None` when there was nothing to check by."""
    budget: str
    """`budget_reached`: which budget: `tokens`, `usd`, `wall_s` or `model_calls`."""
    node: str
    """`node_*`, and `model_tokens` of a graph that is not ours: the node, behind the names of those it is inside of."""
    data: Any
    """`node_progress`: what the node wrote to LangGraph's stream, in JSON types."""


EventSink = Callable[[Event], Awaitable[None] | None]
"""Receives each event of a run, such as the function of a plug-in; async or not."""

Emit = Callable[[Event], None]
"""Sends one event to whoever watches the run."""


def now() -> str:
    """The present moment as results and events carry it: ISO 8601 in UTC, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def seconds_between(start: str, end: str) -> float:
    """Seconds from one such moment to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()

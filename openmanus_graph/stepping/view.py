"""View: what a stepper shows of a thread, in plain dicts that a notebook, a terminal and JSON can take."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from openmanus_graph.questions import Question

Reason = Literal["ready", "step", "breakpoint", "reached", "paused", "waiting", "finished", "moved", "forked", "error"]
"""Why the stepper stands: nothing has run yet, a step is over, a breakpoint or a target was hit, `pause()` was called,
only people can go on, the run is over, the cursor moved, a fork was made, or something went wrong."""

BranchStatus = Literal["next", "running", "waiting"]
"""`next`: it stands in front of its node; `running`: the node runs; `waiting`: it asks a person."""


class PendingCall(TypedDict):
    """A call of a tool that a node is about to make."""

    tool: str
    """The tool."""
    args: dict[str, Any]
    """Its arguments; references to earlier results are resolved."""
    id: str
    """The call's id; for a direct call of a plan the subtask's."""


class Branch(TypedDict):
    """One place where the run stands or runs."""

    name: str
    """The subtask's id; empty for the graph itself."""
    node: str
    """The node."""
    namespace: str
    """The graph that the node is in; empty for the outermost."""
    status: BranchStatus
    """What it does."""
    call: NotRequired[PendingCall]
    """For a tool's node: the call."""
    state: dict[str, Any]
    """What the node is given."""


class Row(TypedDict):
    """One step, done, running or next."""

    number: int | None
    """The point it led to, as in `history`; `None` as long as it has not."""
    node: str
    """The node; several that ran side by side are joined by commas."""
    subtask: str
    """The subtask; empty for the graph itself."""
    status: str
    """`done`, `running`, `next` or `waiting`; for the last step of a subtask, how the subtask ended."""
    attempt: int
    """Which attempt of the subtask, from 1; 0 outside of subtasks."""
    seconds: float | None
    """Seconds that the node ran, waiting at the gate not counted; `None` if this stepper did not run it."""
    tokens: int
    """Tokens that its calls of models used."""
    cost_usd: float | None
    """What they cost, in US dollars; `None` if a price is unknown."""
    what: str
    """What it did, in words."""


class HistoryItem(TypedDict):
    """One point of the thread."""

    number: int
    """Its place, from 1; `goto(number)` moves there."""
    id: str
    """The checkpoint's id."""
    namespace: str
    """The graph it belongs to; empty for the outermost."""
    parent: str | None
    """The id of the checkpoint before it in the same namespace."""
    subtask: str | None
    """The subtask it belongs to."""
    step: int
    """LangGraph's count in its namespace; -1 is the input."""
    source: str
    """What made it: `input`, `loop` (a step), `update` or `fork` (an edit)."""
    nodes: list[str]
    """The nodes whose step led to it."""
    what: str
    """What that step changed, in words."""
    asks: str
    """What a person is asked there, or was."""
    time: str
    """When it was made, ISO 8601."""
    tokens: int
    """Tokens used on the way to it."""
    cost_usd: float | None
    """Their cost."""
    files: list[str]
    """Files that the step changed."""
    forks: list[str]
    """Threads that were forked off there."""
    current: bool
    """Whether the cursor is on it."""


class ValueChange(TypedDict):
    """One thing that differs."""

    name: str
    """A channel of the state, a subtask, or `subtask.channel` of a subtask's own state."""
    kind: Literal["added", "removed", "changed"]
    before: Any
    """What it was, in JSON types."""
    after: Any
    """What it became."""
    lines: NotRequired[str]
    """For a text: what changed, as a unified diff."""


class Difference(TypedDict):
    """What changed since the last stop."""

    state: list[ValueChange]
    """Values of the graph's state."""
    results: list[ValueChange]
    """Results of subtasks."""
    messages: list[ValueChange]
    """Messages that were added, of the graph (`messages`) or of a subtask (`s1.messages`)."""
    branches: list[ValueChange]
    """Other values of the states of subtasks, as `s1.channel`."""


class Problem(TypedDict):
    """What went wrong."""

    message: str
    """In a sentence."""
    hint: str
    """What to do about it; may be empty."""
    node: str
    """The node that failed; empty if none did."""
    subtask: str
    """The subtask it is in; empty for the graph itself."""
    can: list[Literal["rerun", "edit"]]
    """`rerun`: `rerun()` tries the step again; `edit`: `edit(...)` changes its input in a fork first."""


class Stop(TypedDict):
    """Where a verb ended."""

    reason: Reason
    """Why it stands."""
    text: str
    """That in a line."""
    thread_id: str
    """The thread; another one after `edit`."""
    branch: str | None
    """The branch the verb was about; `None` if it was about none."""
    node: str
    """The node it stands before, or that ran; empty if there is none."""
    standing: list[str]
    """The branches that stand, as `subtask node`, in the order in which `step()` takes them."""
    questions: list[Question]
    """Open questions."""
    error: Problem | None
    """What went wrong, if something did."""

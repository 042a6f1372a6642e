"""LangGraph internals: keys, channel names and records that LangGraph does not document, each used under one name.

Read in langgraph 1.2.22 and langgraph-checkpoint 4.3; `tests/repository/test_langgraph_internals.py` compares each with
LangGraph's own and fails when one has moved.
"""

from __future__ import annotations

import re

from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot,  # pyright: ignore[reportPrivateUsage] - the record itself is private
)

DeltaSnapshot = _DeltaSnapshot
"""A whole copy of a `DeltaChannel`'s value among its increments; `.value` is the list."""

# `configurable`, from langgraph/_internal/_constants.py.
TASK_ID_KEY = "__pregel_task_id"
"""Id of the task that runs; absent outside of nodes, so it tells a nested graph from a root."""
CHECKPOINTER_KEY = "__pregel_checkpointer"
"""The saver that graphs inside a node use."""
SCRATCHPAD_KEY = "__pregel_scratchpad"
"""Counters of a node's calls and interrupts; `.resume` is the list of answers that it was given."""
RUNTIME_KEY = "__pregel_runtime"
"""The node's `Runtime`."""
CHECKPOINT_MAP_KEY = "checkpoint_map"
"""Ids of the checkpoints that are worked on, by namespace, the innermost last."""

LAST_ID_TIME = "_last_v6_timestamp"
"""Variable of the module `langgraph.checkpoint.base.id`: the time in the newest id, from which it counts on."""

# Metadata of checkpoints and of a node's config.
NAMESPACE_KEY = "langgraph_checkpoint_ns"
"""In a node's metadata: the namespace that a graph inside of it would get."""
DELTA_COUNTERS_KEY = "counters_since_delta_snapshot"
"""In a checkpoint's metadata: its delta channels, each with updates and steps since the last whole copy."""

# Channels, from langgraph/_internal/_constants.py and langgraph/graph/state.py.
START_CHANNEL = "__start__"
"""An input that has not been taken yet."""
TO_NODE = "branch:to:"
"""What the names of channels begin with that start a node."""
JOIN = "join:"
"""What the names of channels begin with in which nodes wait for one another."""
SENDS = "__pregel_tasks"
"""`Send`s that are due."""
INTERRUPT = "__interrupt__"
"""Writes of a task: what it asks."""
RESUME = "__resume__"
"""Writes of a task: the answers that it was given."""
ERROR = "__error__"
"""Writes of a task: what it raised."""
RETURN = "__return__"
"""Writes of a `@task`: what it returned."""
NULL_TASK = "00000000-0000-0000-0000-000000000000"
"""The task under which writes of a caller are stored, such as an edit of the state."""

# Paths of tasks, from langgraph/pregel/_algo.py: `~PULL, NODE`, `~PUSH, INDEX, BOOL` or `~PUSH, CALLER, INDEX, BOOL`.
_PULL = re.compile(r"~__pregel_pull, (?P<node>.+)")
_SEND = re.compile(r"~__pregel_push, \d+, \d+")
_PUSH = "~__pregel_push, "
_CALL = re.compile(r"~__pregel_push, (?P<caller>.+), (?P<index>\d+), \d+")


def is_inner(channel: object) -> bool:
    """Whether a channel is LangGraph's own, such as an edge."""
    return isinstance(channel, str) and channel.startswith((TO_NODE, "__"))


def pulled_node(path: str) -> str | None:
    """The node of a task that an edge started, from the task's path; `None` for any other task."""
    found = _PULL.fullmatch(path)
    return None if found is None else found["node"]


def is_send(path: str) -> bool:
    """Whether a task's path is that of a `Send`."""
    return _SEND.fullmatch(path) is not None


def is_pushed(path: str) -> bool:
    """Whether a task's path is that of a `Send` or of a call of a `@task`."""
    return path.startswith(_PUSH)


def call_in(path: str) -> tuple[str, int] | None:
    """The caller's path and the call's index in it, of a call of a `@task`; `None` for any other task's path."""
    found = _CALL.fullmatch(path)
    return None if found is None else (found["caller"], int(found["index"]))

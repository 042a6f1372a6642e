"""LangGraph internals: keys, channel names and records that LangGraph does not document, each used under one name.

Read in langgraph 1.2.22 and langgraph-checkpoint 4.3; `tests/repository/test_langgraph_internals.py` compares each with
LangGraph's own and fails when one has moved.
"""

# LangGraph ships no types for what is internal.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import re
import uuid
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_METHODS, SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.types import (
    _DeltaSnapshot,  # pyright: ignore[reportPrivateUsage] - the record itself is private
)
from langgraph.store.base import BaseStore

DeltaSnapshot = _DeltaSnapshot
"""A whole copy of a `DeltaChannel`'s value among its increments; `.value` is the list."""
CHILD_CONFIG = var_child_runnable_config
"""The config that what is called next in this context gets, if it is given none."""
SAFE_TYPES = SAFE_MSGPACK_TYPES
"""Module and name of what LangGraph's strict serializer makes of stored values."""
SAFE_METHODS = SAFE_MSGPACK_METHODS
"""Module, name and method of what it calls."""

# `configurable`, from langgraph/_internal/_constants.py.
TASK_ID_KEY = "__pregel_task_id"
"""Id of the task that runs; absent outside of nodes, so it tells a nested graph from a root."""
CHECKPOINTER_KEY = "__pregel_checkpointer"
"""The saver that graphs inside a node use."""
SCRATCHPAD_KEY = "__pregel_scratchpad"
"""Counters of a node's calls and interrupts; `.resume` is the list of answers that it was given."""
RESUME_MAP_KEY = "__pregel_resume_map"
"""The answers that a run was given, by the ids of their questions."""
SEND_KEY = "__pregel_send"
"""A function that takes a node's writes."""
RUNTIME_KEY = "__pregel_runtime"
"""The node's `Runtime`."""
CHECKPOINT_MAP_KEY = "checkpoint_map"
"""Ids of the checkpoints that are worked on, by namespace, the innermost last."""

PRIVATE = "__pregel_"
"""What keys begin with that LangGraph keeps out of checkpoints and of the configs that its streams hand out."""

LAST_ID_TIME = "_last_v6_timestamp"
"""Variable of the module `langgraph.checkpoint.base.id`: the time in the newest id, from which it counts on."""

NAMESPACE_OF_TASK = "checkpoint_ns"
"""The namespace of the task that runs; ids of questions are made of it."""

# Methods of `ToolNode`, from langgraph/prebuilt/tool_node.py.
CALLS_OF = "_parse_input"
"""Gives the calls of tools in an input, first."""
RUN_CALL = "_run_one"
"""Makes one of the calls, given with it the kind of input and the tool's runtime."""
ARUN_CALL = "_arun_one"
"""The same, asynchronously."""

SAVED = "_put_checkpoint_fut"
"""Attribute of a graph's loop: its newest checkpoint, which `durability="sync"` awaits after each step."""

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
_SEND = re.compile(r"~__pregel_push, (?P<index>\d+), \d+")
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
    return send_index(path) is not None


def send_index(path: str) -> int | None:
    """Which of the `Send`s that were due a task's path is that of; `None` for any other task's path."""
    found = _SEND.fullmatch(path)
    return None if found is None else int(found["index"])


def is_pushed(path: str) -> bool:
    """Whether a task's path is that of a `Send` or of a call of a `@task`."""
    return path.startswith(_PUSH)


def call_in(path: str) -> tuple[str, int] | None:
    """The caller's path and the call's index in it, of a call of a `@task`; `None` for any other task's path."""
    found = _CALL.fullmatch(path)
    return None if found is None else (found["caller"], int(found["index"]))


def asks_for_more(node: Any, tool: str) -> bool:
    """Whether a tool of a `ToolNode` is given more than its arguments, from langgraph/prebuilt/tool_node.py.

    Args:
        node: The node.
        tool: The tool's name.
    """
    found = node._injected_args[tool]
    return bool(found.state or found.store or found.runtime or found.all_injected_keys)


def configurable_in(*configs: RunnableConfig | None) -> dict[str, Any]:
    """The `configurable` that LangGraph runs a graph with: of the configs, and of the node it is called in, if any.

    Args:
        configs: The graph's own config and that of the call; later ones win.
    """
    from langgraph._internal._config import ensure_config  # imports LangGraph's runtime, which help texts do not need

    return ensure_config(*configs).get("configurable") or {}


@dataclass(frozen=True)
class Inside:
    """What a graph finds that a node runs as if in a call of a `@task`."""

    config: RunnableConfig
    """The config of what runs in it."""
    around: RunnableConfig
    """That of the checkpoint that the node runs on, for what is written after it."""
    task_id: str
    """Under which that is written; the same whenever the node runs on this checkpoint."""
    path: str
    """Its path, as LangGraph writes that of a call."""


def checkpoint_around(config: RunnableConfig) -> tuple[str, str]:
    """The namespace and the id of the checkpoint that a node runs on, from its config."""
    configurable = config.get("configurable") or {}
    above = str(configurable[NAMESPACE_OF_TASK]).rpartition("|")[0]
    return above, str(configurable[CHECKPOINT_MAP_KEY][above])


def inside_of(config: RunnableConfig, name: str, index: int) -> Inside:
    """What a graph finds in a call by a node, from `prepare_push_task_functional` in langgraph/pregel/_algo.py.

    Args:
        config: The node's.
        name: The call's name, which the graph has in its namespace.
        index: Which call of the node it is, from 0.
    """
    from langgraph._internal._constants import PUSH
    from langgraph.pregel._algo import task_path_str  # pyright: ignore[reportUnknownVariableType]

    configurable = config.get("configurable") or {}
    metadata = config.get("metadata") or {}
    node_namespace = str(configurable[NAMESPACE_OF_TASK])
    checkpoints: dict[str, str] = configurable[CHECKPOINT_MAP_KEY]
    above, made_on = checkpoint_around(config)
    task_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{made_on} {node_namespace} {name}"))
    namespace = f"{node_namespace}|{name}:{task_id}"
    path = task_path_str((PUSH, tuple(metadata["langgraph_path"]), index, True))
    inner = {
        **configurable,
        TASK_ID_KEY: task_id,
        SCRATCHPAD_KEY: _counting_anew(configurable[SCRATCHPAD_KEY]),
        CHECKPOINT_MAP_KEY: {**checkpoints, node_namespace: made_on},
        NAMESPACE_OF_TASK: namespace,
        "checkpoint_id": None,
    }
    around = {**configurable, NAMESPACE_OF_TASK: above, "checkpoint_id": made_on}
    return Inside(
        {**config, "metadata": {**metadata, NAMESPACE_KEY: namespace}, "configurable": inner, "run_name": name},
        {"configurable": around},
        task_id,
        path,
    )


def _counting_anew(scratchpad: Any) -> Any:
    """A scratchpad as a new task has it, whose caller may have been given an answer for whoever asks."""
    return replace(
        scratchpad, call_counter=_Counter(), interrupt_counter=_Counter(), subgraph_counter=_Counter(), resume=[]
    )


class _Counter:
    """Counts from 0."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self) -> int:
        self._next += 1
        return self._next - 1


def with_store(config: RunnableConfig, store: BaseStore | None) -> RunnableConfig:
    """The config of a node with another store for a graph that the node runs, which would get the node's own.

    Args:
        config: The node's.
        store: The store; `None` leaves the node's.
    """
    configurable = config.get("configurable") or {}
    runtime = configurable.get(RUNTIME_KEY)
    if store is None or runtime is None:
        return config
    return {**config, "configurable": {**configurable, RUNTIME_KEY: runtime.override(store=store)}}


def question_id(namespace: str, answers: int) -> str:
    """The id of what a task asks.

    Args:
        namespace: The task's, which a graph inside of it would get.
        answers: How many answers the task has been given before.
    """
    from langgraph.types import _interrupt_id  # pyright: ignore[reportPrivateUsage] - no public name makes ids

    return _interrupt_id(namespace, answers)


def is_question_id(key: object) -> bool:
    """Whether a key of `Command(resume={…})` is the id of a question."""
    return isinstance(key, str) and len(key) == 32 and all(letter in "0123456789abcdef" for letter in key)


class _NothingSaved:
    """Stands in for the checkpoint of a graph that makes none."""

    def __await__(self) -> Generator[Any]:
        yield from ()

    def result(self) -> None:
        """Nothing to wait for."""


def let_graphs_without_checkpoints_run() -> None:
    """Let `durability="sync"` run graphs that are compiled with `checkpointer=False` inside others.

    LangGraph awaits the newest checkpoint of every graph then, also of one that never makes any, and fails because it
    has none. The attribute of the class is what it finds where the loop itself has none.
    """
    from langgraph.pregel._loop import PregelLoop

    if not hasattr(PregelLoop, SAVED):
        setattr(PregelLoop, SAVED, _NothingSaved())

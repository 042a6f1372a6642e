"""Values: the state at a point, read without the graph that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Overwrite

from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import stand_ins
from openmanus_graph.langgraph_internals import (
    DELTA_COUNTERS_KEY,
    SENDS,
    START_CHANNEL,
    TO_NODE,
    DeltaSnapshot,
    is_inner,
)
from openmanus_graph.state import appended


def delta_channels(stored: CheckpointTuple) -> Mapping[str, Any]:
    """The growing lists of a checkpoint's graph, each with its updates and steps since the last whole copy."""
    return cast("Mapping[str, Any]", stored.metadata.get(DELTA_COUNTERS_KEY) or {})


def config_of(point: Point) -> Any:
    """The config that names a point to LangGraph."""
    named = {"thread_id": point.thread_id, "checkpoint_ns": point.namespace, "checkpoint_id": point.id}
    return {"configurable": named}


async def values_at(saver: ThreadSaver, point: Point) -> dict[str, Any]:
    """The state at a point; LangGraph's own channels are left out.

    Growing lists are put together from their writes, as our own graphs' messages are. An input that has not been taken
    is given as it is.
    """
    config = config_of(point)
    with stand_ins():
        stored = await saver.aget_tuple(config)
    if stored is None:
        return {}
    held: dict[str, Any] = stored.checkpoint["channel_values"]
    if isinstance(held.get(START_CHANNEL), dict):
        return cast("dict[str, Any]", held[START_CHANNEL])
    values = {
        key: value.value if isinstance(value, DeltaSnapshot) else value
        for key, value in held.items()
        if not is_inner(key)
    }
    growing = [
        key for key in delta_channels(stored) if key not in values and key in stored.checkpoint["channel_versions"]
    ]
    if growing:
        with stand_ins():
            history = await saver.aget_delta_channel_history(config=config, channels=growing)
        values |= {
            key: _put_together(cast("Mapping[str, Any]", channel_history)) for key, channel_history in history.items()
        }
    return values


def _put_together(history: Mapping[str, Any]) -> list[Any]:
    seed = history.get("seed")
    value: list[Any] = list(seed.value if isinstance(seed, DeltaSnapshot) else seed or [])
    for _, _, write in history["writes"]:
        value = list(write.value or []) if isinstance(write, Overwrite) else appended(value, [write])
    return value


async def next_nodes(saver: ThreadSaver, point: Point) -> list[str]:
    """The nodes that run after a point, as far as its edges say it."""
    config = config_of(point)
    with stand_ins():
        stored = await saver.aget_tuple(config)
    if stored is None:
        return []
    held: dict[str, Any] = stored.checkpoint["channel_values"]
    if START_CHANNEL in held:
        return [START_CHANNEL]
    sends = cast("list[Any]", held.get(SENDS) or [])
    edges = [key.removeprefix(TO_NODE) for key in held if key.startswith(TO_NODE)]
    return [*edges, *(str(getattr(send, "node", send)) for send in sends)]

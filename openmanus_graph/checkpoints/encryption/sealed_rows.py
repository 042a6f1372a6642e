"""Sealed rows: what of each column is sealed, and what stays plain because SQL or a list needs it.

Every write of a thread's row goes through one of these; reading needs none of them, since a connection opens what is
sealed wherever a query finds it (`opening.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from openmanus_graph.langgraph_internals import DELTA_COUNTERS_KEY
from openmanus_graph.values.storable_json import storable

SEALED = "openmanus_graph_sealed"
"""The key in a checkpoint's metadata under which all of it stands that is sealed; it is there only if a key was set."""
PLAIN_METADATA = frozenset(
    {"source", "step", "parents", "run_id", "thread_id", "checkpoint_ns", "checkpoint_id", "pruned", DELTA_COUNTERS_KEY}
)
"""What of a checkpoint's metadata queries look at."""
PLAIN_EVENT = frozenset(
    {"type", "id", "thread_id", "time", "subtask", "status", "role", "model", "usage", "tool", "call", "decision"}
    | {"counts", "kept", "budget", "node"}
)
"""What of an event says where and how it happened; numbers stay as well."""


class Sealer(Protocol):
    """Seals single values; a `Cipher` is one."""

    def text(self, value: str) -> str:
        """A text, sealed."""
        ...

    def json(self, value: Any) -> str:
        """A value in JSON types, sealed as one string."""
        ...


def sealed_value(sealer: Sealer, value: Any) -> Any:
    """One value: texts, and whole lists and objects, are sealed; numbers, `True` and `None` stay, and what is empty."""
    if isinstance(value, str):
        return sealer.text(value) if value else value
    if isinstance(value, dict | list | tuple) and value:
        return sealer.json(cast("Any", value))
    return cast("Any", value)


def sealed_texts(sealer: Sealer, value: Any) -> Any:
    """A value whose texts are sealed one by one: its keys stay, so that SQL can take some of it out."""
    if isinstance(value, Mapping):
        return {key: sealed_texts(sealer, item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [sealed_texts(sealer, item) for item in cast("list[Any]", value)]
    return sealed_value(sealer, value)


def sealed_whole(sealer: Sealer, value: Any) -> Any:
    """A column of JSON, sealed as a whole."""
    return None if value is None else sealer.json(value)


def sealed_checkpoint(sealer: Sealer, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's record: the texts that stand in it are sealed; versions, names of channels and times stay."""
    values = cast("Mapping[str, Any]", checkpoint["channel_values"])
    return {**checkpoint, "channel_values": {name: sealed_value(sealer, value) for name, value in values.items()}}


def sealed_metadata(sealer: Sealer, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's metadata: all but what queries look at, sealed together."""
    plain = {key: storable(value) for key, value in metadata.items() if key in PLAIN_METADATA}
    rest = {key: value for key, value in metadata.items() if key not in PLAIN_METADATA and key != SEALED}
    before: Any = metadata.get(SEALED)
    return {**plain, SEALED: sealer.json({**before, **rest} if isinstance(before, dict) else before or rest)}


def sealed_event(sealer: Sealer, event: Mapping[str, Any]) -> dict[str, Any]:
    """An event: what it says is sealed, field by field, since views leave some out."""
    return {key: value if key in PLAIN_EVENT else sealed_value(sealer, value) for key, value in event.items()}


def sealed_item(sealer: Sealer, value: Mapping[str, Any]) -> dict[str, Any]:
    """An item of the store, or a record of a graph: its values are sealed, the names of its fields stay."""
    return {key: sealed_value(sealer, item) for key, item in value.items()}

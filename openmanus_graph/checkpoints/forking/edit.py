"""Edit: a change of the state at a point, made in a fork as a checkpoint of its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.base.id import uuid6
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.checked_write import fits_jsonb
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_checkpoint, sealed_metadata
from openmanus_graph.checkpoints.history.checkpoint_ref import Point
from openmanus_graph.checkpoints.history.values import config_of, delta_channels, values_at
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.serializer import stand_ins
from openmanus_graph.errors import UsageError
from openmanus_graph.langgraph_internals import DELTA_COUNTERS_KEY, START_CHANNEL, TO_NODE, DeltaSnapshot


@dataclass(frozen=True)
class StateEdit:
    """One change of the state: a path gets a value."""

    path: tuple[str, ...]
    """A channel of the state, then keys and positions inside of it."""
    value: Any
    """What is there afterwards."""


def read_edit(text: str) -> tuple[str, Any]:
    """Path and value of `path=value`: the value is taken for JSON where it is JSON, else for text.

    Raises:
        UsageError: If there is no `=`, or no path before it.
    """
    path, separator, value = text.partition("=")
    if not separator or not all(path.strip().split(".")):
        raise UsageError(f"{text!r} is no edit.", hint="It looks like plan.goal=Something or answer=42.")
    try:
        return path.strip(), json.loads(value)
    except ValueError:
        return path.strip(), value


@dataclass(frozen=True)
class NewCheckpoint:
    """A checkpoint that follows the point of a fork."""

    namespace: str
    parent: str
    checkpoint: dict[str, Any]
    metadata: dict[str, Any]
    blobs: list[tuple[str, str, str, bytes]]
    """Channel, version, type and bytes."""

    async def put(self, connection: AsyncConnection[DictRow], thread_id: str) -> None:
        """Write it."""
        await connection.execute(
            "SELECT put_checkpoint(%s, NULL, %s, %s, %s, %s, %s, %s::text[], %s::text[], %s::text[], %s::bytea[])",
            (
                thread_id,
                self.namespace,
                self.checkpoint["id"],
                self.parent,
                Jsonb(self.checkpoint),
                Jsonb(self.metadata),
                *([blob[index] for blob in self.blobs] for index in range(4)),
            ),
        )


@dataclass(frozen=True)
class NewInput:
    """An input that had not been taken at the point of a fork, as the fork takes it."""

    namespace: str
    version: str
    type: str
    blob: bytes

    async def put(self, connection: AsyncConnection[DictRow], thread_id: str) -> None:
        """Write it in place of the source's."""
        await connection.execute(
            "UPDATE checkpoint_blobs SET type = %s, blob = %s"
            " WHERE thread_id = %s AND checkpoint_ns = %s AND channel = %s AND version = %s",
            (self.type, self.blob, thread_id, self.namespace, START_CHANNEL, self.version),
        )


async def edited(
    saver: ThreadSaver, point: Point, edits: Sequence[StateEdit], folder: str, *, goto: str | None = None
) -> NewCheckpoint | NewInput | None:
    """The checkpoint or input that a fork at a point has and its source has not; `None` if there is none.

    An edit makes a checkpoint that comes of the point, and what was to run there runs after it. An input that has not
    been taken yet is changed itself: it also names its thread's folder.

    Args:
        saver: The store.
        point: Where the fork begins.
        edits: What to change.
        folder: The new thread's folder.
        goto: The node to go on with instead of those that were to run; `None` leaves them.

    Raises:
        UsageError: If an edit names what the state does not have.
    """
    with stand_ins():
        stored = await saver.aget_tuple(config_of(point))
    if stored is None:
        raise UsageError(
            f"The point {point.address!r} is gone.", hint=f"See what there is: {shell_commands.thread_history()}"
        )
    given = stored.checkpoint["channel_values"].get(START_CHANNEL)
    if isinstance(given, dict):
        fields = copy.deepcopy(cast("dict[str, Any]", given))
        if "workspace" in fields and not point.namespace:
            fields["workspace"] = folder
        for edit in edits:
            _apply(fields, edit, known={edit.path[0]})
        version = str(stored.checkpoint["channel_versions"][START_CHANNEL])
        return NewInput(point.namespace, version, *saver.serde.dumps_typed(fields)) if fields != given else None
    if not edits and goto is None:
        return None
    values = copy.deepcopy(await values_at(saver, point))
    for edit in edits:
        _apply(values, edit, known=set(stored.checkpoint["channel_versions"]))
    return _made(saver, point, stored, {edit.path[0]: values[edit.path[0]] for edit in edits}, goto)


def _apply(values: dict[str, Any], edit: StateEdit, known: set[str]) -> None:
    name = edit.path[0]
    if name not in values and name not in known:
        had = ", ".join(sorted(values)) or "nothing"
        raise UsageError(f"The state at this point has no {name!r}.", hint=f"It has: {had}.")
    at: Any = values
    for depth, part in enumerate(edit.path):
        last = depth == len(edit.path) - 1
        try:
            if isinstance(at, list):
                place = int(part)
                if last:
                    at[place] = edit.value
                else:
                    at = cast("list[Any]", at)[place]
            elif isinstance(at, dict):
                if last:
                    at[part] = edit.value
                else:
                    at = cast("dict[str, Any]", at)[part]
            else:
                raise KeyError(part)
        except (KeyError, IndexError, ValueError):
            where = ".".join(edit.path[: depth + 1])
            raise UsageError(
                f"The state at this point has no {where!r}.",
                hint=f"See what it has: {shell_commands.show_thread('THREAD@POINT')}",
            ) from None


def _made(
    saver: ThreadSaver, point: Point, stored: CheckpointTuple, changed: dict[str, Any], goto: str | None
) -> NewCheckpoint:
    old: Any = stored.checkpoint
    versions = dict(old["channel_versions"])
    growing = delta_channels(stored)
    blobs: list[tuple[str, str, str, bytes]] = []
    inline = {key: value for key, value in old["channel_values"].items() if fits_jsonb(value)}
    inline |= {key: True for key, value in old["channel_values"].items() if isinstance(value, DeltaSnapshot)}
    seen = {node: dict(own) for node, own in old["versions_seen"].items()}
    for channel, value in changed.items():
        version = saver.get_next_version(versions.get(channel), None)
        was, versions[channel] = versions.get(channel), version
        for known in seen.values():  # whoever has seen the value does not run again for the edit
            if known.get(channel) == was:
                known[channel] = version
        inline.pop(channel, None)
        if channel in growing:  # such as messages: a whole copy, which ends the walk through earlier writes
            inline[channel] = True
            blobs.append((channel, str(version), *saver.serde.dumps_typed(DeltaSnapshot(value))))
        elif fits_jsonb(value):
            inline[channel] = value
        else:
            blobs.append((channel, str(version), *saver.serde.dumps_typed(value)))
    if goto is not None:
        inline = {key: value for key, value in inline.items() if not key.startswith(TO_NODE)}
        inline[TO_NODE + goto] = None
        versions[TO_NODE + goto] = saver.get_next_version(versions.get(TO_NODE + goto), None)
    checkpoint = {
        **old,
        "id": str(uuid6(clock_seq=point.step)),
        "ts": datetime.now(UTC).isoformat(),
        "channel_values": inline,
        "channel_versions": versions,
        "versions_seen": seen,
        "updated_channels": None,  # so that every edge is looked at, not only those that an edit wrote
    }
    metadata: dict[str, Any] = {"step": point.step + 1, "source": "update", "parents": dict(point.parents)}
    if growing:
        metadata[DELTA_COUNTERS_KEY] = {
            channel: [0, 0] if channel in changed else list(count) for channel, count in growing.items()
        }
    if saver.cipher is not None:
        checkpoint, metadata = sealed_checkpoint(saver.cipher, checkpoint), sealed_metadata(saver.cipher, metadata)
    return NewCheckpoint(point.namespace, point.id, checkpoint, metadata, blobs)

"""Step rows: what LangGraph gives a saver of a step, as the rows that are stored of it; they are the base saver's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import WRITES_IDX_MAP, ChannelVersions, Checkpoint

from openmanus_graph.checkpoints.checked_write import CheckedWrite
from openmanus_graph.checkpoints.encryption.sealed_rows import sealed_checkpoint, sealed_metadata
from openmanus_graph.checkpoints.write_queue import Write
from openmanus_graph.values.storable_json import plain_json, storable_json


def checkpoint_write(
    checked: CheckedWrite,
    configurable: Mapping[str, Any],
    checkpoint: Checkpoint,
    metadata: Mapping[str, Any],
    versions: ChannelVersions,
) -> Write:
    """The rows of a checkpoint.

    Args:
        checked: The write, which looks at each value.
        configurable: Where it belongs: `checkpoint_ns`, and the parent's `checkpoint_id`, if any.
        checkpoint: The checkpoint.
        metadata: Its metadata.
        versions: The new version of each channel that has changed.

    Raises:
        UnstorableError: If a value cannot be stored.
    """
    namespace = str(configurable["checkpoint_ns"])
    inline, beside = checked.split(checkpoint["channel_values"])
    place = {"ns": namespace, "id": checkpoint["id"], "parent": configurable.get("checkpoint_id")}
    record: dict[str, Any] = {**checkpoint, "channel_values": inline}
    if checked.cipher is not None:
        record, metadata = sealed_checkpoint(checked.cipher, record), sealed_metadata(checked.cipher, metadata)
    # The values have been looked at, so they are exactly themselves; metadata may hold what JSON does not.
    exactly, anything = json.dumps(record), (plain_json if checked.cipher is None else storable_json)(metadata)
    row = f'{json.dumps(place)[:-1]}, "checkpoint": {exactly}, "metadata": {anything}}}'
    write = Write(("checkpoint", namespace, checkpoint["id"]), "checkpoints", row)
    for channel, version in versions.items():
        if channel in beside:
            kind, blob = checked.stored(channel, beside[channel])
            write.values.append({"ns": namespace, "channel": channel, "version": str(version), "type": kind})
            write.blobs.append(blob)
    return write


def task_write(
    checked: CheckedWrite,
    configurable: Mapping[str, Any],
    writes: Sequence[tuple[str, Any]],
    task_id: str,
    task_path: str,
) -> Write:
    """The rows of a task's results; those of errors and interrupts replace earlier ones.

    Args:
        checked: The write, which looks at each value.
        configurable: Where it belongs: `checkpoint_ns` and `checkpoint_id`.
        writes: Channels and values.
        task_id: LangGraph's id of the task.
        task_path: Its path.

    Raises:
        UnstorableError: If a value cannot be stored.
    """
    place = {
        "ns": str(configurable["checkpoint_ns"]),
        "id": str(configurable["checkpoint_id"]),
        "task": task_id,
        "path": task_path,
    }
    replace = all(channel in WRITES_IDX_MAP for channel, _ in writes)
    write = Write(("task", *place.values()), "replacing" if replace else "writes")
    for index, (channel, value) in enumerate(writes):
        kind, blob = checked.stored(channel, value)
        write.values.append({**place, "idx": WRITES_IDX_MAP.get(channel, index), "channel": channel, "type": kind})
        write.blobs.append(blob)
    return write

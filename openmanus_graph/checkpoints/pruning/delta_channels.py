"""Delta channels: keep lists that are stored as increments readable after their older checkpoints are pruned.

LangGraph rebuilds such a list (a `DeltaChannel`) by walking from a checkpoint to its ancestors, up to one that holds
a snapshot, and applying the writes on the way. Where the ancestors of a kept checkpoint go, its parent stays as a
stub: it has the snapshot and all those writes in their order, and nothing else. The walk then reads the same list of
writes in one step, whatever the channel's reducer is. Stubs are no points to go back to, so lists leave them out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

STUB = "pruned"
"""The key in the metadata of a checkpoint that is only a stub."""


@dataclass(frozen=True)
class CheckpointLink:
    """One checkpoint of a namespace, as far as pruning goes."""

    parent: str | None
    """The checkpoint before it."""
    stub: bool
    """Whether it is only a stub."""
    growing: Collection[str]
    """Growing lists that have a value here of which the checkpoint itself holds nothing."""
    parents: Mapping[str, str] = field(default_factory=dict[str, str])
    """The checkpoints, by namespace, from which the graphs around it called it."""
    round: int = 0
    """How many dispatches had ended, in the root namespace."""


@dataclass(frozen=True)
class PruneCut:
    """A cut in a namespace: ancestors of kept checkpoints that are pruned."""

    gone: tuple[str, ...]
    """The parent of a kept checkpoint and its ancestors that go, newest first."""
    anchor: str | None
    """The nearest ancestor that is kept."""
    growing: tuple[str, ...]
    """Growing lists that are read across the cut."""

    @property
    def first(self) -> str:
        """The parent of the kept checkpoints."""
        return self.gone[0]


def cuts_of(points: Mapping[str, CheckpointLink], kept: Collection[str]) -> list[PruneCut]:
    """The cuts of a namespace when only some of its points are kept.

    Args:
        points: All points of the namespace by id.
        kept: The ids of those that stay.
    """
    growing: dict[str, set[str]] = {}
    for name in kept:
        first = points[name].parent
        if first is not None and first in points and first not in kept:
            growing.setdefault(first, set()).update(points[name].growing)
    cuts: list[PruneCut] = []
    for first, channels in growing.items():
        gone: list[str] = []
        above: str | None = first
        while above is not None and above in points and above not in kept:
            gone.append(above)
            above = points[above].parent
        anchor = above if above in kept else None
        if not (points[first].stub and len(gone) == 1):  # else it is what it must be
            cuts.append(PruneCut(tuple(gone), anchor, tuple(sorted(channels))))
    return cuts


async def carry(
    connection: AsyncConnection[DictRow],
    thread_id: str,
    namespace: str,
    cuts: Sequence[PruneCut],
    token: str,
    named: Collection[str] = (),
) -> set[str]:
    """Carry the writes that are read across cuts into stubs, and link kept points where there is nothing to carry.

    Args:
        connection: A connection, in a transaction that has the thread alone.
        thread_id: The thread.
        namespace: The namespace.
        cuts: All its cuts.
        token: How the task ids of the carried writes begin.
        named: Checkpoints that something else names, so that a stub must stay for them.

    Returns:
        The ids of the stubs.
    """
    place: dict[str, Any] = {"thread": thread_id, "ns": namespace, "token": token}
    # Everything is read before anything is changed: one cut may lie in the ancestors of another.
    stored = [await _stored(connection, place, at) for at in cuts]
    stubs: dict[str, dict[str, Any]] = {}
    for at, rows in zip(cuts, stored, strict=True):
        fields = [await _gather(connection, {**place, "first": at.first}, name, rows[name]) for name in at.growing]
        if any(has_values for has_values, _, _ in fields) or not set(named).isdisjoint(at.gone):
            stubs[at.first] = {
                "channel_values": {key: value for _, values, _ in fields for key, value in values.items()},
                "channel_versions": {key: value for _, _, versions in fields for key, value in versions.items()},
                "versions_seen": {},
            }
    for at in cuts:
        here = {**place, "first": at.first, "anchor": at.anchor}
        if at.first in stubs:
            await connection.execute(_STUB, {**here, "fields": Jsonb(stubs[at.first]), "mark": Jsonb({STUB: True})})
        else:
            await connection.execute(_LINK, here)
    return set(stubs)


async def _stored(
    connection: AsyncConnection[DictRow], place: Mapping[str, Any], at: PruneCut
) -> dict[str, list[DictRow]]:
    """For each list and each point that goes, newest first: its version, and whether a value is there."""
    rows: dict[str, list[DictRow]] = {channel: [] for channel in at.growing}
    if rows:
        wanted = {**place, "ids": list(at.gone), "channels": list(at.growing)}
        for row in await (await connection.execute(_STORED, wanted)).fetchall():
            rows[str(row["channel"])].append(row)
    return rows


async def _gather(
    connection: AsyncConnection[DictRow], place: Mapping[str, Any], channel: str, rows: Sequence[DictRow]
) -> tuple[bool, dict[str, Any], dict[str, Any]]:
    """Copy one list's snapshot and writes to the stub; whether there are any, and what the stub says of the list."""
    chain: list[str] = []
    seed: DictRow | None = None
    for row in rows:
        chain.append(str(row["id"]))
        if row["blob"] or row["inline"] is not None:
            seed = row
            break
    here = {**place, "channel": channel, "chain": chain}
    copied = await connection.execute(_GATHER, here)
    if seed is None:
        return copied.rowcount > 0, {}, {}
    # A version of its own: a kept point that left the list as it was has the one of its parent, and must not find the
    # snapshot there without what was written since.
    version = f"{place['token']} {place['first']}"
    await connection.execute(_SEED, {**here, "version": version, "seed": seed["version"]})
    return True, {} if seed["inline"] is None else {channel: seed["inline"]}, {channel: version}


_STORED = """
SELECT gone.id, wanted.channel, c.checkpoint -> 'channel_versions' ->> wanted.channel AS version,
       c.checkpoint -> 'channel_values' -> wanted.channel AS inline,
       EXISTS (
           SELECT 1 FROM checkpoint_blobs b
           WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = wanted.channel
             AND b.version = c.checkpoint -> 'channel_versions' ->> wanted.channel AND b.type <> 'empty'
       ) AS blob
FROM unnest(%(ids)s::text[]) WITH ORDINALITY AS gone (id, position)
JOIN checkpoints c ON c.thread_id = %(thread)s AND c.checkpoint_ns = %(ns)s AND c.checkpoint_id = gone.id
CROSS JOIN unnest(%(channels)s::text[]) AS wanted (channel)
ORDER BY gone.position
"""

# In the order in which LangGraph replays them: ancestors first, and within one by path, task and index.
_GATHER = """
INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
SELECT thread_id, checkpoint_ns, %(first)s, %(token)s || ' ' || channel, '',
       row_number() OVER (
           ORDER BY array_position(%(chain)s::text[], checkpoint_id) DESC,
                    task_path COLLATE "C", task_id COLLATE "C", idx
       ) - 1,
       channel, type, blob
FROM checkpoint_writes
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND channel = %(channel)s
  AND checkpoint_id = ANY(%(chain)s::text[]) AND NOT starts_with(task_id, %(token)s)
"""

_SEED = """
INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
SELECT thread_id, checkpoint_ns, channel, %(version)s, type, blob FROM checkpoint_blobs
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND channel = %(channel)s AND version = %(seed)s
ON CONFLICT (thread_id, checkpoint_ns, channel, version) DO NOTHING
"""

_STUB = """
UPDATE checkpoints SET parent_checkpoint_id = %(anchor)s, checkpoint = checkpoint || %(fields)s,
                       metadata = metadata || %(mark)s
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND checkpoint_id = %(first)s
"""

_LINK = """
UPDATE checkpoints SET parent_checkpoint_id = %(anchor)s
WHERE thread_id = %(thread)s AND checkpoint_ns = %(ns)s AND parent_checkpoint_id = %(first)s
"""

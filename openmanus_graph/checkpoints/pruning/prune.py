"""Prune: removes the older points of a thread, and nothing that a kept point or a resume needs.

Kept are the newest points of the root and of each subtask. What they need beside their own rows is kept too: the
parts of growing lists that lie in older points (see `chains`), and the namespaces of the subtasks of every dispatch
that a kept point of the root may still go on with.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.pruning.delta_channels import STUB, CheckpointLink, carry, cuts_of
from openmanus_graph.checkpoints.pruning.file_changes import Key, rehome, with_changes
from openmanus_graph.checkpoints.thread_tables import try_alone
from openmanus_graph.errors import ThreadBusyError
from openmanus_graph.namespaces import LEVEL, TASK_ID, dispatched

Points = Mapping[str, Mapping[str, CheckpointLink]]
"""Points by namespace and id, each namespace newest first."""
Kept = Mapping[str, Collection[str]]
"""Ids of the points that stay, by namespace; a namespace that is not named goes as a whole."""


@dataclass(frozen=True)
class Pruned:
    """The points and rows that pruning a thread removed, or would remove."""

    thread_id: str
    """The thread."""
    kept: int
    """Points that stay, in all namespaces."""
    points: int
    """Points that go."""
    rows: int
    """Rows that go, of checkpoints, values and writes."""
    size: int
    """Bytes of their values, as the database keeps them."""

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        return dict(vars(self))


async def prune_rows(
    connection: AsyncConnection[DictRow], thread_id: str, *, keep_last: int = 1, dry_run: bool = False
) -> Pruned:
    """Remove all but the newest points of a thread, in one transaction.

    Args:
        connection: A connection that is in no transaction.
        thread_id: The thread.
        keep_last: Points to keep in each namespace, at least 1.
        dry_run: Do it, count, and undo it.

    Raises:
        ThreadBusyError: If somebody runs the thread.
    """
    async with connection.transaction():
        done = await _prune(connection, thread_id, lambda points: newest(points, keep_last))
        if dry_run:
            raise psycopg.Rollback
    return done


async def remove_runs(connection: AsyncConnection[DictRow], thread_id: str, run_ids: Collection[str]) -> Pruned:
    """Remove the points that runs have made in a thread; later ones keep what they need of them.

    Args:
        connection: A connection that is in no transaction.
        thread_id: The thread.
        run_ids: LangGraph's ids of the runs.

    Raises:
        ThreadBusyError: If somebody runs the thread.
    """
    async with connection.transaction():
        rows = await (
            await connection.execute(
                "SELECT checkpoint_ns, checkpoint_id FROM checkpoints"
                " WHERE thread_id = %s AND (metadata ->> 'run_id') = ANY(%s)",
                (thread_id, list(run_ids)),
            )
        ).fetchall()
        gone = {(row["checkpoint_ns"], row["checkpoint_id"]) for row in rows}

        def others(points: Points) -> Kept:
            return {
                namespace: [name for name, point in inside.items() if not point.stub and (namespace, name) not in gone]
                for namespace, inside in points.items()
            }

        return await _prune(connection, thread_id, others)


async def _prune(connection: AsyncConnection[DictRow], thread_id: str, choose: Callable[[Points], Kept]) -> Pruned:
    if not await try_alone(connection, thread_id):
        raise ThreadBusyError(
            f"The thread {thread_id!r} is running, so nothing is removed from it.",
            hint=f"See who runs it with: {shell_commands.show_thread(thread_id)}",
        )
    points = await points_of(connection, thread_id)
    kept = choose(points)
    token = f"pruned {uuid4()}"
    changing = await with_changes(connection, thread_id)
    cuts = {namespace: cuts_of(points[namespace], set(names)) for namespace, names in kept.items()}
    stubs: set[Key] = set()
    for namespace, here in cuts.items():
        named = {name for space, name in changing if space == namespace}
        made = await carry(connection, thread_id, namespace, here, token, named) if here else set[str]()
        stubs |= {(namespace, name) for name in made}
    standing = _standing_stubs(points, kept)
    stay = {(namespace, name) for namespace, names in kept.items() for name in names} | stubs | standing
    gone = [(space, name) for space, inside in points.items() for name in inside if (space, name) not in stay]
    rows, size = await _delete(connection, thread_id, gone, stubs, points.keys() - kept.keys(), token)
    if not changing.isdisjoint({*gone, *stubs}):
        more = await rehome(connection, thread_id, cuts, stubs, {*gone, *stubs})
        rows, size = rows + more[0], size + more[1]
    here = sum(len(names) for names in kept.values())
    visible = sum(not point.stub for inside in points.values() for point in inside.values())
    return Pruned(thread_id, kept=here, points=visible - here, rows=rows, size=size)


def _standing_stubs(points: Points, kept: Kept) -> set[Key]:
    """Stubs of earlier prunings that kept points still have as their parents, unchanged."""
    stubs: set[Key] = set()
    for namespace, names in kept.items():
        inside = points[namespace]
        changed = {at.first for at in cuts_of(inside, set(names))}
        parents = {inside[name].parent for name in names}
        stubs |= {(namespace, name) for name, point in inside.items() if point.stub and name in parents - changed}
    return stubs


def newest(points: Points, keep_last: int) -> Kept:
    """The newest points of each namespace that a kept point of the root may still need."""
    kept: dict[str, set[str]] = {}
    rounds: list[int] = []
    for namespace in sorted(points, key=lambda name: (name != "", name.count(LEVEL))):  # callers before what they call
        inside = points[namespace]
        if not _is_needed(namespace, points, kept, min(rounds, default=0)):
            continue
        kept[namespace] = set([name for name, point in inside.items() if not point.stub][:keep_last])
        if namespace == "":
            rounds = [inside[name].round for name in kept[""]]
    # What runs inside a graph belongs to the points of the graph that it was called from, even if an edit of the plan
    # has made newer ones meanwhile.
    for namespace, names in kept.items():
        for around, caller in (
            (key, caller_id) for name in names for key, caller_id in points[namespace][name].parents.items()
        ):
            if around != namespace and around in kept and caller in points[around] and not points[around][caller].stub:
                kept[around].add(caller)
    return kept


def _is_needed(namespace: str, points: Points, kept: Kept, oldest_round: int) -> bool:
    """Whether a point that is kept may go on with the checkpoints of a namespace."""
    if (task := dispatched(namespace)) is not None and task.round <= oldest_round:
        return False  # the results of that dispatch are in the state of every kept point of the root
    above = namespace
    while above not in points or above == namespace:
        if not above:
            return True
        above = above.rpartition(LEVEL)[0]
    if above not in kept:
        return False
    caller = next(iter(points[namespace].values())).parents.get(above)
    # A call's namespace has the id of its task, and only the checkpoint that it was called from goes on with it; one
    # without an id is that of a graph which keeps its own state.
    is_call = TASK_ID in namespace.removeprefix(above)
    return not is_call or caller is None or caller not in points[above] or caller in kept[above]


async def points_of(connection: AsyncConnection[DictRow], thread_id: str) -> Points:
    """The points of a thread, by namespace, newest first."""
    rows = await (await connection.execute(_POINTS, {"thread": thread_id, "stub": STUB})).fetchall()
    points: dict[str, dict[str, CheckpointLink]] = {}
    for row in rows:
        number = row["round"]
        points.setdefault(str(row["checkpoint_ns"]), {})[str(row["checkpoint_id"])] = CheckpointLink(
            parent=row["parent_checkpoint_id"],
            stub=bool(row["stub"]),
            growing=row["growing"],
            parents=row["parents"] or {},
            round=number if isinstance(number, int) else 0,
        )
    return points


async def _delete(
    connection: AsyncConnection[DictRow],
    thread_id: str,
    gone: Collection[Key],
    stubs: Collection[Key],
    spaces: Collection[str],
    token: str,
) -> tuple[int, int]:
    """Delete the checkpoints that go; return the number of rows, and their bytes."""
    emptied = [*gone, *stubs]
    given = {
        "thread": thread_id,
        "token": token,
        "spaces": list(spaces),
        "gone_spaces": [space for space, _ in gone],
        "gone": [name for _, name in gone],
        "emptied_spaces": [space for space, _ in emptied],
        "emptied": [name for _, name in emptied],
        "touched": list({space for space, _ in emptied}),
    }
    # Estimates of how many rows a thread has are worst for the threads worth pruning, and then loops get quadratic.
    await connection.execute("SET LOCAL enable_nestloop TO off")
    rows = size = 0
    for query in (_DELETE_WRITES, _DELETE_CHECKPOINTS, _DELETE_VALUES):
        counts = await (await connection.execute(query, given)).fetchone()
        if counts is not None:
            rows, size = rows + int(counts["rows"]), size + int(counts["size"])
    return rows, size


_POINTS = """
WITH named AS (
    SELECT DISTINCT checkpoint_ns, jsonb_object_keys(metadata -> 'counters_since_delta_snapshot') AS channel
    FROM checkpoints WHERE thread_id = %(thread)s
), lists AS (
    SELECT checkpoint_ns, array_agg(channel) AS channels FROM named GROUP BY checkpoint_ns
)
SELECT c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.metadata ? %(stub)s AS stub,
       c.metadata -> 'parents' AS parents, c.checkpoint -> 'channel_values' -> 'round' AS round,
       ARRAY (
           SELECT one.name FROM unnest(lists.channels) AS one (name)
           WHERE c.checkpoint -> 'channel_versions' ? one.name
             AND coalesce(c.checkpoint -> 'channel_values' -> one.name, 'null') = 'null'
             AND NOT EXISTS (
                 SELECT 1 FROM checkpoint_blobs b
                 WHERE b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns AND b.channel = one.name
                   AND b.version = c.checkpoint -> 'channel_versions' ->> one.name AND b.type <> 'empty'
             )
       ) AS growing
FROM checkpoints c LEFT JOIN lists USING (checkpoint_ns)
WHERE c.thread_id = %(thread)s ORDER BY c.checkpoint_ns, c.checkpoint_id DESC
"""

_DELETE_WRITES = """
WITH deleted AS (
    DELETE FROM checkpoint_writes w
    WHERE thread_id = %(thread)s AND (
        checkpoint_ns = ANY(%(spaces)s) OR (
            (checkpoint_ns, checkpoint_id) IN (SELECT * FROM unnest(%(emptied_spaces)s::text[], %(emptied)s::text[]))
            AND NOT starts_with(task_id, %(token)s)
        )
    )
    RETURNING pg_column_size(w.blob) AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0) AS size FROM deleted
"""

_DELETE_CHECKPOINTS = """
WITH deleted AS (
    DELETE FROM checkpoints c
    WHERE thread_id = %(thread)s
      AND (checkpoint_ns, checkpoint_id) IN (SELECT * FROM unnest(%(gone_spaces)s::text[], %(gone)s::text[]))
    RETURNING pg_column_size(c.checkpoint) + pg_column_size(c.metadata) AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0) AS size FROM deleted
"""

_DELETE_VALUES = """
WITH used AS MATERIALIZED (
    SELECT DISTINCT c.checkpoint_ns, v.key AS channel, v.value AS version
    FROM checkpoints c CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v
    WHERE c.thread_id = %(thread)s AND c.checkpoint_ns = ANY(%(touched)s)
), deleted AS (
    DELETE FROM checkpoint_blobs b
    WHERE thread_id = %(thread)s AND checkpoint_ns = ANY(%(touched)s) AND NOT EXISTS (
        SELECT 1 FROM used u
        WHERE u.checkpoint_ns = b.checkpoint_ns AND u.channel = b.channel AND u.version = b.version
    )
    RETURNING pg_column_size(b.blob) AS size
)
SELECT count(*) AS rows, coalesce(sum(size), 0) AS size FROM deleted
"""

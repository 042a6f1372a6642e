"""File changes: reassign recorded file changes when the checkpoints they belong to are pruned.

A fork takes the changes whose checkpoint it takes. Those of ancestors that go are given to the stub that stays for
them, and those of requests that are over count by their time. Of several changes of one file between which no point
is left, only the last one stays, and contents that no change names go.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from openmanus_graph.checkpoints.pruning.delta_channels import PruneCut

Key = tuple[str, str]
"""Namespace and id of a checkpoint."""


async def with_changes(connection: AsyncConnection[DictRow], thread_id: str) -> set[Key]:
    """The checkpoints whose steps changed files."""
    rows = await (
        await connection.execute(
            "SELECT DISTINCT checkpoint_ns, checkpoint_id FROM file_changes"
            " WHERE thread_id = %s AND checkpoint_id IS NOT NULL",
            (thread_id,),
        )
    ).fetchall()
    return {(str(row["checkpoint_ns"]), str(row["checkpoint_id"])) for row in rows}


async def rehome(
    connection: AsyncConnection[DictRow],
    thread_id: str,
    cuts: Mapping[str, Sequence[PruneCut]],
    stubs: Collection[Key],
    gone: Collection[Key],
) -> tuple[int, int]:
    """Give the file changes of pruned checkpoints to the stubs that stay for them.

    Args:
        connection: A connection, in the transaction that removes the checkpoints.
        thread_id: The thread.
        cuts: Where its namespaces are cut.
        stubs: The stubs that were made there.
        gone: The checkpoints that go.

    Returns:
        Rows of changes and contents that went, and the bytes of the contents.
    """
    shared = Counter((space, name) for space, inside in cuts.items() for at in inside for name in at.gone)
    homes: dict[Key, Key | None] = dict.fromkeys(gone)
    for space, inside in cuts.items():
        for at in inside:
            if (space, at.first) in stubs:
                homes |= {(space, name): (space, at.first) for name in at.gone if shared[space, name] == 1}
    moved = [(*old, *(new or (None, None))) for old, new in homes.items()]
    given: dict[str, Any] = {"thread": thread_id}
    given |= dict(zip(("spaces", "ids", "new_spaces", "new_ids"), map(list, zip(*moved, strict=True)), strict=True))
    rows = await (await connection.execute(_REHOME, given)).fetchall()
    digests = sorted({str(row[side]) for row in rows for side in ("before", "after") if row[side]})
    if not digests:
        return 0, 0
    before = await _bytes(connection, digests)
    await connection.execute("SELECT remove_contents(%s)", (digests,))
    after = await _bytes(connection, digests)
    return sum(bool(row["superseded"]) for row in rows) + before[0] - after[0], before[1] - after[1]


async def _bytes(connection: AsyncConnection[DictRow], digests: Sequence[str]) -> tuple[int, int]:
    row = await (
        await connection.execute(
            "SELECT count(*) AS rows, coalesce(sum(pg_column_size(content)), 0) AS size FROM file_contents"
            " WHERE digest = ANY(%s)",
            (list(digests),),
        )
    ).fetchone()
    return (0, 0) if row is None else (int(row["rows"]), int(row["size"]))


# What was changed before is not known any more where the change before went; that also lets its content go.
_REHOME = """
WITH homes AS (
    SELECT * FROM unnest(%(spaces)s::text[], %(ids)s::text[], %(new_spaces)s::text[], %(new_ids)s::text[])
        AS h (ns, id, new_ns, new_id)
), affected AS (
    SELECT f.number, f.before, f.after, h.new_ns, h.new_id,
           row_number() OVER w < count(*) OVER p AS superseded, count(*) OVER p > 1 AS several
    FROM file_changes f JOIN homes h ON f.checkpoint_ns = h.ns AND f.checkpoint_id = h.id
    WHERE f.thread_id = %(thread)s
    WINDOW w AS (PARTITION BY h.new_ns, h.new_id, f.path ORDER BY f.number),
           p AS (PARTITION BY h.new_ns, h.new_id, f.path)
), deleted AS (
    DELETE FROM file_changes f USING affected a
    WHERE f.thread_id = %(thread)s AND f.number = a.number AND a.superseded
), changed AS (
    UPDATE file_changes f
    SET checkpoint_ns = a.new_ns, checkpoint_id = a.new_id, before = CASE WHEN a.several THEN NULL ELSE f.before END
    FROM affected a
    WHERE f.thread_id = %(thread)s AND f.number = a.number AND NOT a.superseded
)
SELECT before, after, superseded FROM affected
"""

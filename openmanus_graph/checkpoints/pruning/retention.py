"""Retention: the size of each thread, and the removal of its older points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from openmanus_graph.checkpoints.pruning.prune import Pruned, prune_rows
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.thread_tables import CHECKPOINT_TABLES, THREAD_TABLES
from openmanus_graph.errors import SettingsError
from openmanus_graph.files.folder_size import folder_size


async def prune_thread(saver: ThreadSaver, thread_id: str, *, keep_last: int = 1, dry_run: bool = False) -> Pruned:
    """Remove all but the newest points of a thread; state, history and resume of those that stay are as before.

    Args:
        saver: The store.
        thread_id: The thread.
        keep_last: Points to keep, of the root and of each subtask that a kept point may go on with.
        dry_run: Only say what would be removed.

    Raises:
        SettingsError: If `keep_last` is below 1: a resume needs the newest point.
        ThreadBusyError: If somebody runs the thread.
    """
    if keep_last < 1:
        raise SettingsError(f"keep_last cannot be {keep_last!r}.", hint="A resume needs the newest point: 1 or more.")
    async with saver.connection() as connection:
        return await prune_rows(connection, thread_id, keep_last=keep_last, dry_run=dry_run)


@dataclass(frozen=True)
class Size:
    """The size of one thread."""

    thread_id: str
    """The thread."""
    status: str
    """What it is."""
    points: int
    """Its checkpoints, of all namespaces."""
    checkpoints: int
    """Bytes of checkpoints and the values they refer to."""
    writes: int
    """Bytes of results of steps."""
    events: int
    """Bytes of events."""
    other: int
    """Bytes of its other rows: calls of models, episodes, effects."""
    files: int
    """Bytes of its workspace on disk."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.checkpoints + self.writes + self.events + self.other + self.files

    def as_json(self) -> dict[str, Any]:
        """Everything, in JSON types."""
        return {**vars(self), "total": self.total}


_KINDS = {"checkpoints": "checkpoints", "checkpoint_blobs": "checkpoints", "checkpoint_writes": "writes"}


async def thread_sizes(saver: ThreadSaver, thread_ids: Sequence[str] | None = None) -> list[Size]:
    """The sizes of threads, the largest first.

    Args:
        saver: The store.
        thread_ids: Which threads; `None` means all.
    """
    sizes_by_thread: dict[str, dict[str, int]] = {}
    async with saver.connection() as connection:
        for table in THREAD_TABLES:
            rows = await (await connection.execute(_size_query(table), {"ids": _listed(thread_ids)})).fetchall()
            kind = _KINDS.get(table, "events" if table == "events" else "other")
            for row in rows:
                sizes = sizes_by_thread.setdefault(str(row["thread_id"]), {})
                sizes[kind] = sizes.get(kind, 0) + int(row["size"])
                if table == CHECKPOINT_TABLES[0]:
                    sizes["points"] = int(row["rows"])
        rows = await (
            await connection.execute(
                "SELECT thread_id, workspace, CASE WHEN status = 'running' AND NOT has_runner(thread_id)"
                " THEN 'stopped' ELSE status END AS status FROM threads"
                " WHERE %(ids)s::text[] IS NULL OR thread_id = ANY(%(ids)s)",
                {"ids": _listed(thread_ids)},
            )
        ).fetchall()
    known = {str(row["thread_id"]): row for row in rows}
    sizes = [_size(name, sizes, known.get(name)) for name, sizes in sizes_by_thread.items()]
    return sorted(sizes, key=lambda size: (-size.total, size.thread_id))


def _listed(thread_ids: Sequence[str] | None) -> list[str] | None:
    return None if thread_ids is None else list(thread_ids)


def _size_query(table: str) -> sql.Composed:
    """The rows and bytes of each thread in a table; whole rows, what is stored out of line and compressed as it is."""
    return sql.SQL(
        "SELECT thread_id, count(*) AS rows, sum(pg_column_size(t.*))::bigint AS size FROM {} t"
        " WHERE %(ids)s::text[] IS NULL OR thread_id = ANY(%(ids)s) GROUP BY thread_id"
    ).format(sql.Identifier(table))


def _size(thread_id: str, sizes: dict[str, int], row: Any) -> Size:
    kinds = {kind: sizes.get(kind, 0) for kind in ("points", "checkpoints", "writes", "events", "other")}
    files = 0 if row is None or not row["workspace"] else folder_size(Path(row["workspace"]))
    return Size(thread_id, "" if row is None else str(row["status"]), **kinds, files=files)

"""Columns: each that could hold a text is sealed where a key is set, or is known to hold none of people and models."""

from __future__ import annotations

import pytest

from openmanus_graph import ThreadSaver
from openmanus_graph.checkpoints.migrations import make_store_tables
from openmanus_graph.checkpoints.reencryption import BYTES, JSON, OF_THREADS, TEXTS
from openmanus_graph.checkpoints.thread_tables import THREAD_TABLES

pytestmark = pytest.mark.postgres

IDS = {"thread_id", "owner", "subtask", "tool", "call", "role", "model", "status", "type", "namespace", "key", "prefix"}
PLAIN = {
    "threads": {"sandbox", "workspace", "progress", "runner", "origin", "input_type"}
    | {"input_after", "encrypted_with"},
    "checkpoints": {"checkpoint_ns", "checkpoint_id", "parent_checkpoint_id"},
    "checkpoint_blobs": {"checkpoint_ns", "channel", "version"},
    "checkpoint_writes": {"checkpoint_ns", "checkpoint_id", "task_id", "task_path", "channel"},
    "answers": {"interrupt_id"},
    "effects": {"call_id", "args_hash", "token"},
    "file_changes": {
        "path",
        "before",
        "after",
        "link",
        "left_out",
        "checkpoint_ns",
        "checkpoint_id",
        "task_id",
        "beside",
    },
    "file_contents": {"digest"},
    "episodes": {"task", "outline", "outcome", "failures", "answer"},
}
"""Names, places, states and digests, which `docs/stored.md` says stay plain; and episodes, which are written only if
memory is asked for."""
ELSEWHERE = {("file_contents", "content")}
"""Sealed under its digest."""


async def test_every_column_is_sealed_or_known_to_be_plain(saver: ThreadSaver) -> None:
    tables = (*THREAD_TABLES, "tool_results", "file_contents", "store")
    async with saver.connection() as connection:
        await make_store_tables(connection)
        rows = await (
            await connection.execute(
                "SELECT table_name AS name, column_name AS part FROM information_schema.columns"
                " WHERE table_schema = 'openmanus_graph' AND table_name = ANY(%s)"
                " AND data_type IN ('text', 'jsonb', 'bytea', 'ARRAY', 'character varying')",
                (list(tables),),
            )
        ).fetchall()
    assert {str(row["name"]) for row in rows} == set(tables)
    unknown = {
        (name, part)
        for name, part in ((str(row["name"]), str(row["part"])) for row in rows)
        if part not in {*TEXTS.get(name, ()), *JSON.get(name, ()), *BYTES.get(name, ()), *PLAIN.get(name, ()), *IDS}
    }
    assert unknown == ELSEWHERE


def test_every_table_of_threads_with_sealed_columns_is_encrypted_anew() -> None:
    assert {*TEXTS, *JSON, *BYTES} & set(THREAD_TABLES) == set(OF_THREADS)

"""Tables: none with rows of threads is forgotten by what copies or removes threads."""

from __future__ import annotations

import pytest

from openmanus_graph import ThreadSaver, build_plan_graph, delete_thread, find_thread
from openmanus_graph.checkpoints.thread_tables import THREAD_TABLES
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import TOOLS

pytestmark = pytest.mark.postgres


async def test_every_table_with_a_thread_id_is_listed(saver: ThreadSaver) -> None:
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT table_name FROM information_schema.columns c JOIN information_schema.tables t"
                " USING (table_schema, table_name) WHERE c.table_schema = 'openmanus_graph'"
                " AND c.column_name = 'thread_id' AND t.table_type = 'BASE TABLE'"
            )
        ).fetchall()
    assert {row["table_name"] for row in rows} == set(THREAD_TABLES)


async def test_a_removed_thread_leaves_no_row(saver: ThreadSaver) -> None:
    app = build_plan_graph([*TOOLS, "str_replace_editor"]).compile(checkpointer=saver)
    args = {"command": "create", "path": "a.txt", "file_text": "only here"}
    await app.ainvoke({"plan": plan(subtask("a", "str_replace_editor", args=args))}, thread())
    await app.ainvoke({"plan": plan(subtask("a"))}, thread("other"))
    await delete_thread(saver, await find_thread(saver, "t"), files=True)
    left: dict[str, set[str]] = {}
    async with saver.connection() as connection:
        contents = await (await connection.execute("SELECT digest FROM file_contents")).fetchall()
        for table in THREAD_TABLES:
            rows = await (await connection.execute(f"SELECT DISTINCT thread_id FROM {table}")).fetchall()  # type: ignore[arg-type]
            left[table] = {row["thread_id"] for row in rows}
    assert all(ids <= {"other"} for ids in left.values()), left
    assert left["checkpoints"] == left["threads"] == {"other"}
    assert contents == []

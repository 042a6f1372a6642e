"""What cannot be opened: `db encrypt` names it, leaves it as it is, and seals everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from openmanus_graph import (
    Settings,
    ThreadSaver,
    export_thread,
    find_thread,
    import_thread,
    list_threads,
    open_checkpointer,
)
from openmanus_graph.checkpoints.encryption.cipher import LOCKED, MARK
from openmanus_graph.checkpoints.reencryption import encrypt_all
from openmanus_graph.checkpoints.reuse.tool_results import ToolResults
from openmanus_graph.checkpoints.threads import completed_threads
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.errors import ArchiveError, DamagedValueError, ThreadUnreadableError
from openmanus_graph.graphs.user.user_graph import make_durable
from tests.chains import Words, chain, thread
from tests.cli.conftest import MakeProgram
from tests.encryption.plain_text import rows_with

pytestmark = pytest.mark.postgres


def with_key(database: str, *keys: str) -> Any:
    return open_checkpointer(database, settings=Settings.load(encryption_key=",".join(keys) or None))


async def run(saver: ThreadSaver, name: str) -> None:
    def first(state: Words) -> dict[str, Any]:
        return {"seen": [state.get("task")]}

    await make_durable(chain(first=first), saver).ainvoke({"task": f"walrus {name}", "seen": []}, thread(name))


async def changed(saver: ThreadSaver, query: LiteralString, *values: Any) -> int:
    async with saver.connection() as connection:
        return (await connection.execute(query, values)).rowcount


async def rows_of(saver: ThreadSaver, name: str) -> list[Any]:
    """What is stored of a thread, as it is stored."""
    found: list[Any] = []
    async with saver.connection() as connection:
        for table in ("threads", "checkpoints", "checkpoint_blobs", "checkpoint_writes", "events"):
            query: Any = f"SELECT md5(t::text) AS row FROM {table} t WHERE thread_id = %s ORDER BY 1"
            found += await (await connection.execute(query, (name,))).fetchall()
    return found


DAMAGED: dict[str, tuple[LiteralString, str]] = {
    "title": (f"UPDATE threads SET title = '{MARK}tAAAA' WHERE thread_id = 'b'", "it is damaged"),
    "questions": (f"""UPDATE threads SET questions = '"{MARK}j!"' WHERE thread_id = 'b'""".replace("\x1a", "\\u001a"),
                  "it is damaged"),
    "no values": (
        "UPDATE checkpoints SET checkpoint = checkpoint - 'channel_values' WHERE thread_id = 'b'",
        "'checkpoint' of 'checkpoints' is not of the form",
    ),
    "no record": ("UPDATE checkpoints SET checkpoint = '[]' WHERE thread_id = 'b'", "'checkpoint' of 'checkpoints'"),
    "metadata": ("UPDATE checkpoints SET metadata = '3' WHERE thread_id = 'b'", "'metadata' of 'checkpoints'"),
    "event": ("UPDATE events SET event = '\"odd\"' WHERE thread_id = 'b'", "'event' of 'events'"),
    "graph": ("UPDATE threads SET graph = '[]' WHERE thread_id = 'b'", "'graph' of 'threads'"),
    "blob": (
        "UPDATE checkpoint_blobs SET type = type || '+omg1', blob = 'short' WHERE thread_id = 'b' AND blob IS NOT NULL",
        "it is damaged",
    ),
    "lost key": ("UPDATE threads SET encrypted_with = '{0a0b0c0d}' WHERE thread_id = 'b'", "with the key '0a0b0c0d'"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
async def test_one_thread_that_cannot_be_opened_holds_up_no_other(database: str, key: str, damage: str) -> None:
    query, why = DAMAGED[damage]
    async with with_key(database) as saver:
        for name in ("a", "b", "c"):
            await run(saver, name)
        if damage == "event":
            insert: LiteralString = "INSERT INTO events (thread_id, type, event) VALUES ('b', 'x', '{}')"
            await changed(saver, insert)
        assert await changed(saver, query) > 0
        before = await rows_of(saver, "b")
    async with with_key(database, key) as saver:
        done = await encrypt_all(saver)
    assert (done.threads, done.running, done.removed) == (2, 0, 0)
    assert done.rows > 0
    (left,) = done.left
    assert left.startswith("The thread 'b'")
    assert why in left
    for name in ("a", "c"):
        assert rows_with(database, f"walrus {name}") == {}
    async with with_key(database) as saver:
        assert await rows_of(saver, "b") == before, "it is as it was, all of it"


async def test_kept_results_that_cannot_be_opened_are_removed(database: str, key: str) -> None:
    async with with_key(database, new_key()) as lost:
        await ToolResults(lost, "me").keep("lost", "walrus", 60)
        await ToolResults(lost, "me").keep("expired", "walrus", 60)
    async with with_key(database) as plain:
        await ToolResults(plain, "you").keep("plain", "walrus", 60)
        insert: LiteralString = "INSERT INTO tool_results (owner, key, output, expires_at) VALUES (%s, %s, %s, now())"
        assert await changed(plain, insert, "me", "damaged", json.dumps(f"{MARK}jAAAA")) == 1
        gone: LiteralString = "UPDATE tool_results SET expires_at = now() - interval '1 day' WHERE key = 'expired'"
        assert await changed(plain, gone) == 1
    async with with_key(database, key) as saver:
        done = await encrypt_all(saver)
        assert (done.removed, done.left, done.rows) == (3, [], 1)
        assert rows_with(database, "walrus") == {}
        found = await ToolResults(saver, "you").find("plain", 60)
        assert found is not None and found[0] == "walrus"
        assert (await encrypt_all(saver)).removed == 0


async def test_items_and_contents_that_cannot_be_opened_are_named(database: str, key: str) -> None:
    async with with_key(database, new_key()) as lost, with_key(database) as plain:
        assert lost.store is not None and plain.store is not None
        await lost.store.aput(("people", "old"), "one", {"name": "walrus"})
        await plain.store.aput(("people",), "two", {"name": "walrus"})
        put: LiteralString = "INSERT INTO file_contents (digest, content) VALUES (%s, %s)"
        await changed(lost, put, "d" * 64, lost.cipher.file("d" * 64, b"walrus"))
        await changed(plain, put, "e" * 64, b"walrus")
        name = lost.cipher.id
    async with with_key(database, key) as saver:
        done = await encrypt_all(saver)
        item, content = done.left
        assert "The item 'one' of 'people.old'" in item and name in item
        assert f"The content of files {'d' * 12!r}" in content and name in content
        assert done.rows == 2
        assert rows_with(database, "walrus") == {}
        assert saver.store is not None
        kept = await saver.store.aget(("people",), "two")
        assert kept is not None and kept.value == {"name": "walrus"}


async def test_an_archive_with_a_record_that_is_no_record_is_refused(
    database: str, elsewhere: str, key: str, tmp_path: Path
) -> None:
    async with with_key(database) as saver:
        await run(saver, "b")
        assert await changed(saver, DAMAGED["no values"][0]) > 0
        await export_thread(saver, await find_thread(saver, "b"), tmp_path / "b.thread")
    async with with_key(elsewhere, key) as saver:
        with pytest.raises(ArchiveError, match="'checkpoint' of 'checkpoints' is not of the form") as refused:
            await import_thread(saver, tmp_path / "b.thread")
        assert refused.value.hint == "Nothing was imported."
        assert await list_threads(saver) == []


def test_the_command_names_what_is_left_and_ends_with_one(program_in: MakeProgram, database: str, key: str) -> None:
    plain = program_in(DATABASE_URL=database)
    lost = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=new_key())
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    for owner, names in ((lost, [f"lost{number:02}" for number in range(2)]), (plain, ["plain"])):
        owner.plan({"id": "a", "goal": "walrus", "tool": "list_files", "args": {"pattern": "*"}})
        for name in names:
            owner("run", "--plan", "plan.yaml", "--thread", name, "--quiet")
    _, err = program("db", "encrypt", code=1)
    assert "1 thread looked through" in err
    assert "2 things could not be opened, and stay as they are:" in err
    for name in ("lost00", "lost01"):
        assert f"The thread '{name}' is encrypted with the key" in err
    assert "Traceback" not in err
    assert rows_with(database, "walrus") == {}
    done = json.loads(program("db", "encrypt", "--json", code=1)[0])
    assert (done["threads"], done["rows"], done["removed"], len(done["left"])) == (1, 0, 0, 2)
    for name in ("lost00", "lost01"):
        program("threads", "delete", name, "--yes")
    assert "could not be opened" not in program("db", "encrypt")[1]


@pytest.mark.parametrize("column", ["title", "questions", "plan", "settings", "fingerprint"])
def test_a_thread_whose_row_is_damaged_is_listed_exported_and_removed(
    program_in: MakeProgram, database: str, key: str, column: str
) -> None:
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    program.plan({"id": "a", "tool": "ask_human", "args": {"inquire": "Who is walrus?"}})
    for name in ("t", "other"):
        program("run", "--plan", "plan.yaml", "--thread", name, "--quiet", code=3)
    forged = f"{MARK}tAAAA"
    with psycopg.connect(database) as connection:
        to: Any = "%s" if column == "title" else "to_jsonb(%s::text)"
        query = sql.SQL("UPDATE openmanus_graph.threads SET {} = {} WHERE thread_id = 't'")
        connection.execute(query.format(sql.Identifier(column), sql.SQL(to)), (forged,))
    rows = {row["thread_id"]: row for row in json.loads(program("threads", "list", "--json")[0])}
    assert rows["t"]["questions"] == ([] if column == "questions" else rows["t"]["questions"])
    assert (rows["t"]["title"] == LOCKED) == (column == "title")
    assert rows["t"]["settings"] == ({} if column == "settings" else rows["t"]["settings"])
    assert "t" in program("threads", "list")[0]
    if column != "fingerprint":  # which only a run reads
        _, err = program("threads", "show", "t", code=1)
        assert "it is damaged" in err
        assert "threads delete t" in err
    _, err = program("resume", "t", "--answer", "a=me", code=1)
    assert "it is damaged" in err
    assert "threads delete t" in err
    program("threads", "size", "t")
    program("threads", "export", "t", "t.thread")
    if column == "questions":
        program("memory", "forget", "--thread", "t", "--everywhere", "--yes")
    else:
        program("threads", "delete", "t", "--yes")
    assert [row["thread_id"] for row in json.loads(program("threads", "list", "--json")[0])] == ["other"]


async def test_a_damaged_point_is_told_with_its_thread_and_the_command_works(
    program_in: MakeProgram, database: str, key: str
) -> None:
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    async with with_key(database, key) as saver:
        await run(saver, "t")
        newest = await saver.aget_tuple(thread("t"))
        assert newest is not None
        damage: LiteralString = (
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values,task}', to_jsonb(%s::text))"
            " WHERE thread_id = 't' AND checkpoint_id = %s"
        )
        await changed(saver, damage, f"{MARK}tAAAA", newest.checkpoint["id"])
        with pytest.raises(DamagedValueError) as refused:
            await saver.aget_tuple(thread("t"))
        assert refused.value.hint is not None
        assert refused.value.hint.endswith("openmanus-graph threads history t")
        with pytest.raises(DamagedValueError) as refused:
            _ = [point async for point in saver.alist(thread("t"))]
        assert refused.value.hint is not None
        assert refused.value.hint.endswith("openmanus-graph threads history t")
    told = json.loads(program("threads", "history", "t", "--json")[0])
    assert told["standing"] == "unreadable"
    assert len(told["points"]) > 1
    assert "it is damaged" in json.loads(program("threads", "show", "t", "--json")[0])["unreadable"]["why"]


async def test_the_last_good_point_is_one_whose_record_is_whole(database: str, key: str) -> None:
    async with with_key(database, key) as saver:
        await run(saver, "t")
        points = [point async for point in saver.alist(thread("t"))]
        newest, before, good = (point.checkpoint["id"] for point in points[:3])
        damage: LiteralString = (
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values,task}', to_jsonb(%s::text))"
            " WHERE thread_id = 't' AND checkpoint_id = %s"
        )
        await changed(saver, damage, f"{MARK}tAAAA", before)
        spoil: LiteralString = (
            "UPDATE checkpoint_blobs SET blob = set_byte(blob, 30, (get_byte(blob, 30) + 1) %% 256)"
            " WHERE channel = 'seen' AND version = (SELECT checkpoint -> 'channel_versions' ->> 'seen'"
            " FROM checkpoints WHERE checkpoint_id = %s)"
        )
        assert await changed(saver, spoil, newest) == 1
        with pytest.raises(ThreadUnreadableError) as refused:
            await saver.aget_tuple(thread("t"))
        assert refused.value.good == good


async def test_what_is_of_no_thread_names_none_when_it_is_damaged(database: str, key: str) -> None:
    async with with_key(database, key) as saver:
        assert saver.store is not None
        await saver.store.aput(("people",), "one", {"name": "walrus"})
        damage: LiteralString = "UPDATE store SET value = jsonb_build_object('name', %s::text)"
        await changed(saver, damage, f"{MARK}tAAAA")
        with pytest.raises(DamagedValueError) as refused:
            await saver.store.aget(("people",), "one")
    assert refused.value.hint is not None
    assert "THREAD" not in refused.value.hint
    assert "backup" in refused.value.hint


async def test_a_damaged_row_among_completed_threads_is_named(database: str, key: str) -> None:
    async with with_key(database, key) as saver:
        for name in ("a", "b"):
            await run(saver, name)
        (owner,) = {row.owner for row in await list_threads(saver)}
        assert len(await completed_threads(saver, owner)) == 2
        damage: LiteralString = "UPDATE threads SET title = %s WHERE thread_id = 'b'"
        await changed(saver, damage, f"{MARK}tAAAA")
        with pytest.raises(DamagedValueError) as refused:
            await completed_threads(saver, owner)
    assert refused.value.hint is not None
    assert refused.value.hint.endswith("openmanus-graph threads delete b")

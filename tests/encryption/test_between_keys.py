"""What goes between those who have the key and those who have not: archives, answers, kept results, items, ratings."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from langgraph.store.base import PutOp, SearchOp
from langgraph.types import Command

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_plan_graph,
    export_thread,
    find_thread,
    fork_thread,
    get_thread,
    import_thread,
    list_threads,
    open_checkpointer,
)
from openmanus_graph.checkpoints.encryption.cipher import MARK
from openmanus_graph.checkpoints.events import stored_events
from openmanus_graph.checkpoints.ledger import list_effects
from openmanus_graph.checkpoints.ratings import rate_request, ratings_of
from openmanus_graph.checkpoints.reuse.tool_results import ToolResults
from openmanus_graph.checkpoints.thread_tables import THREAD_TABLES
from openmanus_graph.checkpoints.threads import store_answers, waiting_answers
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.errors import EncryptionKeyError, ThreadUnreadableError
from openmanus_graph.graphs.user.user_graph import make_durable
from tests.chains import Words, chain, thread
from tests.cli.conftest import MakeProgram
from tests.encryption.careful_tools import pay
from tests.encryption.plain_text import rows_with
from tests.engine.sample_tools import TOOLS

pytestmark = pytest.mark.postgres


@pytest.fixture
def word() -> str:
    """A word that stands nowhere else."""
    return f"walrus{secrets.token_hex(4)}"


def plain(database: str, key: str | None = None) -> Any:
    return open_checkpointer(database, settings=Settings.load(encryption_key=key))


async def asked(saver: ThreadSaver, word: str) -> None:
    """A plan that has read a file of its own and waits for an answer."""
    steps = [
        {"id": "a", "tool": "echo", "args": {"value": word}},
        {"id": "b", "tool": "bash", "args": {"command": f"echo {word} > a.txt"}},
        {"id": "c", "tool": "ask_human", "args": {"inquire": f"Who is {word}?"}, "needs": ["a", "b"]},
    ]
    settings = Settings.load(sandbox="none")
    app = build_plan_graph([*TOOLS, "bash"], settings=settings).compile(checkpointer=saver)
    await app.ainvoke({"plan": {"subtasks": steps}}, thread())


async def test_an_archive_is_as_secret_as_the_thread(
    sealing: ThreadSaver, elsewhere: str, key: str, word: str, tmp_path: Path
) -> None:
    await asked(sealing, word)
    file = tmp_path / "t.thread"
    await export_thread(sealing, await find_thread(sealing, "t"), file)
    for keys in (None, new_key()):
        async with plain(elsewhere, keys) as other:
            with pytest.raises(EncryptionKeyError, match="The archived thread 't' is encrypted with the key"):
                await import_thread(other, file, workspace=tmp_path / "there")
            assert not (tmp_path / "there").exists()
            async with other.connection() as connection:
                for table in (*THREAD_TABLES, "file_contents"):
                    query: Any = f"SELECT 1 FROM {table}"
                    assert await (await connection.execute(query)).fetchone() is None
    async with plain(elsewhere, key) as other:
        await import_thread(other, file, workspace=tmp_path / "there")
        assert (tmp_path / "there" / "a.txt").read_text() == f"{word}\n"
        app = build_plan_graph([*TOOLS, "bash"], settings=Settings.load(sandbox="none")).compile(checkpointer=other)
        assert (await app.snapshot("t")).values["workspace"] == str(tmp_path / "there")
        (question,) = await app.questions("t")
        out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "me"}}), thread())
        assert out["results"]["a"]["output"] == word
    assert rows_with(elsewhere, word) == {}


async def test_an_archive_from_before_there_was_a_key_is_encrypted_when_it_arrives(
    saver: ThreadSaver, elsewhere: str, key: str, word: str, tmp_path: Path
) -> None:
    await asked(saver, word)
    await export_thread(saver, await find_thread(saver, "t"), tmp_path / "t.thread")
    async with plain(elsewhere, key) as other:
        await import_thread(other, tmp_path / "t.thread", workspace=tmp_path / "there")
        assert (await find_thread(other, "t")).questions[0]["question"] == f"Who is {word}?"
    assert rows_with(elsewhere, word) == {}


async def test_an_answer_can_be_read_by_the_runner_that_waits_for_it(
    saver: ThreadSaver, sealing: ThreadSaver, word: str
) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def waits(_: Words) -> dict[str, Any]:
        inside.set()
        await leave.wait()
        return {}

    for runner, name in ((saver, "plain"), (sealing, "sealed")):
        inside.clear()
        leave.clear()
        running = asyncio.create_task(make_durable(chain(waits=waits), runner).ainvoke({"task": word}, thread(name)))
        await inside.wait()
        await store_answers(sealing, name, {"one": {"kind": "answer", "value": word}})
        assert await waiting_answers(runner, name) == {"one": {"kind": "answer", "value": word}}
        async with saver.connection() as connection:
            row = await (await connection.execute("SELECT value FROM answers WHERE thread_id = %s", (name,))).fetchone()
        assert row is not None and str(row["value"]).startswith(MARK) == (runner is sealing)
        leave.set()
        await running


async def test_a_kept_result_that_cannot_be_read_is_got_anew(
    saver: ThreadSaver, sealing: ThreadSaver, database: str, word: str
) -> None:
    await ToolResults(sealing, "me").keep("k", {"text": word}, 60)
    assert rows_with(database, word) == {}
    found = await ToolResults(sealing, "me").find("k", 60)
    assert found is not None and found[0] == {"text": word}
    assert await ToolResults(saver, "me").find("k", 60) is None
    async with plain(database, new_key()) as other:
        assert await ToolResults(other, "me").find("k", 60) is None


async def test_items_ratings_events_and_effects_are_not_given_as_they_are_stored(
    saver: ThreadSaver, sealing: ThreadSaver, database: str, word: str
) -> None:
    await asked(sealing, word)
    await rate_request(sealing, "t", 1, good=False, why=word)
    assert sealing.store is not None and saver.store is not None
    await sealing.store.aput(("people",), "one", {"name": word, "age": 40})
    await sealing.store.aput(("people",), "two", {"name": "seal", "age": 7, "tags": [word]})
    payment = {"id": "a", "tool": "pay", "args": {"whom": f"Mr {word}"}}
    app = build_plan_graph([pay], policy="allow").compile(checkpointer=sealing)
    await app.ainvoke({"plan": {"subtasks": [payment]}}, thread("paid"))
    assert rows_with(database, word) == {}
    (effect,) = await list_effects(sealing, "paid")
    assert (effect.tool, effect.status, word in effect.args, word in str(effect.result)) == ("pay", "done", True, True)
    assert (await ratings_of(sealing, "t"))[0].why == word
    assert any(word in str(event) for event in await stored_events(sealing, "t"))
    for unreadable in (
        ratings_of(saver, "t"),
        stored_events(saver, "t"),
        saver.store.aget(("people",), "one"),
        saver.store.asearch(("people",)),
        list_effects(saver, "paid"),
    ):
        with pytest.raises(EncryptionKeyError):
            await unreadable
    assert await list_effects(saver, "t") == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"name": "seal"}, ["two"]),
        ({"name": {"$ne": "seal"}}, ["one"]),
        ({"age": 40}, ["one"]),
        ({"age": {"$gte": "40"}}, ["one", "two"]),
        ({"tags": ["a"]}, ["two"]),
        ({"nothing": None}, []),
    ],
)
async def test_a_search_finds_the_same_items_as_without_a_key(
    saver: ThreadSaver, sealing: ThreadSaver, wanted: dict[str, Any], found: list[str]
) -> None:
    for store, place in ((saver.store, "plain"), (sealing.store, "sealed")):
        assert store is not None
        await store.aput((place,), "one", {"name": "walrus", "age": 40})
        await store.aput((place,), "two", {"name": "seal", "age": 7, "tags": ["a"]})
        items = await store.asearch((place,), filter=wanted)
        assert sorted(item.key for item in items) == found, place
        assert len(await store.asearch((place,), filter={"name": {"$gt": "a"}}, limit=1, offset=1)) == 1


VALUES: list[Any] = [
    *(True, False, 1, 0, 1.0, 1.5, -0.0, -2, 1e20, 1e-7, 2**60, None),
    *("", "1", "true", "null", "a", "B", "é", "\U0001f600", 'say "x"\n'),
    *([], [1], [True], [1, "é"], {}, {"a": 1}, {"a": True}, {"bb": 1e20, "a": ["\t", None], "é": {}}),
]


async def test_a_search_compares_values_as_sql_does(saver: ThreadSaver, sealing: ThreadSaver) -> None:
    wanted: list[dict[str, Any]] = [{}, {"v": {}}, {"absent": None}, {"absent": {"$ne": 1}}, {"v": {}, "n": 1}]
    wanted += [{"v": value} for value in VALUES if not isinstance(value, dict)]
    wanted += [{"v": {sign: value}} for value in VALUES for sign in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
    wanted += [{"v": {"$gt": "a", "$lt": "z"}, "n": {"$ne": 3}}, {"v": {"$gte": "", "$ne": None}}]
    found: list[list[list[str]]] = []
    for store, place in ((saver.store, "plain"), (sealing.store, "sealed")):
        assert store is not None
        puts = [PutOp((place,), f"{number:02}", {"v": value, "n": number}) for number, value in enumerate(VALUES)]
        await store.abatch([*puts, PutOp((place,), "without", {"n": -1})])
        results: Any = await store.abatch([SearchOp((place,), one, limit=1000) for one in wanted])
        found.append([sorted(item.key for item in items) for items in results])
        for unknown in ({"v": {"a": 1}}, {"v": {"$in": [1]}}):
            with pytest.raises(ValueError, match="Unsupported operator"):
                await store.asearch((place,), filter=unknown)
    for one, plain, sealed in zip(wanted, *found, strict=True):
        assert sealed == plain, one
    assert sum(map(len, found[0])) > len(wanted), "they find something"


async def test_checkpoints_are_listed_by_metadata_as_without_a_key(saver: ThreadSaver, sealing: ThreadSaver) -> None:
    for one, name in ((saver, "plain"), (sealing, "sealed")):
        for number in range(3):
            record: Any = {"v": 4, "id": str(number), "ts": "", "channel_values": {}, "channel_versions": {}}
            record["versions_seen"] = {}
            metadata: Any = {"source": "loop", "step": number, "who": {"name": "x", "age": 3}, "tags": ["a", "b"]}
            await one.aput(
                {"configurable": {"thread_id": name, "checkpoint_ns": ""}},
                record,
                metadata,
                {},
            )
        for wanted, count in (
            ({"who": {"name": "x"}}, 3),
            ({"who": {"name": "y"}}, 0),
            ({"who": {"age": True}}, 0),
            ({"tags": ["a"], "step": 1}, 1),
            ({"tags": ["c"]}, 0),
            ({"nobody": None}, 0),
        ):
            listed = [point async for point in one.alist({"configurable": {"thread_id": name}}, filter=wanted)]
            assert len(listed) == count, (name, wanted)
        few = [
            point async for point in one.alist({"configurable": {"thread_id": name}}, filter={"tags": ["a"]}, limit=2)
        ]
        assert [point.metadata.get("step") for point in few] == [2, 1]


async def test_a_fork_of_a_plain_thread_needs_the_key_that_its_edit_is_sealed_with(
    saver: ThreadSaver, sealing: ThreadSaver, database: str, word: str
) -> None:
    steps = [{"id": "a", "tool": "echo", "args": {"value": "seal"}}, {"id": "b", "tool": "echo", "args": {"value": 1}}]
    await build_plan_graph(TOOLS).compile(checkpointer=saver).ainvoke({"plan": {"subtasks": steps}}, thread())
    await fork_thread(sealing, "t@2", new_id="fork", workspace="fork", edits={"plan.goal": word})
    assert rows_with(database, word) == {}
    app = build_plan_graph(TOOLS).compile(checkpointer=sealing)
    assert (await app.snapshot("fork")).values["plan"]["goal"] == word
    assert {row.thread_id: row.locked for row in await list_threads(saver)} == {"t": False, "fork": True}
    with pytest.raises(EncryptionKeyError, match="The thread 'fork' is encrypted with the key"):
        await get_thread(saver, "fork")
    assert (await build_plan_graph(TOOLS).compile(checkpointer=saver).snapshot("t")).values["results"]["a"]


async def test_a_list_of_few_checkpoints_reads_no_more_than_those(saver: ThreadSaver, sealing: ThreadSaver) -> None:
    def first(state: Words) -> dict[str, Any]:
        return {"seen": [state.get("task")]}

    for one, name in ((saver, "plain"), (sealing, "sealed")):
        config: Any = {**thread(name), "metadata": {"who": "x"}}
        await make_durable(chain(first=first), one).ainvoke({"task": "walrus", "seen": ["one"]}, config)
        points = [point async for point in one.alist(config, filter={"who": "x"})]
        assert len(points) >= 3
        older = [point.checkpoint["id"] for point in points[1:]]
        async with saver.connection() as connection:
            spoil: LiteralString = (
                "UPDATE checkpoint_blobs SET type = 'odd', blob = 'odd' WHERE (channel, version) IN (SELECT v.*"
                " FROM checkpoints, jsonb_each_text(checkpoint -> 'channel_versions') v WHERE checkpoint_id = ANY(%s))"
                " AND (channel, version) NOT IN (SELECT v.* FROM checkpoints,"
                " jsonb_each_text(checkpoint -> 'channel_versions') v WHERE checkpoint_id = %s)"
            )
            assert (await connection.execute(spoil, (older, points[0].checkpoint["id"]))).rowcount > 0
        few = [point async for point in one.alist(config, filter={"who": "x"}, limit=1)]
        assert [point.checkpoint["id"] for point in few] == [points[0].checkpoint["id"]]
        assert [point async for point in one.alist(config, filter={"who": "x"}, limit=0)] == []
        with pytest.raises(ThreadUnreadableError):
            _ = [point async for point in one.alist(config, filter={"who": "x"})]


def test_passages_are_plain_and_it_is_said(program_in: MakeProgram, database: str, key: str, word: str) -> None:
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    (program.folder / "guide.md").write_text(f"Nobody knows what {word} is.\n")
    _, err = program("memory", "add", "guide.md")
    assert "passages are stored as plain text" in err
    assert word in program("memory", "search", word)[0]
    assert rows_with(database, word).keys() == {"passages"}
    out, _ = program("doctor")
    assert "Encryption: with the key" in out
    assert key not in out
    assert key not in program("doctor", "--json")[0]


def test_a_wrong_setting_writes_nothing_plain(program_in: MakeProgram, database: str, word: str) -> None:
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY="not a key")
    plan = program.plan({"id": "a", "goal": word, "tool": "list_files", "args": {"pattern": "*"}})
    _, err = program("run", "--plan", plan, code=2)
    assert "a key is 32 bytes in base64" in err
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM openmanus_graph.threads").fetchone() == (0,)


def test_a_thread_is_forgotten_by_words_that_only_its_key_shows(
    program_in: MakeProgram, database: str, key: str, word: str
) -> None:
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    step = {"id": "a", "tool": "list_files", "args": {"pattern": "*"}}
    for name, goal in (("one", f"tell of {word}s"), ("two", "tell of a seal")):
        (program.folder / f"{name}.json").write_text(json.dumps({"goal": goal, "subtasks": [step]}))
        program("run", "--plan", f"{name}.json", "--thread", name, "--quiet")
    forget = ("memory", "forget", "--matching", word, "--everywhere", "--yes")
    other = program_in(DATABASE_URL=database)
    assert "is encrypted with the key" in other(*forget, code=2)[1]
    for nothing in ("the", "???", "what is it"):  # what has no words finds nothing, as without a key
        program("memory", "forget", "--matching", nothing, "--everywhere", "--yes")
    assert "and 1 thread." in program(*forget)[1]
    assert [thread["thread_id"] for thread in json.loads(program("threads", "list", "--json")[0])] == ["two"]
    other("memory", "forget", "--thread", "two", "--everywhere", "--yes")
    assert json.loads(program("threads", "list", "--json")[0]) == []

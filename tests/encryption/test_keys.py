"""Keys that are missing, wrong, new or old: nothing is lost, nothing is written, and lists still show what there is."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from langgraph.types import Command
from psycopg import sql

from openmanus_graph import Settings, ThreadSaver, build_plan_graph, get_thread, open_checkpointer
from openmanus_graph.checkpoints.encryption.cipher import LOCKED, MARK
from openmanus_graph.checkpoints.reencryption import encrypt_all
from openmanus_graph.checkpoints.threads import list_threads
from openmanus_graph.config.encryption_keys import new_key
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError, ThreadUnreadableError
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.run_config import configurable_of
from tests.chains import Words, chain, thread
from tests.cli.conftest import MakeProgram
from tests.encryption.plain_text import rows_with
from tests.engine.sample_tools import TOOLS

pytestmark = pytest.mark.postgres

VARIABLE = "OPENMANUS_GRAPH_ENCRYPTION_KEY"


def saver_with(database: str, *keys: str) -> Any:
    settings = Settings.load(encryption_key=",".join(keys)) if keys else Settings.load()
    return open_checkpointer(database, settings=settings)


def contents(database: str) -> dict[str, list[Any]]:
    """All rows of all tables, as they are stored."""
    with psycopg.connect(database) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'openmanus_graph'").fetchall()
        query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1")
        return {
            name: connection.execute(query.format(sql.Identifier("openmanus_graph", name))).fetchall()
            for (name,) in names
        }


def plan(word: str, *, asks: bool = False) -> dict[str, Any]:
    ask = [{"id": "b", "tool": "ask_human", "args": {"inquire": f"Who is {word}?"}}] if asks else []
    return {"goal": word, "subtasks": [{"id": "a", "tool": "echo", "args": {"value": word}}, *ask]}


async def run(saver: ThreadSaver, word: str, name: str = "t", *, asks: bool = False) -> None:
    await (
        build_plan_graph(tools=TOOLS).compile(checkpointer=saver).ainvoke({"plan": plan(word, asks=asks)}, thread(name))
    )


@pytest.mark.parametrize("given", ["none", "wrong"])
def test_without_its_key_a_thread_is_listed_and_nothing_else(
    program_in: MakeProgram, database: str, key: str, given: str
) -> None:
    word = f"walrus{secrets.token_hex(4)}"
    owner = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    owner.plan({"id": "a", "tool": "ask_human", "args": {"inquire": f"Who is {word}?"}}, name=f"{word}.yaml")
    owner("run", "--plan", f"{word}.yaml", "--thread", "t", "--quiet", code=3)
    before = contents(database)

    other = program_in(DATABASE_URL=database, **({} if given == "none" else {VARIABLE: new_key()}))
    (row,) = json.loads(other("threads", "list", "--json")[0])
    assert (row["thread_id"], row["status"], row["title"], row["locked"]) == ("t", "waiting", LOCKED, True)
    assert (row["questions"], row["plan"], row["plan_file"]) == ([], None, None)
    assert LOCKED in other("threads", "list")[0]
    commands = [
        ("threads", "show", "t"),
        ("threads", "history", "t"),
        ("threads", "events", "t"),
        ("threads", "rerun", "t@1"),
        ("resume", "t", "--answer", "a=nobody"),
        ("run", "--plan", f"{word}.yaml", "--thread", "t"),
    ]
    for command in commands:
        out, err = other(*command, code=2)
        assert word not in out + err.replace(f"{word}.yaml", "")
        assert "The thread 't' is encrypted with the key '" in err, command
        assert f"Set {VARIABLE}" in err
        assert MARK not in out + err
    assert contents(database) == before, "nothing was written"

    owner("resume", "t", "--answer", f"a=It is {word}", "--quiet")
    assert f"It is {word}" in owner("threads", "show", "t")[0]
    other("threads", "size", "t")
    other("threads", "delete", "t", "--yes")
    assert json.loads(owner("threads", "list", "--json")[0]) == []


async def test_a_graph_of_ones_own_says_which_key_is_missing(database: str, key: str) -> None:
    def first(state: Words) -> dict[str, Any]:
        return {"seen": [state.get("task")]}

    async with saver_with(database, key) as saver:
        await make_durable(chain(first=first), saver).ainvoke({"task": "words", "seen": []}, thread())
    before = contents(database)
    for keys in ((), (new_key(),)):
        async with saver_with(database, *keys) as saver:
            app = make_durable(chain(first=first), saver)
            for attempt in (
                app.ainvoke({"task": "more", "seen": []}, thread()),
                app.aget_state(thread()),
                saver.aget_tuple(thread()),
            ):
                with pytest.raises(EncryptionKeyError, match=VARIABLE):
                    await attempt
    assert contents(database) == before


async def test_a_checkpoint_of_texts_alone_is_not_given_as_if_it_were_plain(database: str, key: str) -> None:
    async with saver_with(database, key) as saver:
        await saver.aput(
            {"configurable": {"thread_id": "t", "checkpoint_ns": ""}},
            {"v": 4, "id": "1", "ts": "", "channel_values": {"a": "words"}, "channel_versions": {"a": "1"},
             "versions_seen": {}, "updated_channels": None},
            {"source": "loop", "step": 0},
            {"a": "1"},
        )  # fmt: skip
    async with saver_with(database) as saver:
        with pytest.raises(EncryptionKeyError):
            await saver.aget_tuple({"configurable": {"thread_id": "t", "checkpoint_ns": ""}})


async def test_a_thread_that_was_plain_goes_on_encrypted(database: str, key: str) -> None:
    old, new = (f"walrus{secrets.token_hex(4)}" for _ in range(2))

    def first(state: Words) -> dict[str, Any]:
        return {"seen": [state.get("task")]}

    async with saver_with(database) as saver:
        await make_durable(chain(first=first), saver).ainvoke({"task": old, "seen": []}, thread())
    assert rows_with(database, old) != {}
    async with saver_with(database, key) as saver:
        app = make_durable(chain(first=first), saver)
        out = await app.ainvoke({"task": new}, thread())
        assert out["seen"] == [old, new]
        assert [state.values.get("task") async for state in app.aget_state_history(thread())].count(old) > 0
        assert rows_with(database, new) == {}
        assert rows_with(database, old) != {}
        assert (await encrypt_all(saver)).rows > 0
        assert rows_with(database, old) == {}
        assert (await encrypt_all(saver)).rows == 0, "the second time there is nothing to do"
        assert (await app.aget_state(thread())).values["seen"] == [old, new]


async def test_keys_are_rotated(database: str, key: str) -> None:
    new = new_key()
    async with saver_with(database, key) as saver:
        old = saver.cipher.id
        await run(saver, "walrus", asks=True)
        await run(saver, "whale", "other")
    async with saver_with(database, new, key) as saver:
        app = build_plan_graph(tools=TOOLS).compile(checkpointer=saver)
        (question,) = await app.questions("t")
        assert question["question"] == "Who is walrus?"
        await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "a seal"}}), thread())
        row = await get_thread(saver, "t")
        assert row is not None and len(row.encrypted_with) == 2
    async with saver_with(database, new) as saver:
        with pytest.raises(EncryptionKeyError):
            await get_thread(saver, "t")
        await run(saver, "seal", "third")
        done = await encrypt_all(saver)
        assert (done.threads, done.running, done.rows) == (1, 0, 0)
        assert [left.split(" is ")[0] for left in done.left] == ["The thread 'other'", "The thread 't'"]
        assert all(old in left for left in done.left), "the key that each lacks is named"
        assert {row.thread_id: row.locked for row in await list_threads(saver)} == {
            "t": True,
            "other": True,
            "third": False,
        }
    async with saver_with(database, new, key) as saver:
        done = await encrypt_all(saver)
        assert (done.threads, done.running, done.left) == (3, 0, [])
    async with saver_with(database, new) as saver:
        assert [row.encrypted_with for row in await list_threads(saver)] == [[saver.cipher.ids[0]]] * 3
        for name, word in (("t", "walrus"), ("other", "whale"), ("third", "seal")):
            app = build_plan_graph(tools=TOOLS).compile(checkpointer=saver)
            state = await app.snapshot(name)
            assert state.values["results"]["a"]["output"] == word
            assert [point async for point in saver.alist(thread(name))]
    async with saver_with(database, key) as saver:
        assert all(row.locked for row in await list_threads(saver))


async def test_a_thread_that_runs_is_left_for_later(database: str, key: str) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def waits(_: Words) -> dict[str, Any]:
        inside.set()
        await leave.wait()
        return {"seen": ["walrus"]}

    async with saver_with(database, key) as saver, saver_with(database, new_key(), key) as rotating:
        running = asyncio.create_task(
            make_durable(chain(waits=waits), saver).ainvoke({"task": "walrus", "seen": []}, thread())
        )
        await inside.wait()
        assert (await encrypt_all(rotating)).running == 1
        leave.set()
        await running
        assert (await encrypt_all(rotating)).running == 0
        assert rows_with(database, "walrus") == {}
        assert (await make_durable(chain(waits=waits), rotating).aget_state(thread())).values["seen"] == ["walrus"]


def test_an_encryption_that_is_killed_is_run_again(program_in: MakeProgram, database: str, key: str) -> None:
    word = f"walrus{secrets.token_hex(4)}"

    async def fill() -> None:
        async with saver_with(database) as saver:
            for number in range(12):
                await run(saver, word, f"t{number}")

    asyncio.run(fill())
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    process = program.start("db", "encrypt")
    with psycopg.connect(database, autocommit=True) as connection:
        query = "SELECT count(*) FROM openmanus_graph.threads WHERE encrypted_with <> '{}'"
        while process.poll() is None and connection.execute(query).fetchone() == (0,):
            time.sleep(0.005)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        done = connection.execute(query).fetchone()
    assert done is not None and 0 < done[0] < 12
    for number in range(12):
        assert word in program("threads", "show", f"t{number}")[0]
    done = json.loads(program("db", "encrypt", "--json")[0])
    assert (done["threads"], done["running"]) == (12, 0)
    assert rows_with(database, word) == {}
    for number in range(12):
        assert word in program("threads", "show", f"t{number}")[0]
    assert json.loads(program("db", "encrypt", "--json")[0])["rows"] == 0


async def test_a_damaged_value_is_one_clear_error(database: str, key: str) -> None:
    def first(state: Words) -> dict[str, Any]:
        return {"seen": [state.get("task")]}

    async with saver_with(database, key) as saver:
        app = make_durable(chain(first=first), saver)
        for word in ("one", "two"):
            await app.ainvoke({"task": word, "seen": []}, thread())
        newest = configurable_of((await app.aget_state(thread())).config)["checkpoint_id"]
        async with saver.connection() as connection:
            await connection.execute(
                "UPDATE checkpoint_blobs SET blob = set_byte(blob, 30, (get_byte(blob, 30) + 1) %% 256)"
                " WHERE channel = 'seen' AND version = (SELECT checkpoint -> 'channel_versions' ->> 'seen'"
                " FROM checkpoints WHERE checkpoint_id = %s)",
                (newest,),
            )
        with pytest.raises(ThreadUnreadableError, match="cannot be opened with its own key") as refused:
            await app.aget_state(thread())
        assert refused.value.good is not None
        async with saver.connection() as connection:
            await connection.execute(
                "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values,task}',"
                " to_jsonb(left(checkpoint #>> '{channel_values,task}', 30))) WHERE checkpoint_id = %s",
                (newest,),
            )
        with pytest.raises(DamagedValueError, match="damaged"):
            await app.aget_state(thread())
        async with saver.connection() as connection:
            await connection.execute("UPDATE threads SET title = %s", (f"{MARK}tAAAA",))
        assert [row.title for row in await list_threads(saver)] == [LOCKED]
        with pytest.raises(DamagedValueError):
            await get_thread(saver, "t")


def test_a_runner_that_is_killed_is_resumed_with_its_key(program_in: MakeProgram, database: str, key: str) -> None:
    word = f"walrus{secrets.token_hex(4)}"
    program = program_in(DATABASE_URL=database, OPENMANUS_GRAPH_ENCRYPTION_KEY=key)
    log = str(program.folder / "log")
    steps = [
        {"id": f"s{n}", "goal": word, "tool": "work", "args": {"name": f"{word}-{n}", "seconds": 0.3, "logfile": log}}
        for n in range(6)
    ]
    for before, after in pairwise(steps):
        after["needs"] = [before["id"]]
    program.plan(*steps)
    options = ("run", "--plan", "plan.yaml", "--thread", "t", "--tools", program.tools, "--policy", "allow")
    for _ in range(2):
        done = len(program.log())
        process = program.start(*(options if not done else ("resume", "t")))
        while process.poll() is None and len(program.log()) < done + 3:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert rows_with(database, word) == {}
    other = program_in(DATABASE_URL=database)
    assert "is encrypted with the key" in other("resume", "t", code=2)[1]
    out, _ = program("resume", "t", "--json")
    assert '"status": "completed"' in out
    ended = [line for line in program.log() if line.startswith("end")]
    assert [line for line in dict.fromkeys(ended)] == [f"end {word}-{n}" for n in range(6)]
    assert len(ended) <= 8, "only what was in flight ran again"
    assert rows_with(database, word) == {}

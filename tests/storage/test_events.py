"""Kept events: all of a run's but its tokens, in order, each once; and a lost database ends no run in silence."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any, cast

import psycopg
import pytest
from psycopg import conninfo
from psycopg import sql as queries

from openmanus_graph import ThreadSaver, delete_thread, get_thread, open_checkpointer
from openmanus_graph.checkpoints import events as kept
from openmanus_graph.checkpoints.events import EventLog, stored_events
from openmanus_graph.events import Event
from tests.storage.conftest import NewThread

pytestmark = pytest.mark.postgres


def event(number: int | str, **fields: Any) -> Event:
    return cast("Event", {"type": "subtask_progress", "id": f"t/{number}", "text": str(number), **fields})


@pytest.fixture
async def log(saver: ThreadSaver, new_thread: NewThread) -> AsyncIterator[EventLog]:
    await new_thread("t")
    opened = EventLog("t", saver)
    yield opened
    await opened.close()


async def texts(saver: ThreadSaver, thread_id: str = "t", **options: Any) -> list[str]:
    return [found.get("text", "") for found in await stored_events(saver, thread_id, **options)]


async def until_stored(saver: ThreadSaver, count: int) -> None:
    async with asyncio.timeout(10):
        while len(await stored_events(saver, "t")) < count:
            await asyncio.sleep(0.02)


async def test_events_are_stored_in_order_while_the_run_goes_on(saver: ThreadSaver, log: EventLog) -> None:
    for number in range(50):
        log.add(event(number))
    await until_stored(saver, 50)

    assert await texts(saver) == [str(number) for number in range(50)]


async def test_an_event_that_comes_during_a_store_waits_for_no_other(saver: ThreadSaver, log: EventLog) -> None:
    blocker = await psycopg.AsyncConnection.connect(saver.conninfo)
    await blocker.execute("LOCK TABLE openmanus_graph.events IN EXCLUSIVE MODE")
    log.add(event("first"))
    await asyncio.sleep(2 * kept.FLUSH_SECONDS)  # its batch hangs in the database now
    log.add(event("second"))
    await blocker.rollback()
    await blocker.close()
    await until_stored(saver, 2)

    assert await texts(saver) == ["first", "second"]


async def test_what_waits_is_stored_at_the_end(saver: ThreadSaver, log: EventLog) -> None:
    log.add(event("last"))
    await log.close()

    assert await texts(saver) == ["last"]
    log.add(event("after"))  # a run that is taken up again with the same log
    await log.close()
    assert await texts(saver) == ["last", "after"]


async def test_closing_during_a_store_loses_and_doubles_nothing(saver: ThreadSaver, log: EventLog) -> None:
    blocker = await psycopg.AsyncConnection.connect(saver.conninfo)
    await blocker.execute("LOCK TABLE openmanus_graph.events IN EXCLUSIVE MODE")
    log.add(event("on its way"))
    await asyncio.sleep(2 * kept.FLUSH_SECONDS)
    log.add(event("waiting"))
    closing = asyncio.create_task(log.close())
    await asyncio.sleep(0.05)
    await blocker.rollback()
    await blocker.close()
    await closing

    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT event ->> 'text' AS text FROM events ORDER BY number")
        ).fetchall()
    assert [row["text"] for row in rows] == ["on its way", "waiting"]


async def test_tokens_are_not_kept(saver: ThreadSaver, log: EventLog) -> None:
    log.add(event(1, type="model_tokens"))
    log.add(event(2, type="model_finished"))
    await log.close()

    assert await texts(saver) == ["2"]


async def test_an_event_that_is_changed_later_is_kept_as_it_was(saver: ThreadSaver, log: EventLog) -> None:
    made = event("before")
    log.add(made)
    made["text"] = "after"
    await log.close()

    assert await texts(saver) == ["before"]


async def test_events_come_from_the_threads_of_tools_too(saver: ThreadSaver, log: EventLog) -> None:
    log.add(event("loop"))
    await until_stored(saver, 1)

    worker = threading.Thread(target=lambda: log.add(event("thread")))
    worker.start()
    worker.join()
    await until_stored(saver, 2)

    assert await texts(saver) == ["loop", "thread"]


async def test_what_a_resume_repeats_is_given_once_where_it_was_and_as_it_is(saver: ThreadSaver, log: EventLog) -> None:
    for made in (event("start"), event("reply", text="before the kill"), event("other"), event("reply", text="after")):
        log.add(made)
    await log.close()

    found = await stored_events(saver, "t")

    assert [made.get("text") for made in found] == ["start", "after", "other"]
    numbers = [cast("dict[str, int]", made)["number"] for made in found]
    assert numbers == sorted(numbers)


async def test_a_view_reads_on_from_where_it_was(saver: ThreadSaver, log: EventLog) -> None:
    seen: list[str] = []
    after = 0
    for number in range(7):
        log.add(event(number))
    await log.close()
    while found := await stored_events(saver, "t", after=after, limit=3):
        seen += [made.get("text", "") for made in found]
        after = cast("dict[str, int]", found[-1])["number"]

    assert seen == [str(number) for number in range(7)]


AWKWARD = {
    "nul": ("a\0b", "a\ufffdb"),
    "half a pair": ("a\ud800b", "a\ufffdb"),
    "infinite": (float("inf"), "inf"),
    "no number": ([float("nan")], ["nan"]),
    "a set": ({"x"}, ["x"]),
    "a tuple": ((1, None, True), [1, None, True]),
    "a foreign object": ({"at": asyncio.Lock}, {"at": "<class 'asyncio.locks.Lock'>"}),
    "a key": ({3: "\0"}, {"3": "\ufffd"}),
}


@pytest.mark.parametrize(("value", "stored"), AWKWARD.values(), ids=AWKWARD)
async def test_no_value_costs_its_neighbours(saver: ThreadSaver, log: EventLog, value: Any, stored: Any) -> None:
    log.add(event("before"))
    log.add(event("awkward", args={"value": value}))
    log.add(event("after"))
    await log.close()

    found = await stored_events(saver, "t")
    assert [made.get("text") for made in found] == ["before", "awkward", "after"]
    assert found[1].get("args") == {"value": stored}
    assert json.loads(json.dumps(found)) == found


async def test_events_go_with_their_thread(saver: ThreadSaver, log: EventLog) -> None:
    log.add(event(1))
    await log.close()
    thread = await get_thread(saver, "t")
    assert thread is not None

    await delete_thread(saver, thread)

    assert await texts(saver) == []


async def test_events_of_a_thread_that_is_gone_are_said_to_be_lost(
    saver: ThreadSaver, caplog: pytest.LogCaptureFixture
) -> None:
    log = EventLog("gone", saver)
    log.add(event(1))
    with caplog.at_level(logging.WARNING):
        await log.close()

    assert log.lost == 1
    assert "Of thread 'gone', 1 event could not be kept: insert" in caplog.text


async def test_broken_connections_lose_nothing(
    database: str, saver: ThreadSaver, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(3):
        log.add(event(number))
        await kill_connections(database)
        await asyncio.sleep(1.2 * kept.FLUSH_SECONDS)
    await until_stored(saver, 3)

    assert await texts(saver) == ["0", "1", "2"]
    assert log.lost == 0


async def kill_connections(database: str) -> None:
    admin = await psycopg.AsyncConnection.connect(conninfo.make_conninfo(database, dbname="postgres"), autocommit=True)
    name = conninfo.conninfo_to_dict(database)["dbname"]
    await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    await admin.close()


async def test_a_lost_database_ends_no_run_and_is_said(
    server: str, database: str, saver: ThreadSaver, log: EventLog, caplog: pytest.LogCaptureFixture
) -> None:
    name = queries.Identifier(str(conninfo.conninfo_to_dict(database)["dbname"]))
    admin = await psycopg.AsyncConnection.connect(server, autocommit=True)
    async with open_checkpointer(database) as other:
        lost = EventLog("t", other)
        lost.add(event("kept"))
        await lost.close()
        other.pool.timeout = 1.0
        await admin.execute(queries.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            await kill_connections(database)
            with caplog.at_level(logging.WARNING, "openmanus_graph"):
                lost.add(event("not kept"))
                await lost.close()
        finally:
            await admin.execute(queries.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
            await admin.close()

    assert lost.lost == 1
    assert "Of thread 't', 1 event could not be kept; the run goes on." in caplog.text


async def test_waiting_events_are_bounded(saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_WAITING", 10)
    log = EventLog("t", saver)  # its thread does not exist yet, but that is not what fails here
    async with saver.connection() as connection:
        await connection.execute("ALTER TABLE events RENAME TO elsewhere")
    for number in range(25):
        log.add(event(number))
    await asyncio.sleep(1.5 * kept.FLUSH_SECONDS)

    assert log.lost == 15
    await log.close()
    assert log.lost == 25


async def test_without_a_store_nothing_is_kept_and_nothing_waits() -> None:
    log = EventLog("t", None)
    log.add(event(1))
    await log.close()

    assert log.lost == 0

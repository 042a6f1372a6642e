"""Life time: the server is there while somebody uses it, and not longer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.config.settings import Settings
from tests.server.people import Member, RefusedError, running, servers, told_of_servers

pytestmark = pytest.mark.postgres
Join = Callable[..., Member]


async def test_a_block_has_a_database_and_leaves_no_process(settings: Settings, home: Path) -> None:
    import psycopg

    async with EmbeddedServer(settings) as url:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            row = await (await connection.execute("SELECT current_database(), current_user")).fetchone()
        assert row == ("openmanus", "openmanus")
        assert running(settings)
    assert not running(settings)
    assert servers(home) == []


async def test_two_users_in_one_process_count_as_two(settings: Settings) -> None:
    first, second = EmbeddedServer(settings), EmbeddedServer(settings)
    assert await first.acquire() == await second.acquire()
    await first.release()
    assert running(settings)
    await second.release()
    assert not running(settings)


async def test_acquire_and_release_may_be_repeated(settings: Settings) -> None:
    server = EmbeddedServer(settings)
    await server.release()
    await server.acquire()
    await server.acquire()
    await server.release()
    await server.release()
    assert not running(settings)
    await server.acquire()
    assert running(settings)
    await server.release()


def test_the_last_process_to_leave_stops_it(join: Join, settings: Settings) -> None:
    first, second = join(), join()
    first.do("acquire")
    second.do("acquire")
    assert first.leave() == 0  # without a word: the interpreter's exit releases
    assert running(settings)
    assert second.do("query SELECT 1") == [[1]]
    assert second.leave() == 0
    assert not running(settings)


def test_a_killed_user_breaks_nobody_and_the_next_release_stops_the_server(join: Join, settings: Settings) -> None:
    first, second = join(), join()
    first.do("acquire")
    second.do("acquire")
    first.kill()
    assert second.do("query SELECT 1") == [[1]]
    second.kill()
    assert running(settings)  # nobody was left to stop it
    third = join()
    third.do("acquire")
    third.do("release")
    assert not running(settings)


def test_a_forked_child_gives_back_nothing_of_its_parents(join: Join, settings: Settings) -> None:
    member = join()
    member.do("acquire")
    assert member.do("fork") == 0
    assert running(settings)
    assert member.do("query SELECT 1") == [[1]]
    member.do("release")
    assert not running(settings)


def test_it_outlives_the_terminal_of_who_started_it(join: Join, settings: Settings) -> None:
    starter, other = join(), join()
    starter.do("acquire")
    other.do("acquire")
    # What a terminal sends at Ctrl-C and when it closes: to the whole process group.
    os.killpg(starter.pid, signal.SIGINT)
    os.killpg(starter.pid, signal.SIGHUP)
    starter.process.wait(10)
    assert other.do("query SELECT 1") == [[1]]
    assert running(settings)
    other.do("release")
    assert not running(settings)


def test_it_knows_nothing_of_its_starters_environment(join: Join, home: Path) -> None:
    member = join()
    member.do("acquire")
    for pid, environment in told_of_servers(home, "environ").items():
        if pid != member.pid:
            assert b"hush" not in environment


def test_a_pin_keeps_it_until_stop(join: Join, settings: Settings, home: Path) -> None:
    member = join()
    member.do("start")
    assert member.do("status")["pinned"] == "True"
    member.do("acquire")
    member.do("release")
    member.leave()
    assert running(settings)
    asyncio.run(EmbeddedServer(settings).stop())
    status = EmbeddedServer(settings).status()
    assert not status.running
    assert not status.pinned
    assert servers(home) == []


def test_a_pin_of_an_earlier_boot_is_void(settings: Settings, home: Path) -> None:
    asyncio.run(EmbeddedServer(settings).start())
    asyncio.run(EmbeddedServer(settings).stop())
    (home / "postgres" / "pinned").write_text("another boot")

    async def visit() -> None:
        async with EmbeddedServer(settings):
            assert not EmbeddedServer(settings).status().pinned

    asyncio.run(visit())
    assert not running(settings)


def test_stop_spares_its_users_unless_forced(join: Join, settings: Settings) -> None:
    member, other = join(), join()
    member.do("acquire")
    member.do("start")
    with pytest.raises(RefusedError, match=f"in use by processes {member.pid}, and stops when") as refused:
        other.do("stop")
    assert "--force" in refused.value.hint
    assert member.do("query SELECT 1") == [[1]]
    assert member.do("status")["pinned"] == "False"  # from now on the last user stops it
    other.do("force")
    assert not running(settings)
    member.do("acquire")  # a user may have it back
    assert member.do("query SELECT 1") == [[1]]


async def test_stop_without_a_server_is_no_failure(settings: Settings, home: Path) -> None:
    await EmbeddedServer(settings).stop()
    assert list(home.iterdir()) == []


async def test_a_cancelled_acquire_leaves_no_user_behind(settings: Settings, home: Path) -> None:
    server = EmbeddedServer(settings)
    joining = asyncio.create_task(server.acquire())
    await asyncio.sleep(0.05)
    joining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joining
    assert servers(home) == []


async def test_status_tells_what_is_there(settings: Settings, home: Path) -> None:
    server = EmbeddedServer(settings)
    before = server.status()
    assert (before.running, before.version, before.size, before.users) == (False, None, 0, [])
    assert list(home.iterdir()) == []  # looking makes nothing
    async with server as url:
        during = server.status()
        assert during.running
        assert during.version
        assert during.version.startswith("18.")
        assert (during.url, during.users) == (url, [os.getpid()])
        assert during.size > 20_000_000
    after = server.status()
    assert (after.running, after.version, after.users) == (False, "18", [])


async def test_joining_a_running_server_starts_nothing(settings: Settings) -> None:
    async with EmbeddedServer(settings) as url:
        began = await _started_at(url)
        for _ in range(20):
            async with EmbeddedServer(settings) as again:
                assert again == url
        assert await _started_at(url) == began


async def _started_at(url: str) -> datetime:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute("SELECT pg_postmaster_start_time()")).fetchone()
    assert row is not None
    return row[0]


async def test_data_stay(settings: Settings) -> None:
    import psycopg

    for turn in range(2):
        async with EmbeddedServer(settings) as url, await psycopg.AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (turn int)")
            await connection.execute("INSERT INTO kept VALUES (%s)", [turn])
            rows = await (await connection.execute("SELECT count(*) FROM kept")).fetchone()
            assert rows == (turn + 1,)


async def test_an_error_in_the_block_leaves_no_server_behind(settings: Settings) -> None:
    with pytest.raises(ZeroDivisionError):
        async with EmbeddedServer(settings):
            raise ZeroDivisionError
    assert not running(settings)

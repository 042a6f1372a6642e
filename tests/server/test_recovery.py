"""Recovery: killed servers, killed starters, and what they leave lying about."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.checkpoints.server.paths import ServerPaths
from openmanus_graph.config.settings import Settings
from tests.server.people import Member, postmaster, running, servers, using

pytestmark = [pytest.mark.postgres, pytest.mark.kill]
Join = Callable[..., Member]


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def test_a_killed_postmaster_is_recovered_with_every_commit(join: Join, home: Path) -> None:
    member = join()
    member.do("acquire")
    member.do("query CREATE TABLE kept AS SELECT generate_series(1, 1000)")
    for _ in range(3):
        os.kill(postmaster(home), signal.SIGKILL)
        assert member.do("acquire").endswith("/run")
        member.do("query INSERT INTO kept VALUES (0)")
    assert member.do("query SELECT count(*) FROM kept") == [[1003]]
    member.do("release")
    assert servers(home) == []


def test_a_busy_back_end_of_a_killed_postmaster_does_not_block_the_next(join: Join, home: Path) -> None:
    busy, member = join(), join()
    busy.do("acquire")
    busy.send("query DO $$ BEGIN LOOP END LOOP; END $$")  # never looks whether its postmaster lives
    member.do("acquire")
    until(lambda: member.do("query SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%'") == [[1]])
    os.kill(postmaster(home), signal.SIGKILL)
    time.sleep(0.2)
    assert len(servers(home)) == 1
    began = time.monotonic()
    member.do("acquire")
    assert member.do("query SELECT 1") == [[1]]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("then", ["acquire", "stop"])
def test_a_server_that_lost_its_socket_is_replaced_or_stopped(
    join: Join, home: Path, settings: Settings, then: str
) -> None:
    killed = join()
    killed.do("acquire")
    killed.do("query CREATE TABLE kept AS SELECT generate_series(1, 1000)")
    killed.kill()
    first = postmaster(home)
    for file in ServerPaths.below(home).sockets.iterdir():  # as an earlier server of the same path does at its end
        file.unlink()
    if then == "stop":
        asyncio.run(EmbeddedServer(settings).stop())
        assert servers(home) == []
    member = join()
    member.do("acquire")
    assert postmaster(home) != first
    assert member.do("query SELECT count(*) FROM kept") == [[1000]]
    member.do("release")
    assert servers(home) == []


@pytest.mark.parametrize("where", ["pid file", "socket lock"])
def test_a_stranger_with_a_stale_pid_is_neither_hurt_nor_in_the_way(settings: Settings, home: Path, where: str) -> None:
    asyncio.run(using(settings).release())
    owner = (home / "postgres" / "data").stat()
    # Of the server's own account: a process of another user would not stop Postgres either.
    stranger = subprocess.Popen(["sleep", "60"], user=owner.st_uid if os.geteuid() == 0 else None)
    try:
        folder = home / "postgres"
        file = folder / "data" / "postmaster.pid" if where == "pid file" else folder / "run" / ".s.PGSQL.5432.lock"
        lines = [stranger.pid, folder / "data", 0, 5432, folder / "run", "", ""]
        file.write_text("\n".join(map(str, lines)))
        os.chown(file, owner.st_uid, owner.st_gid)
        server = using(settings)
        assert running(settings)
        asyncio.run(server.release())
        assert not running(settings)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_starter_killed_in_initdb_leaves_nothing_half_made(join: Join, home: Path, settings: Settings) -> None:
    first = join()
    first.send("acquire")
    until(lambda: list((home / "postgres").glob("draft-*/base")))
    first.kill()
    assert not (home / "postgres" / "data").exists()
    second = join()
    second.do("acquire")
    assert second.do("query SELECT 1") == [[1]]
    assert list((home / "postgres").glob("draft-*")) == []
    second.do("release")
    assert not running(settings)


def test_a_starter_killed_while_the_server_starts_is_succeeded(join: Join, home: Path, settings: Settings) -> None:
    first, second = join(), join()
    first.send("acquire")
    until((home / "postgres" / "data" / "postmaster.pid").exists)
    first.kill()
    second.do("acquire")
    assert second.do("query SELECT 1") == [[1]]
    second.do("release")
    assert not running(settings)


def test_a_killed_initdb_is_reported(join: Join, home: Path) -> None:
    member = join()
    member.send("acquire")
    until(lambda: list((home / "postgres").glob("draft-*/base")))
    for pid in servers(home):
        if pid != member.pid:
            with suppress(ProcessLookupError):  # initdb's children come and go
                os.kill(pid, signal.SIGKILL)
    with pytest.raises(Exception, match="EmbeddedServerError: The embedded server could not create its data"):
        member.reply()
    assert list((home / "postgres").glob("draft-*")) == []
    member.do("acquire")
    assert member.do("query SELECT 1") == [[1]]


def test_a_server_that_hangs_is_named(home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from openmanus_graph.checkpoints.server import wire

    monkeypatch.setattr(wire.ask, "__defaults__", (0.3,))
    server = using(settings)
    frozen = postmaster(home)
    os.kill(frozen, signal.SIGSTOP)
    try:
        with pytest.raises(Exception, match=rf"\(process {frozen}\) accepts connections and then says nothing"):
            asyncio.run(EmbeddedServer(settings).acquire())
    finally:
        os.kill(frozen, signal.SIGCONT)
    asyncio.run(server.release())
    assert not running(settings)


def test_the_log_is_cut_while_the_server_writes_on(settings: Settings, home: Path) -> None:
    server = using(settings)
    log = home / "postgres" / "server.log"
    with log.open("a") as file:
        file.write("x" * 1_500_000)
    asyncio.run(EmbeddedServer(settings).acquire())
    assert log.stat().st_size < 10_000
    assert (home / "postgres" / "server.log.1").stat().st_size <= 1_000_000
    asyncio.run(server.stop(force=True))
    assert "shut down" in log.read_text()

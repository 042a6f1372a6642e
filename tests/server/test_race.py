"""Race: many processes at once, on a cold folder and while the last one leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from openmanus_graph.config.settings import Settings
from tests.server.people import Member, running, servers

pytestmark = pytest.mark.postgres
Join = Callable[..., Member]


def test_eight_processes_on_a_cold_folder_share_one_server(join: Join, settings: Settings, home: Path) -> None:
    members = [join() for _ in range(8)]
    for member in members:
        member.send("acquire")
    assert len({member.reply() for member in members}) == 1
    starts = {member.do("query SELECT pg_postmaster_start_time()::text")[0][0] for member in members[:3]}
    assert len(starts) == 1
    log = (home / "postgres" / "server.log").read_text()
    assert log.count("ready to accept connections") == 1
    for member in members:
        member.send("release")
    for member in members:
        member.reply()
    assert not running(settings)
    assert servers(home) == []


def test_nobody_loses_the_server_while_others_come_and_go(join: Join, settings: Settings) -> None:
    members = [join() for _ in range(5)]
    members[0].do("acquire")
    members[0].do("query CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY)")
    members[0].do("release")
    for member in members:
        member.send("storm 8")
    for member in members:
        member.reply()
    members[0].do("acquire")
    assert members[0].do("query SELECT count(*) FROM visits") == [[40]]
    members[0].do("release")
    assert not running(settings)

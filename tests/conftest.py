"""Fixtures that every test may use: a real embedded Postgres, and a database cloned for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from openmanus_graph import Settings, ThreadSaver, open_checkpointer
from openmanus_graph.checkpoints.server.embedded import EmbeddedServer

Require = Callable[[bool, str, str], None]


@pytest.fixture
def require() -> Require:
    """Skip where a component is missing, with the reason and the cure; fail under `REQUIRE=all`."""

    def check(condition: bool, reason: str, cure: str) -> None:
        if condition:
            return
        message = f"{reason}; enable with: {cure}"
        if os.environ.get("OPENMANUS_GRAPH_REQUIRE") == "all":
            pytest.fail(message)
        pytest.skip(message)

    return check


TEMPLATE = "template_for_tests"


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server that lives as long as the session."""
    home = Path(tempfile.mkdtemp(prefix="omg-"))
    home.chmod(0o755)
    embedded = EmbeddedServer(Settings.load(home=home))
    url = asyncio.run(embedded.acquire())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))

    async def prepare() -> None:
        async with open_checkpointer(conninfo.make_conninfo(url, dbname=TEMPLATE), migrate_tables=True):
            pass

    asyncio.run(prepare())
    yield url
    asyncio.run(embedded.release())
    shutil.rmtree(home)


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
        )
        yield conninfo.make_conninfo(server, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
async def saver(database: str) -> AsyncIterator[ThreadSaver]:
    """A saver on the test's database."""
    async with open_checkpointer(database) as opened:
        yield opened

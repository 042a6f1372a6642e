"""A real embedded Postgres for the whole session, and a fresh database, cloned from a template, for each test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from openmanus_graph import Settings, ThreadSaver, open_checkpointer
from openmanus_graph.checkpoints.embedded import EmbeddedServer

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


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own, where workspaces go by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

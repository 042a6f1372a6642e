"""Fixtures: one data folder for all pages, and a folder in which a page is followed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from openmanus_graph import Settings
from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.checkpoints.thread_tables import THREAD_TABLES
from tests.docs.blocks import TOP
from tests.docs.story import Story
from tests.interpreter import Interpreter


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A data folder that the server's account can reach also when the tests run as root."""
    base = Path(tempfile.mkdtemp(prefix="omg-docs-"))
    base.chmod(0o755)
    yield base / "home"
    command = [sys.executable, "-m", "openmanus_graph", "db", "stop"]
    environment = {
        "OPENMANUS_GRAPH_HOME": str(base / "home"),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(TOP),
    }
    subprocess.run(command, check=True, env=environment, capture_output=True)
    shutil.rmtree(base)


def forget_threads(home: Path) -> None:
    """Empty the tables of threads, so that two pages may use the same name for one."""
    if not home.exists():
        return
    server = EmbeddedServer(Settings.load(home=home))
    with psycopg.connect(asyncio.run(server.acquire()), autocommit=True) as connection:
        found = connection.execute("SELECT to_regclass('openmanus_graph.threads') IS NOT NULL").fetchone()
        if found is not None and found[0]:
            names = sql.SQL(", ").join(
                sql.Identifier("openmanus_graph", name) for name in (*THREAD_TABLES, "passages", "vector_targets")
            )
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))
    asyncio.run(server.release())


@pytest.fixture
def story(home: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """A page's own folder, with the environment that its blocks run in."""
    folder = Path(tempfile.mkdtemp(prefix="omg-page-"))
    folder.chmod(0o755)
    followed = Story(folder, home, interpreter)
    monkeypatch.setenv("OPENMANUS_GRAPH_HOME", str(home))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield followed
    followed.close()
    forget_threads(home)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
    shutil.rmtree(folder)

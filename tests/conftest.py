"""Fixtures that every test may use: a real embedded Postgres, and a database cloned for each test."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import conninfo, sql
from xdist.scheduler import LoadFileScheduling

from openmanus_graph import Settings, ThreadSaver, open_checkpointer
from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from tests.interpreter import Interpreter


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: most tests wait for processes that they have started, two thirds of their time."""
    return 2 * len(os.sched_getaffinity(0))


COSTLY = ("neo4j", "chroma-server")
"""Servers that take half a minute of a processor to start: what needs one goes to one worker, which starts it once."""


class ByServer(LoadFileScheduling):
    """The tests of a file to one worker, and to one worker all tests that need the same costly server."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        text = _text_of(self.config.rootpath / file)
        return next((name for name in COSTLY if f"[{name}" in test or f"-{name}" in test or name in text), file)


@cache
def _text_of(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer | None:
    """Where `--dist loadfile` is asked for, mind costly servers, too."""
    return ByServer(config, log) if config.getoption("dist") == "loadfile" else None


# No test depends on how fast the machine is, nor does what it is given.
_UNHURRIED: Any = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("unhurried", **_UNHURRIED)
hypothesis.settings.register_profile("fast", max_examples=20, **_UNHURRIED)
hypothesis.settings.load_profile("unhurried")

SERVED = {"database", "saver", "empty_database", "bench_of", "shell_of", "home", "elsewhere"}
"""Fixtures that need the server."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what their fixtures need, whether or not they say so."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        if used & SERVED:
            item.add_marker(pytest.mark.postgres)
        if "interpreter" in used:
            item.add_marker(pytest.mark.programs)


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


@pytest.fixture
def needs_pdfium(require: Require) -> None:
    """What reads PDFs."""
    require(find_spec("pypdfium2") is not None, "PDFium is not installed", "pip install 'openmanus-graph[pdf]'")


@pytest.fixture
def needs_trafilatura(require: Require) -> None:
    """What finds the article of a page."""
    require(
        find_spec("trafilatura") is not None, "trafilatura is not installed", "pip install 'openmanus-graph[articles]'"
    )


@pytest.fixture
def needs_office(require: Require) -> None:
    """What reads files of office programs."""
    found = find_spec("mammoth") is not None and find_spec("openpyxl") is not None
    require(found, "mammoth or openpyxl is not installed", "pip install 'openmanus-graph[office]'")


TEMPLATE = "template_for_tests"
FAST = ("fsync", "synchronous_commit", "full_page_writes")
"""Settings of Postgres that outlive only a crash of the whole machine, which no test makes; without them, making and
dropping a database takes a twentieth of the time."""


@contextmanager
def new_database(server: str, template: str = TEMPLATE) -> Iterator[str]:
    """Make a database for the block; gives its URL.

    Args:
        server: The session's server.
        template: The database that it is a copy of.
    """
    name = f"test_{uuid.uuid4().hex[:12]}"
    made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(made.format(sql.Identifier(name), sql.Identifier(template)))
        yield conninfo.make_conninfo(server, dbname=name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server that lives as long as the session."""
    home = Path(tempfile.mkdtemp(prefix="omg-"))
    home.chmod(0o755)
    embedded = EmbeddedServer(Settings.load(home=home))
    url = asyncio.run(embedded.acquire())
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in FAST:
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))

    async def prepare() -> None:
        async with open_checkpointer(conninfo.make_conninfo(url, dbname=TEMPLATE), migrate_tables=True):
            pass

    asyncio.run(prepare())
    yield url
    asyncio.run(embedded.release())
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Interpreter]:
    """Forks a process for each command, as long as the session lives."""
    with Interpreter() as started:
        yield started


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    with new_database(server) as url:
        yield url


@pytest.fixture
async def saver(database: str) -> AsyncIterator[ThreadSaver]:
    """A saver on the test's database."""
    async with open_checkpointer(database) as opened:
        yield opened

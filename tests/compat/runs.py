"""Runs: LangGraph's suite in a process of its own, on one saver, on a Postgres server that is thrown away after."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from .product import EmbeddedServer, Settings, open_checkpointer
from .savers import REPORT_VARIABLE, SAVER_VARIABLE, SERVER_VARIABLE, TEMPLATE, Saver
from .suite import BUILD, TOP, Suite, SuiteError

TEST_SECONDS = 300
"""After so long a test is taken to hang; the slowest take some seconds on an idle machine."""

HASTY = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")
"""What the server may do without, because nothing here outlives it: a database is made and removed for each test."""


@dataclass(frozen=True)
class Ended:
    """How a test ended."""

    outcome: str
    """`passed`, `failed` or `skipped`."""

    said: str = ""
    """What was said of a failure."""


@dataclass(frozen=True)
class Run:
    """The suite, once, on one saver."""

    saver: Saver
    """What it ran on."""

    tests: dict[str, Ended]
    """How each test ended, by its id."""

    seconds: float
    """How long it took."""

    unsteady: tuple[str, ...] = ()
    """Tests that failed at first and passed when they were run again, alone."""


@asynccontextmanager
async def server() -> AsyncGenerator[str]:
    """The URL of a server with the template of our tables; a database's name may be appended to it."""
    home = Path(tempfile.mkdtemp(prefix="omg-"))
    home.chmod(0o755)
    try:
        async with EmbeddedServer(Settings.load(home=home)) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                for setting in HASTY:
                    connection.execute(f"ALTER SYSTEM SET {setting}".encode())
                connection.execute("SELECT pg_reload_conf()")
                connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
            async with open_checkpointer(conninfo.make_conninfo(url, dbname=TEMPLATE), migrate_tables=True):
                pass
            yield _appendable(url)
    finally:
        shutil.rmtree(home)


def _appendable(url: str) -> str:
    """The URL without a database, ending in a slash; the folder of a socket is escaped, as a host."""
    parts = conninfo.conninfo_to_dict(url)
    user, host, port = (str(parts.get(key) or "") for key in ("user", "host", "port"))
    return f"postgresql://{user}@{quote(host, safe='')}:{port or 5432}/"


def last_failed(saver: Saver) -> list[str]:
    """The tests that failed on a saver when it was run whole last.

    Raises:
        SuiteError: If none did, or it never was.
    """
    report, again = (BUILD / f"{saver}-{which}.json" for which in ("all", "again"))
    if not report.is_file():
        raise SuiteError(f"{str(saver)!r} was not run whole yet, so nothing is known of its failures.")
    found = _read(report)
    ended = {**found, **(_read(again) if again.is_file() else {})}
    failed = [name for name in found if ended[name].outcome == "failed"]
    if not failed:
        raise SuiteError(f"No test failed on {str(saver)!r} last time.")
    return failed


def _read(report: Path) -> dict[str, Ended]:
    said: dict[str, dict[str, str]] = json.loads(report.read_text(encoding="utf-8"))
    return {name: Ended(**ended) for name, ended in said.items()}


async def run(
    suite: Suite, saver: Saver, url: str, options: Sequence[str], jobs: int, only: Sequence[str] | None = None
) -> Run:
    """Run the suite on one saver; what fails is run once more, alone, because some tests of the suite need speed.

    What is said of a part is kept apart from what is said of the whole.

    Args:
        suite: The suite.
        saver: What to run it on.
        url: The server, as `server` gives it.
        options: More options of pytest.
        jobs: How many tests at the same time.
        only: Ids of the tests to run; `None` means those that the options choose of all.

    Raises:
        SuiteError: If it could not be run.
    """
    began = time.monotonic()
    part = "part-" if options or only is not None else ""
    chosen = suite.files if only is None else only
    if not part:
        (BUILD / f"{saver}-again.json").unlink(missing_ok=True)
    tests = await _pytest(suite, saver, url, ["--numprocesses", str(jobs), *options, *chosen], f"{part}all")
    failed = [name for name, ended in tests.items() if ended.outcome == "failed"]
    again = await _pytest(suite, saver, url, failed, f"{part}again") if failed else {}
    unsteady = tuple(name for name in failed if again[name].outcome == "passed")
    return Run(saver, {**tests, **again}, time.monotonic() - began, unsteady)


async def _pytest(suite: Suite, saver: Saver, url: str, arguments: Sequence[str], which: str) -> dict[str, Ended]:
    """Run tests in a process of their own; its output is kept in a file."""
    report, log = (BUILD / f"{saver}-{which}.{end}" for end in ("json", "log"))
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-c", str(suite.folder / "pyproject.toml"), "-p", "compat.plugin"]
    # Its asynchronous tests are anyio's. What is slow is told by the suite's own settings.
    command += ["-p", "no:asyncio", "-p", "no:cacheprovider", "--tb=short", "--timeout", str(TEST_SECONDS)]
    # The suite is the package `tests` there, so what is ours is found through our folder of that name.
    path = os.pathsep.join(map(str, (suite.folder, suite.helpers, TOP / "tests")))
    ours = {"PYTHONPATH": path, SAVER_VARIABLE: saver, SERVER_VARIABLE: url, REPORT_VARIABLE: str(report)}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            cwd=suite.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**clean_environment(), **ours},
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    if code not in (0, 1) or not report.is_file():
        raise SuiteError(f"pytest ended with {code} on {str(saver)!r}. What it said is in {log}")
    return _read(report)


def clean_environment() -> dict[str, str]:
    """The environment without what would change the suite or the product."""
    changing = ("PYTEST_", "LANG", "OPENMANUS_GRAPH_", "DATABASE_URL")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(changing)}
    # No other servers, as the suite calls it: one cache and one store of each kind that needs none.
    return {**kept, "LANG": "C.UTF-8", "NO_DOCKER": "true", "OPENMANUS_GRAPH_HOME": str(BUILD / "home")}

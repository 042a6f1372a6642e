"""Fixtures of the chaos suite; the number of its cases is printed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import conninfo, sql

from openmanus_graph.testing import ScriptedServer
from tests.chaos.runner import Bench, Fork
from tests.chaos.shapes import replies
from tests.conftest import TEMPLATE

COUNTED = "chaos"
"""Under what a test's report, which comes here from whichever process it ran in, has its lines."""
BenchOf = Callable[[str], Bench]


@pytest.fixture(scope="session")
def bench_of(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchOf]:
    """Gives the bench of a shape, with a database of its own, which all tests of the shape share."""
    benches: dict[str, Bench] = {}
    with ExitStack() as stack:
        fork = stack.enter_context(Fork())
        provider = stack.enter_context(ScriptedServer(replies))
        admin = stack.enter_context(psycopg.connect(server, autocommit=True))

        def bench(shape: str) -> Bench:
            if shape not in benches:
                name = sql.Identifier(f"chaos_{shape}")
                admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(TEMPLATE)))
                database = conninfo.make_conninfo(server, dbname=f"chaos_{shape}")
                benches[shape] = Bench(fork, shape, database, tmp_path_factory.mktemp(shape), provider.base_url)
            return benches[shape]

        yield bench
    with psycopg.connect(server, autocommit=True) as admin:
        for shape in benches:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(f"chaos_{shape}")))


@pytest.fixture
def branches(bench_of: BenchOf) -> Bench:
    """The bench of the shape with parallel branches."""
    return bench_of("branches")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> list[str]:
    """Takes lines that are printed at the end."""
    lines: list[str] = []
    request.node.user_properties.append((COUNTED, lines))
    return lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases there were."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [
        line
        for report in reports
        if report.when == "call"
        for name, found in report.user_properties
        if name == COUNTED
        for line in found
    ]
    if lines:
        terminalreporter.section("chaos")
        for line in lines:
            terminalreporter.line(line)

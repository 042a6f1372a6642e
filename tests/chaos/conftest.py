"""Fixtures of the chaos suite; the number of its cases is printed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from openmanus_graph.testing import ScriptedServer
from tests.chaos.runner import Bench, Fork
from tests.chaos.shapes import replies
from tests.chaos.shell import Shell
from tests.chaos.shell_shapes import SHELL_SHAPES
from tests.conftest import new_database

COUNTED = "chaos"
"""Under what a test's report, which comes here from whichever process it ran in, has its lines."""
BenchOf = Callable[[str], Bench]
ShellOf = Callable[[str], Shell]


@pytest.fixture(scope="session")
def bench_of(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchOf]:
    """Gives the bench of a shape, with a database of its own, which all tests of the shape share."""
    with ExitStack() as stack:
        fork = stack.enter_context(Fork())
        provider = stack.enter_context(ScriptedServer(replies))

        @cache
        def bench(shape: str) -> Bench:
            database = stack.enter_context(new_database(server))
            return Bench(fork, shape, database, tmp_path_factory.mktemp(shape), provider.base_url)

        yield bench


@pytest.fixture(scope="session")
def shell_of(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellOf]:
    """Gives the shell of a shape, with a database and a model of its own, which all tests of the shape share."""
    with ExitStack() as stack:
        fork = stack.enter_context(Fork())

        @cache
        def shell(shape: str) -> Shell:
            provider = stack.enter_context(ScriptedServer(SHELL_SHAPES[shape].script))
            database = stack.enter_context(new_database(server))
            return Shell(fork, shape, database, tmp_path_factory.mktemp(shape), provider)

        yield shell


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

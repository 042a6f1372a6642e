"""Fixtures of the chaos suite; the number of its cases is printed at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.runner import Fork

COUNTS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def fork() -> Iterator[Fork]:
    """The process that forks runners."""
    with Fork() as made:
        yield made


@pytest.fixture
def count(request: pytest.FixtureRequest) -> list[str]:
    """Takes lines that are printed at the end."""
    return request.config.stash.setdefault(COUNTS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print how many cases there were."""
    if lines := config.stash.get(COUNTS, []):
        terminalreporter.section("chaos")
        for line in lines:
            terminalreporter.line(line)

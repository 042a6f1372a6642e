"""Fixtures of encryption tests: a folder of their own, keys, and what a database holds in plain text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from openmanus_graph import Settings, ThreadSaver, open_checkpointer
from openmanus_graph.config.encryption_keys import new_key
from tests.cli.conftest import program_in
from tests.conftest import new_database

__all__ = ["elsewhere", "key", "own_folder", "program_in", "sealing"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own, where workspaces go by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def key() -> str:
    """A key of the test's own."""
    return new_key()


@pytest.fixture
def elsewhere(server: str) -> Iterator[str]:
    """The URL of a second database."""
    with new_database(server) as url:
        yield url


@pytest.fixture
async def sealing(database: str, key: str) -> AsyncIterator[ThreadSaver]:
    """A saver on the test's database that encrypts."""
    async with open_checkpointer(database, settings=Settings.load(encryption_key=key)) as opened:
        yield opened

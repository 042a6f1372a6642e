"""A restored database of an earlier version, and the program of today in the folder beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openmanus_graph import open_checkpointer
from openmanus_graph.cli import cli
from openmanus_graph.testing import ScriptedServer
from tests.cli.conftest import MakeProgram, Program
from tests.conftest import new_database

from .archive import archives, restore, version_of
from .script import replies

View = Callable[..., str]


@pytest.fixture
def empty_database(server: str) -> Iterator[str]:
    """The URL of a database without any tables of ours."""
    with new_database(server, "template0") as url:
        yield url


@pytest.fixture(params=archives(), ids=version_of)
def restored(request: pytest.FixtureRequest, empty_database: str, program_in: MakeProgram, tmp_path: Path) -> Program:
    """The program where an earlier one stopped, on the database as that one left it."""
    program = program_in(DATABASE_URL=empty_database)
    program.folder = restore(request.param, empty_database, tmp_path)
    return program


@pytest.fixture
async def earlier(restored: Program) -> Program:
    """The same, with the database brought to today's version."""
    async with open_checkpointer(restored.environment["DATABASE_URL"], migrate_tables=True):
        return restored


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    """The model that the agent's threads were begun with."""
    with ScriptedServer(replies) as server:
        yield server


@pytest.fixture
def agent(earlier: Program, provider: ScriptedServer) -> Program:
    """The program with that model."""
    earlier.environment.update(provider.environment)
    return earlier


@pytest.fixture
def view(restored: Program, monkeypatch: pytest.MonkeyPatch) -> View:
    """Runs a command that only looks, in this process, for speed."""
    monkeypatch.chdir(restored.folder)
    monkeypatch.setenv("DATABASE_URL", restored.environment["DATABASE_URL"])
    monkeypatch.setenv("LLM_MODEL", "openai/unreachable")

    def run(*arguments: str) -> str:
        with CliRunner().isolation() as (out, err, _):
            ended: Any = cli.main(arguments, prog_name="openmanus-graph", standalone_mode=False)
            said = out.getvalue().decode(), err.getvalue().decode()
        assert not ended, said
        return said[0]

    return run

"""Each test runs in a folder of its own, where workspaces go by default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import ThreadSaver
from openmanus_graph.checkpoints.events import stored_events
from tests.chains import thread
from tests.cli.conftest import program, program_in  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class DownError(Exception):
    """What stops a run in the midst, as a crash does."""


def down(_: Any) -> dict[str, Any]:
    """A node that stops the run."""
    raise DownError


def says(word: Any) -> Callable[[Any], dict[str, Any]]:
    """A node that adds a word."""
    return lambda _: {"seen": [word]}


async def stopped(app: Any, given: Mapping[str, Any], config: Any = None) -> None:
    """Run until `down`."""
    with suppress(DownError):
        await app.ainvoke(given, config or thread())
        raise AssertionError("the run did not stop")


async def warnings_of(saver: ThreadSaver, name: str = "t") -> list[str]:
    """What the thread's runs warned of."""
    await asyncio.sleep(0)
    return [str(event.get("text")) for event in await stored_events(saver, name) if event.get("type") == "warned"]


async def row_of(saver: ThreadSaver, name: str = "t") -> dict[str, Any]:
    """What the thread's row keeps of versions."""
    async with saver.connection() as connection:
        found = await connection.execute(
            "SELECT status, runner_epoch, fingerprint, forced FROM threads WHERE thread_id = %s", (name,)
        )
        row = await found.fetchone()
    assert row is not None
    return row

"""Contents of files, which threads share: one key that is lost, or an archive that is forged, spoils no other thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import (
    Settings,
    ThreadSaver,
    build_plan_graph,
    delete_thread,
    find_thread,
    fork_thread,
    open_checkpointer,
)
from openmanus_graph.config.encryption_keys import new_key
from tests.chains import thread
from tests.encryption.plain_text import rows_with

pytestmark = pytest.mark.postgres


def with_key(database: str, key: str | None) -> Any:
    return open_checkpointer(database, settings=Settings.load(encryption_key=key))


async def writes(saver: ThreadSaver, name: str, words: str = "a walrus") -> None:
    """A plan whose only step writes a file."""
    step = {"id": "a", "tool": "bash", "args": {"command": f"echo {words} > a.txt"}}
    app = build_plan_graph(["bash"], settings=Settings.load(sandbox="none")).compile(checkpointer=saver)
    await app.ainvoke({"plan": {"subtasks": [step]}}, thread(name))


async def forked(saver: ThreadSaver, name: str) -> str:
    """What the file says in a fork of a thread."""
    fork = await fork_thread(saver, name, workspace=f"fork-of-{name}")
    assert not fork.missing
    return (Path(f"fork-of-{name}") / "a.txt").read_text()


async def test_a_content_of_a_lost_key_is_written_anew_by_who_has_it(database: str) -> None:
    for name, key in (("lost", new_key()), ("other", new_key()), ("plain", None)):
        async with with_key(database, key) as saver:
            await writes(saver, name)
            assert await forked(saver, name) == "a walrus\n"


async def test_a_content_that_a_plain_thread_stored_is_sealed_by_the_next(database: str, key: str) -> None:
    async with with_key(database, None) as saver:
        await writes(saver, "plain")
        plain = await find_thread(saver, "plain")
    async with with_key(database, key) as saver:
        await writes(saver, "sealed")
        await delete_thread(saver, plain)
    assert rows_with(database, "a walrus") == {}

"""Fixtures for tests of what is kept besides checkpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from openmanus_graph import ThreadSaver

NewThread = Callable[[str], Awaitable[None]]


@pytest.fixture
def new_thread(saver: ThreadSaver) -> NewThread:
    """Makes the row of a thread."""

    async def make(thread_id: str) -> None:
        async with saver.connection() as connection:
            await connection.execute("INSERT INTO threads (thread_id, graph) VALUES (%s, '{}')", (thread_id,))

    return make

"""Opening: the memory that a command works on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.config.settings import Settings
from openmanus_graph.memory.semantic.passage_memory import PassageMemory


@asynccontextmanager
async def open_memory(settings: Settings) -> AsyncGenerator[tuple[PassageMemory, ThreadSaver]]:
    """The memory of the settings' owner, and its store."""
    async with open_checkpointer(settings=settings) as saver:
        memory = PassageMemory(saver, settings)
        try:
            yield memory, saver
        finally:
            await memory.aclose()


def warn(text: str | None) -> None:
    """Say what is not as it should be, where there is anything to say."""
    if text:
        click.echo(f"{click.style('Warning:', fg='yellow')} {text}", err=True)

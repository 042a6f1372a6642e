"""Overview: memory status and show."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory, warn
from openmanus_graph.cli.report import print_result
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import ago, clean, counted
from openmanus_graph.memory.semantic.passage import StoredPassage
from openmanus_graph.memory.semantic.passage_memory import MemoryStatus


def status(deliver: bool, owner: str | None, as_json: bool) -> None:
    """Say what is in memory, where it is indexed, and what waits for the index."""
    found = asyncio.run(_status(Settings.load(owner=owner), deliver))
    if as_json:
        print_json(asdict(found))
        return
    click.echo(f"{found.owner}: {counted(found.passages, 'passage')} from {counted(found.sources, 'source')}")
    if found.index is None:
        click.echo("Index: none; passages are found by their words alone")
    else:
        click.echo(f"Index: {found.index}, vectors by {found.embedder}")
    if found.waiting:
        waiting = f"Waiting for the index: {counted(found.waiting, 'passage')}"
        click.echo(f"{waiting}; bring them there with: {with_program('openmanus-graph memory status --deliver')}")
    warn(found.error)
    if found.advice:
        click.echo(found.advice)


async def _status(settings: Settings, delivering: bool) -> MemoryStatus:
    async with open_memory(settings) as (memory, _):
        if delivering:
            await deliver(memory)
        return await memory.status()


def show(key: str, owner: str | None, as_json: bool) -> None:
    """Print a passage."""
    passage = asyncio.run(_show(Settings.load(owner=owner), key))
    if as_json:
        print_json(passage.as_json())
        return
    found_by = f", and the thread {passage.thread}" if passage.thread else ""
    click.echo(f"{passage.key}  {clean(passage.source)}, part {passage.position}")
    edited = f", edited by hand {ago(passage.edited_at)}" if passage.edited_at else ""
    click.echo(f"Added {ago(passage.created_at)} for {passage.owner}{found_by}{edited}\n")
    print_result(passage.text)


async def _show(settings: Settings, key: str) -> StoredPassage:
    async with open_memory(settings) as (memory, _):
        return await memory.passages.find(key)

"""Overview: memory status and show."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import click

from openmanus_graph.cli.memory.delivery import deliver, lessons_standing
from openmanus_graph.cli.memory.opening import open_memory, warn
from openmanus_graph.cli.report import print_result
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import ago, clean, counted
from openmanus_graph.memory.deliverer import Delivery
from openmanus_graph.memory.semantic.passage import StoredPassage
from openmanus_graph.memory.semantic.passage_memory import MemoryStatus


def status(deliver: bool, owner: str | None, as_json: bool) -> None:
    """Say what is in memory, where it is indexed, and what waits for the index or for Neo4j."""
    settings = Settings.load(owner=owner)
    found, lessons = asyncio.run(_status(settings, deliver))
    if as_json:
        print_json({**asdict(found), "lessons_waiting": lessons.waiting, "lessons_error": lessons.error})
        return
    click.echo(f"{found.owner}: {counted(found.passages, 'passage')} from {counted(found.sources, 'source')}")
    if found.index is None:
        click.echo("Index: none; passages are found by their words alone")
    else:
        click.echo(f"Index: {found.index}, vectors by {found.embedder}")
    bring = with_program("openmanus-graph memory status --deliver")
    if found.waiting:
        click.echo(f"Waiting for the index: {counted(found.waiting, 'passage')}; bring them there with: {bring}")
    if lessons.waiting:
        how = f"bring them there with: {bring}" if settings.neo4j_uri else "set NEO4J_URI to where it answers"
        click.echo(f"Waiting for Neo4j: {counted(lessons.waiting, 'lesson')} of runs; {how}")
    warn(found.error)
    warn(lessons.error)
    if found.advice:
        click.echo(found.advice)


async def _status(settings: Settings, delivering: bool) -> tuple[MemoryStatus, Delivery]:
    async with open_memory(settings) as (memory, saver):
        if delivering:
            await deliver(memory)
        return await memory.status(), await lessons_standing(settings, saver, delivering=delivering)


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

"""Adding: memory add."""

from __future__ import annotations

import asyncio
from typing import Any

import click
from rich.console import Console

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory, warn
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import clean, counted, one_line
from openmanus_graph.memory.ingest.ingest import Ingested, ingest

SHOWN = 20
"""Sources that were left out which are named."""


def add(places: tuple[str, ...], pages: int, owner: str | None, as_json: bool) -> None:
    """Take files, folders and pages into memory."""
    done = Ingested()
    settings = Settings.load(owner=owner)
    if settings.encrypts:
        recalled = "" if settings.memory else ", and no run is told of them unless the setting memory is true"
        warn(f"An encryption key is set, but passages are stored as plain text, because they are searched{recalled}.")
    try:
        waiting = asyncio.run(_add(settings, places, pages, done))
    except BaseException:
        _show_lost(done)
        raise
    if as_json:
        print_json({**done.as_json(), "waiting": waiting})
        return
    gone = f", {counted(done.removed, 'passage')} gone" if done.removed else ""
    kept = f"; {counted(done.edits_kept, 'passage')} edited by hand kept" if done.edits_kept else ""
    click.echo(f"Read {counted(done.sources, 'source')}: {counted(done.added, 'new passage')}{gone}{kept}.")
    _show_lost(done)
    for source, reason in done.left_out[:SHOWN]:
        click.echo(f"Left out {clean(source)}: {clean(reason)}", err=True)
    if len(done.left_out) > SHOWN:
        click.echo(f"... and {len(done.left_out) - SHOWN:,} more.", err=True)


def _show_lost(done: Ingested) -> None:
    """Show the whole of what a person wrote and is no longer stored, also where a later source failed."""
    for source, text in done.edits_lost:
        warn(f"{clean(source)} now says something else, and this passage edited by hand is gone:")
        click.echo(f"{clean(text)}\n", err=True)


async def _add(settings: Settings, places: tuple[str, ...], pages: int, done: Ingested) -> int:
    """Take in every place; how many passages wait for the index."""
    hosts = settings.allow_hosts
    console = Console(stderr=True)
    async with open_memory(settings) as (memory, _):
        with console.status("Reading") as line:

            def tell(source: str) -> None:
                line.update(f"Reading {one_line(source, 100)}")

            shown: Any = tell if console.is_terminal else None
            for place in places:
                await ingest(memory, place, allow_hosts=hosts, pages=pages, progress=shown, into=done)
        return (await deliver(memory)).waiting

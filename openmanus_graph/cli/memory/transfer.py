"""Transfer: memory export and memory import."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted
from openmanus_graph.memory.semantic.passage_file import read_passages, write_passages

AT_ONCE = 1_000
"""Passages that are read and stored at a time."""


def export(file: Path, owner: str | None, as_json: bool) -> None:
    """Write all passages into a new file."""
    written = asyncio.run(_export(Settings.load(owner=owner), file))
    if as_json:
        print_json({"file": str(file), "passages": written})
        return
    click.echo(f"Exported {counted(written, 'passage')} to {file}.", err=True)


async def _export(settings: Settings, file: Path) -> int:
    async with open_memory(settings) as (memory, _):
        return await write_passages(memory.passages, file)


def import_file(file: Path, owner: str | None, as_json: bool) -> None:
    """Take the passages of an exported file into memory."""
    found = asyncio.run(_import(Settings.load(owner=owner), file))
    if as_json:
        print_json(found)
        return
    click.echo(f"Imported {counted(found['added'], 'new passage')} of {found['passages']:,}.", err=True)


async def _import(settings: Settings, file: Path) -> dict[str, int]:
    count = await asyncio.to_thread(lambda: sum(1 for _ in read_passages(file)))  # a damaged one is refused whole
    passages, added = read_passages(file), 0
    async with open_memory(settings) as (memory, _):
        while some := await asyncio.to_thread(lambda: list(islice(passages, AT_ONCE))):
            added += (await memory.add(some)).new
        await deliver(memory)
    return {"passages": count, "added": added}

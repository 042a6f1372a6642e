"""Transfer: memory export and memory import."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory, settings_of
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted
from openmanus_graph.memory.semantic.passage_file import read_passages, write_passages


def export(file: Path, owner: str | None, as_json: bool) -> None:
    """Write all passages into a new file."""
    written = asyncio.run(_export(settings_of(owner), file))
    if as_json:
        print_json({"file": str(file), "passages": written})
        return
    click.echo(f"Exported {counted(written, 'passage')} to {file}.", err=True)


async def _export(settings: Settings, file: Path) -> int:
    async with open_memory(settings) as (memory, _):
        return await write_passages(memory.passages, file)


def import_file(file: Path, owner: str | None, as_json: bool) -> None:
    """Take the passages of an exported file into memory."""
    found = asyncio.run(_import(settings_of(owner), file))
    if as_json:
        print_json(found)
        return
    click.echo(f"Imported {counted(found['added'], 'new passage')} of {found['passages']:,}.", err=True)


async def _import(settings: Settings, file: Path) -> dict[str, int]:
    passages = await asyncio.to_thread(read_passages, file)
    async with open_memory(settings) as (memory, _):
        added, _ = await memory.add(passages)
        await deliver(memory)
    return {"passages": len(passages), "added": added}

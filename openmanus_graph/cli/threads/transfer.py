"""Transfer: threads export and threads import."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.threads import find_thread
from openmanus_graph.checkpoints.transfer.export_import import Moved, export_thread, import_thread
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.display_text import byte_size, clean


def export(thread: str, file: Path, as_json: bool) -> None:
    """Write a thread with all its steps, events and files into FILE, which must be new."""
    moved = asyncio.run(_export(thread, file))
    for what in moved.left_out:
        click.echo(f"Left out: {clean(what)}.", err=True)
    if as_json:
        print_json(vars(moved))
        return
    size = byte_size(file.stat().st_size)
    click.echo(
        f"Exported {moved.thread_id}: {moved.rows:,} rows and {moved.files:,} files, {size} in {file}.", err=True
    )


async def _export(name: str, file: Path) -> Moved:
    async with open_checkpointer() as saver:
        return await export_thread(saver, await find_thread(saver, name), file)


def import_file(file: Path, new_id: str | None, workspace: str | None, as_json: bool) -> None:
    """Make a thread of an exported FILE, to go on with it here."""
    moved = asyncio.run(_import(file, new_id, workspace))
    if as_json:
        print_json(vars(moved))
        return
    files = f" and {moved.files:,} files in {moved.workspace}" if moved.workspace else ""
    click.echo(f"Imported {moved.thread_id}: {moved.rows:,} rows{files}.", err=True)
    click.echo(f"Look at it with: {with_program(f'openmanus-graph threads show {moved.thread_id}')}", err=True)


async def _import(file: Path, new_id: str | None, workspace: str | None) -> Moved:
    async with open_checkpointer() as saver:
        return await import_thread(saver, file, new_id=new_id, workspace=workspace)

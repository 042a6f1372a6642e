"""Moving: threads export and threads import."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.display_text import byte_size, clean

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.transfer.export_import import Moved


@click.command("export")
@click.argument("thread")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def export(thread: str, file: Path, as_json: bool) -> None:
    """Write a thread with all its steps, events and files into FILE, which must be new.

    Nobody may run it meanwhile. The thread stays; go on with it here or there, not in both places: each would make the
    calls that are left.
    """
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
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.threads import find_thread
    from openmanus_graph.checkpoints.transfer.export_import import export_thread

    async with open_checkpointer() as saver:
        return await export_thread(saver, await find_thread(saver, name), file)


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as", "new_id", metavar="NEW", help="The thread's id here; by default the one it had.")
@click.option(
    "--workspace",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Its folder here; by default ./openmanus-work/<thread>.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def import_(file: Path, new_id: str | None, workspace: str | None, as_json: bool) -> None:
    """Make a thread of an exported FILE, to go on with it here.

    A file that is damaged, or holds what it must not, is refused whole. Resuming runs the thread's plan, with the
    tools and the graph that it names: import only what you would run.
    """
    moved = asyncio.run(_import(file, new_id, workspace))
    if as_json:
        print_json(vars(moved))
        return
    files = f" and {moved.files:,} files in {moved.workspace}" if moved.workspace else ""
    click.echo(f"Imported {moved.thread_id}: {moved.rows:,} rows{files}.", err=True)
    click.echo(f"Look at it with: {with_program(f'openmanus-graph threads show {moved.thread_id}')}", err=True)


async def _import(file: Path, new_id: str | None, workspace: str | None) -> Moved:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.transfer.export_import import import_thread

    async with open_checkpointer() as saver:
        return await import_thread(saver, file, new_id=new_id, workspace=workspace)

"""Transfer: threads export and threads import."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.threads import completed_threads, find_thread
from openmanus_graph.checkpoints.transfer.export_import import Moved, export_thread, import_thread
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import byte_size, clean, counted
from openmanus_graph.errors import UsageError
from openmanus_graph.training.training_file import TrainingFormat, Written, write_training


def export(threads: tuple[str, ...], file: Path, form: str, every: bool, as_json: bool) -> None:
    """Write a thread with all its steps, or training data of threads, into FILE, which must be new."""
    if form != "archive":
        _export_training(threads, file, cast("TrainingFormat", form), every=every, as_json=as_json)
        return
    if every or len(threads) != 1:
        raise UsageError(
            f"An archive has one thread, not {'all' if every else len(threads)}.",
            hint="Name one thread and the file, or choose --format sft or preference.",
        )
    moved = asyncio.run(_export(threads[0], file))
    for what in moved.left_out:
        click.echo(f"Left out: {clean(what)}.", err=True)
    if as_json:
        print_json(vars(moved))
        return
    size = byte_size(file.stat().st_size)
    click.echo(
        f"Exported {moved.thread_id}: {moved.rows:,} rows and {moved.files:,} files, {size} in {file}.", err=True
    )


def _export_training(threads: tuple[str, ...], file: Path, form: TrainingFormat, *, every: bool, as_json: bool) -> None:
    if every == bool(threads):
        what = f"Both {threads[0]!r} and --all are given." if every else f"Only the file {str(file)!r} is given."
        raise UsageError(what, hint="Name threads before the file, or choose --all.")
    written = asyncio.run(_written(threads, file, form))
    if as_json:
        counts = {"lines": written.lines, "threads": written.threads, "left_out": written.left_out.as_json()}
        print_json({"file": str(file), "format": form, **counts})
        return
    what = counted(written.lines, "conversation" if form == "sft" else "preference")
    left = f" Left out: {left_out}." if (left_out := written.left_out.text()) else ""
    click.echo(f"Wrote {what} from {counted(written.threads, 'thread')} to {file}.{left}", err=True)


async def _written(names: tuple[str, ...], file: Path, form: TrainingFormat) -> Written:
    settings = Settings.load()
    async with open_checkpointer(settings=settings) as saver:
        threads = [await find_thread(saver, name) for name in names]
        if not names:
            threads = await completed_threads(saver, settings.owner)
        return await write_training(saver, threads, file, form, settings, skips_unreadable=not names)


async def _export(name: str, file: Path) -> Moved:
    async with open_checkpointer() as saver:
        return await export_thread(saver, await find_thread(saver, name, locked_too=True), file)


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

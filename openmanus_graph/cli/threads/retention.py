"""Retention: threads size and threads prune."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.pruning.prune import Pruned
from openmanus_graph.checkpoints.pruning.retention import Size, prune_thread, thread_sizes
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread, find_thread, list_threads
from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.display_text import byte_size, counted
from openmanus_graph.errors import ThreadBusyError


def size(threads: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Say how much threads take: their points, results of steps, events and files, the largest first."""
    sizes = asyncio.run(_sizes(threads))
    if as_json:
        print_json([size.as_json() for size in sizes[:limit]])
        return
    if not sizes:
        click.echo("No threads yet.")
        return
    headings = ["THREAD", "STATUS", "POINTS", "CHECKPOINTS", "WRITES", "EVENTS", "OTHER", "FILES", "TOTAL"]
    print_table(headings, [_row(size) for size in sizes[:limit]])
    if len(sizes) > 1:
        click.echo(f"{len(sizes)} threads take {byte_size(sum(size.total for size in sizes))}.")


def _row(size: Size) -> list[str]:
    parts = (size.checkpoints, size.writes, size.events, size.other, size.files, size.total)
    return [size.thread_id, size.status, f"{size.points:,}", *map(byte_size, parts)]


async def _sizes(names: Sequence[str]) -> list[Size]:
    async with open_checkpointer() as saver:
        chosen = [(await find_thread(saver, name, locked_too=True)).thread_id for name in names]
        return await thread_sizes(saver, chosen or None)


@dataclass(frozen=True)
class _PruneSelection:
    """Selection of threads, and the number of points to keep."""

    names: tuple[str, ...]
    keep_last: int
    older_than: timedelta | None
    status: str | None


def prune(
    threads: tuple[str, ...],
    keep_last: int,
    older_than: timedelta | None,
    status: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove older points of threads, all threads if none is named."""
    choice = _PruneSelection(threads, keep_last, older_than, status)
    done = asyncio.run(_prune(choice, dry_run=dry_run, yes=yes))
    if as_json:
        print_json([pruned.as_json() for pruned in done])
    else:
        _print_pruned(done, "would go" if dry_run else "went")


def _print_pruned(done: Sequence[Pruned], verb: str) -> None:
    if not done:
        click.echo("There is nothing to prune.")
        return
    rows = [[pruned.thread_id, f"{pruned.kept:,}", f"{pruned.points:,}", byte_size(pruned.size)] for pruned in done]
    print_table(["THREAD", "KEPT", "PRUNED", "SIZE"], rows)
    points, freed = sum(pruned.points for pruned in done), byte_size(sum(pruned.size for pruned in done))
    click.echo(f"{counted(points, 'point')} with {freed} {verb}; the database reuses the space.")


async def _prune(choice: _PruneSelection, *, dry_run: bool, yes: bool) -> list[Pruned]:
    async with open_checkpointer() as saver:
        chosen = await _chosen(saver, choice)
        if not dry_run and not yes:
            planned = await _pruned(saver, chosen, choice, dry_run=True)
            if not planned:
                return []
            points, freed = sum(pruned.points for pruned in planned), byte_size(sum(pruned.size for pruned in planned))
            what = f"{counted(points, 'point')} of {counted(len(planned), 'thread')} with {freed}"
            click.confirm(f"Remove {what}?", abort=True, err=True)
        return await _pruned(saver, chosen, choice, dry_run=dry_run)


async def _chosen(saver: ThreadSaver, choice: _PruneSelection) -> list[Thread]:
    if choice.names:
        named = [await find_thread(saver, name) for name in choice.names]
    else:
        everything = await list_threads(saver, limit=2**31)
        named = [thread for thread in everything if thread.status != "running" and not thread.locked]
    since = None if choice.older_than is None else datetime.now(UTC) - choice.older_than
    return [
        thread
        for thread in named
        if (choice.status is None or thread.status == choice.status) and (since is None or thread.updated_at < since)
    ]


async def _pruned(
    saver: ThreadSaver, chosen: Sequence[Thread], choice: _PruneSelection, *, dry_run: bool
) -> list[Pruned]:
    """Pruned points of each thread that has any to prune."""
    done: list[Pruned] = []
    for thread in chosen:
        try:
            pruned = await prune_thread(saver, thread.thread_id, keep_last=choice.keep_last, dry_run=dry_run)
        except ThreadBusyError as error:
            if choice.names:
                raise
            click.echo(f"{error.message} It is left as it is.", err=True)  # it began to run meanwhile
            continue
        if pruned.points:
            done.append(pruned)
    return done

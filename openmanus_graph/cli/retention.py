"""Retention: threads size and threads prune."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.display_text import byte_size

if TYPE_CHECKING:
    from openmanus_graph.checkpoints.pruning.prune import Pruned
    from openmanus_graph.checkpoints.pruning.retention import Size
    from openmanus_graph.checkpoints.saver import ThreadSaver
    from openmanus_graph.checkpoints.threads import Thread

PRUNABLE = ["waiting", "paused", "stopped", "partial", "completed", "failed"]
_AGE = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>m|min|h|d|w)")
_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _age(context: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    """An age as people type it."""
    if value is None:
        return None
    found = _AGE.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter(f"{value!r} is no age; give such as 90m, 12h, 30d or 4w.", context, option)
    try:
        return timedelta(**{_UNITS[found["unit"]]: float(found["number"])})
    except OverflowError as error:
        raise click.BadParameter(f"{value!r} is longer than time itself.", context, option) from error


@click.command()
@click.argument("threads", nargs=-1, metavar="[THREAD]...")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def size(threads: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Say how much threads take: their points, results of steps, events and files, the largest first."""
    found = asyncio.run(_sizes(threads))
    if as_json:
        print_json([one.as_json() for one in found[:limit]])
        return
    if not found:
        click.echo("No threads yet.")
        return
    headings = ["THREAD", "STATUS", "POINTS", "CHECKPOINTS", "WRITES", "EVENTS", "OTHER", "FILES", "TOTAL"]
    print_table(headings, [_row(one) for one in found[:limit]])
    if len(found) > 1:
        click.echo(f"{len(found)} threads take {byte_size(sum(one.total for one in found))}.")


def _row(one: Size) -> list[str]:
    parts = (one.checkpoints, one.writes, one.events, one.other, one.files, one.total)
    return [one.thread_id, one.status, f"{one.points:,}", *map(byte_size, parts)]


async def _sizes(names: Sequence[str]) -> list[Size]:
    from openmanus_graph.checkpoints.database import open_checkpointer
    from openmanus_graph.checkpoints.pruning.retention import thread_sizes
    from openmanus_graph.checkpoints.threads import find_thread

    async with open_checkpointer() as saver:
        chosen = [(await find_thread(saver, name)).thread_id for name in names]
        return await thread_sizes(saver, chosen or None)


@dataclass(frozen=True)
class _Choice:
    """Which threads are pruned, and how far."""

    names: tuple[str, ...]
    keep_last: int
    older_than: timedelta | None
    status: str | None


@click.command()
@click.argument("threads", nargs=-1, metavar="[THREAD]...")
@click.option("--keep-last", default=1, show_default=True, type=click.IntRange(1), metavar="N", help="Points to keep.")
@click.option("--older-than", callback=_age, metavar="AGE", help="Only threads not touched for such as 30d.")
@click.option("--status", type=click.Choice(PRUNABLE), help="Only threads of this status.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def prune(
    threads: tuple[str, ...],
    keep_last: int,
    older_than: timedelta | None,
    status: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove older points of threads, all threads if none is named.

    The newest points stay, and all that a resume needs: results, questions, messages. What goes is the way back to
    earlier moments. Events, files and what was spent stay. Running threads are left alone.
    """
    choice = _Choice(threads, keep_last, older_than, status)
    done = asyncio.run(_prune(choice, dry_run=dry_run, yes=yes))
    if as_json:
        print_json([one.as_json() for one in done])
    else:
        _print_pruned(done, "would go" if dry_run else "went")


def _print_pruned(done: Sequence[Pruned], verb: str) -> None:
    if not done:
        click.echo("There is nothing to prune.")
        return
    rows = [[one.thread_id, f"{one.kept:,}", f"{one.points:,}", byte_size(one.size)] for one in done]
    print_table(["THREAD", "KEPT", "PRUNED", "SIZE"], rows)
    points, freed = sum(one.points for one in done), byte_size(sum(one.size for one in done))
    click.echo(f"{points:,} points with {freed} {verb}; the database reuses the space.")


async def _prune(choice: _Choice, *, dry_run: bool, yes: bool) -> list[Pruned]:
    from openmanus_graph.checkpoints.database import open_checkpointer

    async with open_checkpointer() as saver:
        chosen = await _chosen(saver, choice)
        if not dry_run and not yes:
            planned = await _pruned(saver, chosen, choice, dry_run=True)
            if not planned:
                return []
            points, freed = sum(one.points for one in planned), byte_size(sum(one.size for one in planned))
            what = f"{points:,} points of {len(planned)} thread{'' if len(planned) == 1 else 's'} with {freed}"
            click.confirm(f"Remove {what}?", abort=True, err=True)
        return await _pruned(saver, chosen, choice, dry_run=dry_run)


async def _chosen(saver: ThreadSaver, choice: _Choice) -> list[Thread]:
    from openmanus_graph.checkpoints.threads import find_thread, list_threads

    if choice.names:
        found = [await find_thread(saver, name) for name in choice.names]
    else:
        everything = await list_threads(saver, limit=2**31)
        found = [thread for thread in everything if thread.status != "running"]
    since = None if choice.older_than is None else datetime.now(UTC) - choice.older_than
    return [
        thread
        for thread in found
        if (choice.status is None or thread.status == choice.status) and (since is None or thread.updated_at < since)
    ]


async def _pruned(saver: ThreadSaver, chosen: Sequence[Thread], choice: _Choice, *, dry_run: bool) -> list[Pruned]:
    """What goes from each thread from which something does."""
    from openmanus_graph.checkpoints.pruning.retention import prune_thread
    from openmanus_graph.errors import ThreadBusyError

    done: list[Pruned] = []
    for thread in chosen:
        try:
            one = await prune_thread(saver, thread.thread_id, keep_last=choice.keep_last, dry_run=dry_run)
        except ThreadBusyError as error:
            if choice.names:
                raise
            click.echo(f"{error.message} It is left as it is.", err=True)  # it began to run meanwhile
            continue
        if one.points:
            done.append(one)
    return done

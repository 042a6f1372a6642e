"""Removing: memory delete and memory forget."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory
from openmanus_graph.cli.options import absolute
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import clean, counted, one_line
from openmanus_graph.memory.forgetting import Forgotten
from openmanus_graph.memory.removal import Removal, Removed, Remover
from openmanus_graph.memory.semantic.passages import Selection

SHOWN = 10
"""Threads that the question names."""


def delete(keys: tuple[str, ...], yes: bool, owner: str | None) -> None:
    """Remove single passages."""
    asyncio.run(_delete(Settings.load(owner=owner), keys, yes))


async def _delete(settings: Settings, keys: tuple[str, ...], yes: bool) -> None:
    async with open_memory(settings) as (memory, _):
        found = [await memory.passages.find(key) for key in keys]
        if not yes:
            for passage in found:
                click.echo(f"{passage.key[:12]}  {clean(passage.source)}  {one_line(passage.text, 100)}", err=True)
            click.confirm(f"Remove {counted(len(found), 'passage')}?", abort=True, err=True)
        gone = await memory.forget(Selection(keys=[passage.key for passage in found]))
        await deliver(memory)
    click.echo(f"Removed {counted(gone, 'passage')}.", err=True)


def forget(
    thread: str | None,
    before: datetime | None,
    matching: str | None,
    source: str | None,
    everywhere: bool,
    yes: bool,
    owner: str | None,
    as_json: bool,
) -> None:
    """Remove passages, episodes, templates and, everywhere, threads for good."""
    said = {"--thread": thread, "--matching": matching, "--source": source, "--owner": owner}
    if empty := [name for name, value in said.items() if value is not None and not value.strip()]:
        raise click.UsageError(f"What {' and '.join(empty)} means is empty, so that nothing is forgotten.")
    if before is None and all(value is None for value in said.values()):
        raise click.UsageError("Say what to forget: --thread, --before, --matching, --source or --owner.")
    if everywhere and source is not None:
        raise click.UsageError("Threads have no source: give --everywhere or --source.")
    source = None if source is None else absolute_source(source)
    chosen = Selection(source=source, thread=thread, before=before, matching=matching)
    settings = Settings.load(owner=owner)
    done, unowned = asyncio.run(_forget(settings, chosen, everywhere, yes))
    left = [*done.left, *unowned, *_always_left(settings)] if everywhere else [*done.left]
    if as_json:
        gone = vars(done.gone)
        print_json({**gone, "left": left} if everywhere else {key: gone[key] for key in gone if key != "threads"})
        return
    click.echo(f"Forgot {done.gone.words()}.", err=True)
    if left:
        click.echo(f"Left as it is: {'; '.join(left)}.", err=True)


def _always_left(settings: Settings) -> list[str]:
    """What this program does not remove, or cannot."""
    plugin = [] if settings.memory_store is None else [f"past requests in the store {settings.memory_store!r}"]
    files = "recordings, exports, logs and backups that are files elsewhere"
    kept = "cached replies of models and items of get_store()"
    return [*plugin, files, kept, "old bytes in the files of the stores until they reuse them (docs/stored.md)"]


async def _forget(settings: Settings, chosen: Selection, everywhere: bool, yes: bool) -> tuple[Removed, list[str]]:
    async with open_memory(settings) as (memory, saver):
        remover = Remover(memory, saver, settings)
        meant = await remover.plan(chosen, everywhere=everywhere)
        unowned = [f"the thread {name!r}, which has no owner: name it with --thread" for name in meant.unowned[:SHOWN]]
        if len(meant.unowned) > SHOWN:
            unowned.append(f"{len(meant.unowned) - SHOWN:,} more of them")
        if not yes:
            if meant.counts == Forgotten(0, 0) and not meant.is_of_thread and chosen != Selection():
                return Removed(meant.counts), unowned
            click.confirm(_question(meant, settings.owner), abort=True, err=True)
        done = await remover.carry_out(meant)
        await deliver(memory)
        return done, unowned


def _question(meant: Removal, owner: str) -> str:
    what = f"Forget {meant.counts.words()}"
    if meant.chosen == Selection():
        what += f", all of {owner}"
    if meant.threads:
        names = [thread.thread_id for thread in meant.threads]
        more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        what += f" ({', '.join(names[:SHOWN])}{more}, each with its workspace if it was made for it)"
    if meant.is_of_thread:
        return f"{what}? Templates that only this thread has run go as well."
    return f"{what}? Templates that only these threads have run go as well." if meant.threads else f"{what}?"


def absolute_source(source: str) -> str:
    """The name under which a file or page is in memory."""
    return source if source.startswith(("http://", "https://")) else os.path.normpath(absolute(source))

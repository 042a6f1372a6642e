"""Removing: memory delete and memory forget."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory
from openmanus_graph.cli.options import absolute
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import counted, one_line
from openmanus_graph.memory.forgetting import Forgotten, forget_episodes
from openmanus_graph.memory.procedural.stores import template_store
from openmanus_graph.memory.semantic.passages import Selection


def delete(keys: tuple[str, ...], yes: bool, owner: str | None) -> None:
    """Remove single passages."""
    asyncio.run(_delete(Settings.load(owner=owner), keys, yes))


async def _delete(settings: Settings, keys: tuple[str, ...], yes: bool) -> None:
    async with open_memory(settings) as (memory, _):
        found = [await memory.passages.find(key) for key in keys]
        if not yes:
            for passage in found:
                click.echo(f"{passage.key[:12]}  {passage.source}  {one_line(passage.text, 100)}", err=True)
            click.confirm(f"Remove {counted(len(found), 'passage')}?", abort=True, err=True)
        gone = await memory.forget(Selection(keys=[passage.key for passage in found]))
        await deliver(memory)
    click.echo(f"Removed {counted(gone, 'passage')}.", err=True)


def forget(
    thread: str | None,
    before: datetime | None,
    matching: str | None,
    source: str | None,
    yes: bool,
    owner: str | None,
    as_json: bool,
) -> None:
    """Remove passages, episodes and, of a thread, templates for good."""
    if not (thread or before or source or (matching or "").strip()):
        raise click.UsageError("Say what to forget: --thread, --before, --matching or --source.")
    chosen = Selection(source=source, thread=thread, before=before, matching=matching)
    gone = asyncio.run(_forget(Settings.load(owner=owner), chosen, yes))
    if as_json:
        print_json(vars(gone))
        return
    click.echo(f"Forgot {gone.words()}.", err=True)


async def _forget(settings: Settings, chosen: Selection, yes: bool) -> Forgotten:
    async with open_memory(settings) as (memory, saver):
        chosen = replace(chosen, source=None if chosen.source is None else absolute_source(chosen.source))
        if not yes:
            episodes = await forget_episodes(saver, settings.owner, chosen, only_count=True)
            meant = Forgotten(await memory.passages.count(chosen), episodes)
            if not meant.passages and not meant.episodes and not _is_of_thread(chosen):
                return meant
            more = " Templates that only this thread has run go as well." if _is_of_thread(chosen) else ""
            click.confirm(f"Forget {meant.words()}?{more}", abort=True, err=True)
        templates = 0
        if chosen.thread is not None and _is_of_thread(chosen):
            templates = await template_store(settings, saver, settings.owner).forget_thread(chosen.thread)
        episodes = await forget_episodes(saver, settings.owner, chosen)
        gone = Forgotten(await memory.forget(chosen), episodes, templates)
        await deliver(memory)
        return gone


def _is_of_thread(chosen: Selection) -> bool:
    """Whether all of a thread is meant: of its templates nothing else is known."""
    return chosen.thread is not None and chosen == Selection(thread=chosen.thread)


def absolute_source(source: str) -> str:
    """The name under which a file or page is in memory."""
    return source if source.startswith(("http://", "https://")) else absolute(source)

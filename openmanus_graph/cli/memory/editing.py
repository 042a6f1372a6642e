"""Editing: memory edit."""

from __future__ import annotations

import asyncio

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory, warn
from openmanus_graph.cli.memory.own_words import kept_if_refused, of_owner, read_given, typed_in_editor
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import clean
from openmanus_graph.memory.semantic.passage import StoredPassage


def edit(key: str, text: str | None, file: str | None, owner: str | None, as_json: bool) -> None:
    """Change the text of a passage."""
    if text is not None and file is not None:
        raise click.UsageError("Give --text or --file, not both.")
    before, after = asyncio.run(_edit(owner, key, text if file is None else read_given(file)))
    if as_json:
        print_json(after.as_json())
        return
    if (after.text, after.meta) == (before.text, before.meta):
        click.echo("Nothing was changed.", err=True)
        return
    stays = "It stays so while its source says of it what it says now."
    if after.edited_at is None:
        stays = "It is what its source says again."
    click.echo(f"Edited {after.key[:12]} of {clean(after.source)}. {stays}", err=True)


async def _edit(owner: str | None, key: str, text: str | None) -> tuple[StoredPassage, StoredPassage]:
    async with open_memory(Settings.load(owner=owner)) as (memory, _):
        passage = await memory.passages.find(key)
        short = passage.key[:12]
        typed = None if text is not None else await typed_in_editor(passage.text, ".md")
        text = text if typed is None else typed
        wanted = passage.text if text is None else text.strip("\r\n")
        if wanted == passage.text:
            return passage, passage
        with kept_if_refused(typed, f"passage-{short}", ["memory", "edit", short, *of_owner(owner)], ".md"):
            made = await memory.edit(passage, wanted)
        if made.text != wanted:
            warn("What looks like a key or a password is not stored.")
        await deliver(memory)
        return passage, made

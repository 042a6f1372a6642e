"""Editing: memory edit."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
from pathlib import Path

import click

from openmanus_graph.cli.memory.delivery import deliver
from openmanus_graph.cli.memory.opening import open_memory, warn
from openmanus_graph.cli.terminal import print_json, with_program
from openmanus_graph.config.settings import Settings
from openmanus_graph.display_text import clean
from openmanus_graph.errors import UsageError
from openmanus_graph.memory.semantic.passage import StoredPassage


def edit(key: str, text: str | None, file: str | None, owner: str | None, as_json: bool) -> None:
    """Change the text of a passage."""
    if text is not None and file is not None:
        raise click.UsageError("Give --text or --file, not both.")
    before, after = asyncio.run(_edit(Settings.load(owner=owner), key, text if file is None else _read(file)))
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


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise UsageError(f"The file {file!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The file {file!r} is not UTF-8.") from error


async def _edit(settings: Settings, key: str, text: str | None) -> tuple[StoredPassage, StoredPassage]:
    async with open_memory(settings) as (memory, _):
        passage = await memory.passages.find(key)
        typed = None if text is not None else await asyncio.to_thread(click.edit, passage.text, extension=".md")
        text = text if typed is None else typed
        wanted = passage.text if text is None else text.strip("\r\n")
        if wanted == passage.text:
            return passage, passage
        try:
            made = await memory.edit(passage, wanted)
        except BaseException:
            if typed is not None:
                _keep(passage.key, typed)
            raise
        if made.text != wanted:
            warn("What looks like a key or a password is not stored.")
        await deliver(memory)
        return passage, made


def _keep(key: str, typed: str) -> None:
    """Keep what was typed in an editor and could not be stored, in a file of the person's own."""
    handle, path = tempfile.mkstemp(prefix=f"passage-{key[:12]}-", suffix=".md")
    with os.fdopen(handle, "w") as file:
        file.write(typed)
    again = with_program(f"openmanus-graph memory edit {key[:12]} --file {shlex.quote(path)}")
    warn(f"What you wrote is kept in {path!r}; mend it and store it with: {again}")

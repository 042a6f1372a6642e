"""Database: db migrate, key and encrypt, for the tables of whichever database is used."""

from __future__ import annotations

import asyncio

import click

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.migrations import make_store_tables
from openmanus_graph.checkpoints.reencryption import Encrypted, encrypt_all
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.encryption_keys import VARIABLE, new_key
from openmanus_graph.display_text import counted
from openmanus_graph.errors import SettingsError


def migrate() -> None:
    """Create or upgrade the project's tables, in their own schema."""
    asyncio.run(_migrate())
    click.echo("The tables are up to date.", err=True)


async def _migrate() -> None:
    async with open_checkpointer(migrate_tables=True) as saver, saver.pool.connection() as connection:
        await make_store_tables(connection)  # else made at their first use, by a user who may not be allowed to


def key() -> None:
    """Print a new encryption key; nothing is stored."""
    click.echo(new_key())


MOST_NAMED = 20
"""Things that could not be encrypted which are named at most; `--json` names all."""


def encrypt(as_json: bool) -> int:
    """Encrypt what is stored plain or with an older key with the first key; gives the exit code."""
    done = asyncio.run(_encrypt())
    if as_json:
        print_json(vars(done))
    else:
        rows = counted(done.rows, "row")
        click.echo(f"{counted(done.threads, 'thread')} looked through: {rows} encrypted anew.", err=True)
    if done.running:
        left = counted(done.running, "thread")
        click.echo(f"{left} left out, because somebody runs them. Once they have ended, run it again.", err=True)
    if done.removed:
        gone = counted(done.removed, "kept result")
        click.echo(f"{gone} of tools removed, because they could not be opened; they are got anew.", err=True)
    if done.left:
        click.echo(f"{counted(len(done.left), 'thing')} could not be opened, and stay as they are:", err=True)
        for what in done.left[:MOST_NAMED]:
            click.echo(f"  {what}", err=True)
        if len(done.left) > MOST_NAMED:
            click.echo(f"  … and {len(done.left) - MOST_NAMED:,} more, see: {shell_commands.ENCRYPT} --json", err=True)
        click.echo(
            f"Where a key is missing, set {VARIABLE} to it too, behind the first one, and run this again."
            f" A thread that is damaged or whose key is lost can be removed: {shell_commands.delete_thread()}",
            err=True,
        )
    return 1 if done.left else 0


async def _encrypt() -> Encrypted:
    async with open_checkpointer() as saver:
        if saver.cipher is None:
            raise SettingsError(
                f"{VARIABLE} is not set, so nothing can be encrypted.", hint=f"Make a key: {shell_commands.NEW_KEY}"
            )
        return await encrypt_all(saver)

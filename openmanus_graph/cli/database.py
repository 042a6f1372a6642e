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


def encrypt(as_json: bool) -> None:
    """Encrypt what is stored plain or with an older key with the first key."""
    done = asyncio.run(_encrypt())
    if as_json:
        print_json(vars(done))
    else:
        rows = counted(done.rows, "row")
        click.echo(f"{counted(done.threads, 'thread')} looked through: {rows} encrypted anew.", err=True)
    if done.running:
        left = counted(done.running, "thread")
        click.echo(f"{left} left out, because somebody runs them. Once they have ended, run it again.", err=True)


async def _encrypt() -> Encrypted:
    async with open_checkpointer() as saver:
        if saver.cipher is None:
            raise SettingsError(
                f"{VARIABLE} is not set, so nothing can be encrypted.", hint=f"Make a key: {shell_commands.NEW_KEY}"
            )
        return await encrypt_all(saver)

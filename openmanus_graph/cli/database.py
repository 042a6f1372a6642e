"""Database: db migrate, for the tables of whichever database is used."""

from __future__ import annotations

import asyncio

import click

from openmanus_graph.checkpoints.database import open_checkpointer
from openmanus_graph.checkpoints.migrations import make_store_tables


def migrate() -> None:
    """Create or upgrade the project's tables, in their own schema."""
    asyncio.run(_migrate())
    click.echo("The tables are up to date.", err=True)


async def _migrate() -> None:
    async with open_checkpointer(migrate_tables=True) as saver, saver.pool.connection() as connection:
        await make_store_tables(connection)  # else made at their first use, by a user who may not be allowed to

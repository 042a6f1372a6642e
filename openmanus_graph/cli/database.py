"""db: the embedded Postgres server, and the tables of whichever database is used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from openmanus_graph.cli.terminal import print_json

if TYPE_CHECKING:
    from openmanus_graph.config.settings import Settings


@click.group()
def db() -> None:
    """Start, stop and look at the embedded Postgres server; create the tables in your own."""


def _settings() -> Settings:
    from openmanus_graph.config.settings import Settings

    return Settings.load()


@db.command()
def start() -> None:
    """Start the embedded server and keep it up until `db stop`."""
    from openmanus_graph.checkpoints.server.embedded import EmbeddedServer

    server = EmbeddedServer(_settings())
    asyncio.run(server.start())
    click.echo(f"The embedded server is up: {server.url}", err=True)


@db.command()
@click.option("--force", is_flag=True, help="Even while others use it; their threads can be resumed.")
def stop(force: bool) -> None:
    """Stop the embedded server."""
    from openmanus_graph.checkpoints.server.embedded import EmbeddedServer

    asyncio.run(EmbeddedServer(_settings()).stop(force=force))
    click.echo("The embedded server is stopped.", err=True)


@db.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(as_json: bool) -> None:
    """Say whether the embedded server runs, and where its data is."""
    import dataclasses

    from openmanus_graph.checkpoints.server.embedded import EmbeddedServer

    facts = dataclasses.asdict(EmbeddedServer(_settings()).status())
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name + ':':<10}{value}")


@db.command()
def url() -> None:
    """Print the URL of the database in use, password included if it has one."""
    from openmanus_graph.checkpoints.server.embedded import EmbeddedServer

    settings = _settings()
    secret = settings.database_url
    click.echo(secret.get_secret_value() if secret else EmbeddedServer(settings).url)


@db.command()
def migrate() -> None:
    """Create or upgrade the project's tables, in their own schema."""
    asyncio.run(_migrate())
    click.echo("The tables are up to date.", err=True)


async def _migrate() -> None:
    from openmanus_graph.checkpoints.database import open_checkpointer

    async with open_checkpointer(migrate_tables=True):
        pass

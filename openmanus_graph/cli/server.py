"""Server: db start, stop, status and url, for the embedded Postgres server."""

from __future__ import annotations

import asyncio
import dataclasses

import click

from openmanus_graph.checkpoints.server.embedded import EmbeddedServer
from openmanus_graph.cli.terminal import print_json
from openmanus_graph.config.settings import Settings


def start() -> None:
    """Start the embedded server and keep it up until `db stop`."""
    server = EmbeddedServer(Settings.load())
    asyncio.run(server.start())
    click.echo(f"The embedded server is up: {server.url}", err=True)


def stop(force: bool) -> None:
    """Stop the embedded server."""
    asyncio.run(EmbeddedServer(Settings.load()).stop(force=force))
    click.echo("The embedded server is stopped.", err=True)


def status(as_json: bool) -> None:
    """Say whether the embedded server runs, and where its data is."""
    facts = dataclasses.asdict(EmbeddedServer(Settings.load()).status())
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        click.echo(f"{name + ':':<10}{value}")


def url() -> None:
    """Print the URL of the database in use, password included if it has one."""
    settings = Settings.load()
    secret = settings.database_url
    click.echo(secret.get_secret_value() if secret else EmbeddedServer(settings).url)

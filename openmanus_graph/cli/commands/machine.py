"""Machine commands: db, doctor and new."""

from __future__ import annotations

from pathlib import Path

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import as_json


@click.group()
def db() -> None:
    """Start, stop and look at the embedded Postgres server; create the tables in your own."""


@db.command("start", cls=LazyCommand, body="openmanus_graph.cli.server:start")
def db_start() -> None:
    """Start the embedded server and keep it up until `db stop`."""


@db.command("stop", cls=LazyCommand, body="openmanus_graph.cli.server:stop")
@click.option("--force", is_flag=True, help="Even while others use it; their threads can be resumed.")
def db_stop() -> None:
    """Stop the embedded server."""


@db.command("status", cls=LazyCommand, body="openmanus_graph.cli.server:status")
@as_json
def db_status() -> None:
    """Say whether the embedded server runs, and where its data is."""


@db.command("url", cls=LazyCommand, body="openmanus_graph.cli.server:url")
def db_url() -> None:
    """Print the URL of the database in use, password included if it has one."""


@db.command("migrate", cls=LazyCommand, body="openmanus_graph.cli.database:migrate")
def db_migrate() -> None:
    """Create or upgrade the project's tables, in their own schema."""


@db.command("key", cls=LazyCommand, body="openmanus_graph.cli.database:key")
def db_key() -> None:
    """Print a new encryption key for OPENMANUS_GRAPH_ENCRYPTION_KEY; nothing is stored."""


@db.command("encrypt", cls=LazyCommand, body="openmanus_graph.cli.database:encrypt")
@as_json
def db_encrypt() -> None:
    """Encrypt what is stored plain or with an older key with the first key; can be stopped and run again.

    What cannot be opened is named and left as it is; exit 1 then.
    """


@click.command("doctor", cls=LazyCommand, body="openmanus_graph.cli.doctor:doctor")
@as_json
def doctor() -> None:
    """Print each setting with where it came from, and probe what is there; exit 1 if the engine cannot run."""


@click.command("new", cls=LazyCommand, body="openmanus_graph.cli.new:new")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def new() -> None:
    """Write a small working project into DIR: graphs, nodes, tools, tests, a notebook."""

"""OpenAPI commands: list, check, search and call, which look at the web services of the settings."""

from __future__ import annotations

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import as_json


@click.group()
def openapi() -> None:
    """Look at the web services of the settings, and call their operations."""


@openapi.command("list", cls=LazyCommand, body="openmanus_graph.cli.openapi:list_operations")
@click.argument("api", required=False)
@as_json
def openapi_list() -> None:
    """List the operations of the services, or of one API, their documents read anew."""


@openapi.command("check", cls=LazyCommand, body="openmanus_graph.cli.openapi:check")
@click.argument("api", required=False)
@as_json
def openapi_check() -> None:
    """Read the documents anew and say what of them cannot be used; exit 1 if anything cannot."""


@openapi.command("search", cls=LazyCommand, body="openmanus_graph.cli.openapi:search")
@click.argument("api")
@click.argument("words", nargs=-1, required=True)
@click.option("--tag", help="Only operations of this group.")
@as_json
def openapi_search() -> None:
    """Find operations of an API by WORDS, with what they take, as models find them."""


@openapi.command("call", cls=LazyCommand, body="openmanus_graph.cli.openapi:call")
@click.argument("api")
@click.argument("operation")
@click.argument("arguments", default="{}", metavar="[JSON]")
@click.option("--all-pages", is_flag=True, help="Follow all pages of a list.")
@as_json
def openapi_call() -> None:
    """Call an OPERATION of an API once, with arguments as JSON, without policy and ledger."""

"""MCP commands: list, check and call, which look at the MCP servers of the settings, and serve, which is one."""

from __future__ import annotations

import click

from openmanus_graph.cli.commands.lazy import LazyCommand
from openmanus_graph.cli.commands.options import as_json


@click.group()
def mcp() -> None:
    """Look at the MCP servers of the settings, call their tools, and be a server for other programs."""


@mcp.command("list", cls=LazyCommand, body="openmanus_graph.cli.mcp:list_servers")
@click.argument("server", required=False)
@as_json
def mcp_list() -> None:
    """List the tools of the servers, or of one SERVER, read anew."""


@mcp.command("check", cls=LazyCommand, body="openmanus_graph.cli.mcp:check")
@click.argument("server", required=False)
@as_json
def mcp_check() -> None:
    """Connect to the servers and say what of them cannot be used; exit 1 if anything cannot."""


@mcp.command("call", cls=LazyCommand, body="openmanus_graph.cli.mcp:call")
@click.argument("server")
@click.argument("tool")
@click.argument("arguments", default="{}", metavar="[JSON]")
@as_json
def mcp_call() -> None:
    """Call a TOOL of a SERVER once, with arguments as JSON, without policy and ledger."""


@mcp.command("serve", cls=LazyCommand, body="openmanus_graph.cli.mcp_server.serving:serve")
@click.option("--http", is_flag=True, help="Serve over HTTP on the loopback interface, for who has the token.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port of --http; 0: any.")
@click.option(
    "--client-approves", is_flag=True, help="Take the client's own word in approvals, which its model may give unasked."
)
def mcp_serve() -> None:
    """Be an MCP server: other programs run tasks, plans and graphs, and go on with their threads.

    Over standard input and output, until the client closes them. What runs then stops after its steps, and goes on by
    `resume`.
    """

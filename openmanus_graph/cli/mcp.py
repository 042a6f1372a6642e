"""MCP: the commands mcp list, check and call."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, cast

import click

from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.display_text import counted
from openmanus_graph.errors import OpenManusGraphError, ToolError, UsageError
from openmanus_graph.plans.arguments import check_call
from openmanus_graph.tools.mcp.listing import Listing, name_of
from openmanus_graph.tools.mcp.mcp_tool import McpTool
from openmanus_graph.tools.mcp.server import servers_of
from openmanus_graph.tools.mcp.server_tools import listing_of, listings_of
from openmanus_graph.tools.rebuild import nearest
from openmanus_graph.tools.spec import spec_of

EXAMPLE = """Write them as in '{"path": "a.txt"}'."""
NONE = "No MCP server is set. Name one in [mcp_servers.NAME], or a file with `mcpServers` in `mcp_file`."


def _chosen(settings: Settings, server: str | None) -> Settings:
    """The settings with one server, or with all.

    Raises:
        UsageError: If there is no server of that name.
    """
    servers = servers_of(settings)
    if server is not None and server not in servers:
        raise UsageError(
            f"There is no MCP server {server!r}.",
            hint=nearest(server, list(servers)) or f"There are: {', '.join(servers) or 'none'}.",
        )
    chosen = servers if server is None else {server: servers[server]}
    return settings.model_copy(update={"mcp_servers": chosen, "mcp_file": None})


def list_servers(server: str | None, as_json: bool) -> int:
    """List the tools of the servers; the exit code."""
    settings = _chosen(Settings.load(), server)
    found = asyncio.run(listings_of(settings))
    if as_json:
        print_json({name: _as_json(name, settings.mcp_servers[name], one) for name, one in found.items()})
        return _code(found)
    if not found:
        click.echo(NONE)
    rows: list[list[str]] = []
    for name, one in found.items():
        if isinstance(one, ToolError):
            click.echo(f"{one.message}", err=True)
            continue
        for tool in _tools_of(name, settings.mcp_servers[name], one):
            rows.append([tool.name, spec_of(tool).effect, tool.description.strip().split("\n")[0]])
    if rows:
        print_table(["TOOL", "EFFECT", "WHAT IT DOES"], rows)
    return _code(found)


def _tools_of(name: str, server: McpServerSettings, listing: Listing) -> list[McpTool]:
    return [McpTool.of(name, server, one) for one in listing.tools if not server.tools or one.name in server.tools]


def _as_json(name: str, server: McpServerSettings, one: Listing | ToolError) -> dict[str, Any]:
    if isinstance(one, ToolError):
        return {"error": one.message}
    tools = [
        {
            "name": tool.name,
            "effect": spec_of(tool).effect,
            "description": tool.description,
            "arguments": tool.args_schema,
        }
        for tool in _tools_of(name, server, one)
    ]
    return {"tools": tools, "problems": one.problems}


def _code(found: dict[str, Listing | ToolError]) -> int:
    return 1 if any(isinstance(one, ToolError) or one.problems for one in found.values()) else 0


def check(server: str | None, as_json: bool) -> int:
    """Say what of the servers cannot be used; the exit code."""
    settings = _chosen(Settings.load(), server)
    began = time.monotonic()
    found = asyncio.run(listings_of(settings))
    if as_json:
        print_json({name: _as_json(name, settings.mcp_servers[name], one) for name, one in found.items()})
        return _code(found)
    if not found:
        click.echo(NONE)
    for name, one in found.items():
        if isinstance(one, ToolError):
            click.echo(f"{name}: cannot be used\n  {one.message}")
            continue
        click.echo(f"{name}: {counted(len(one.tools), 'tool')}")
        for problem in one.problems:
            click.echo(f"  {problem}")
    if found:
        click.echo(f"Asked in {time.monotonic() - began:.1f} s.", err=True)
    return _code(found)


def call(server: str, tool: str, arguments: str, as_json: bool) -> None:
    """Call a tool once, in the current folder."""
    settings = _chosen(Settings.load(), server)
    try:
        given: Any = json.loads(arguments)
    except ValueError as error:
        raise UsageError(
            f"The arguments {arguments!r} are no JSON: {error}.", hint='As in \'{"path": "a.txt"}\'.'
        ) from None
    if not isinstance(given, dict):
        raise UsageError(f"The arguments {arguments!r} are no object.", hint='As in \'{"path": "a.txt"}\'.')
    output = asyncio.run(_called(settings, server, tool, cast("dict[str, Any]", given)))
    if as_json or not (isinstance(output, dict) and set(cast("dict[str, Any]", output)) == {"text"}):
        print_json(output)
        return
    click.echo(str(cast("dict[str, Any]", output)["text"]))


async def _called(settings: Settings, server: str, tool: str, arguments: dict[str, Any]) -> Any:
    listing = await listing_of(server, settings.mcp_servers[server], settings)
    named = {one.name: one for one in listing.tools} | {name_of(server, one.name): one for one in listing.tools}
    if tool not in named:
        raise UsageError(
            f"The MCP server {server!r} has no tool {tool!r}.",
            hint=nearest(tool, list(named)) or f"It has {', '.join(one.name for one in listing.tools)}.",
        )
    made = McpTool.of(server, settings.mcp_servers[server], named[tool])
    check_call(made, arguments)
    context = ToolContext("mcp", "mcp", Path.cwd(), settings, report=lambda text: click.echo(text, err=True))
    try:
        with using_tool_context(context):
            return await made.ainvoke(arguments)
    except OpenManusGraphError:
        raise
    except Exception as error:
        raise ToolError(f"The server gave no answer, so nobody knows whether the call happened: {error}.") from error
    finally:
        await context.thread_sessions.aclose()

"""Server tools: the tools of all servers of the settings, by the lists that are kept or read now."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from langchain_core.tools import BaseTool

from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.tools.mcp.connection import connected
from openmanus_graph.tools.mcp.listing import Listing, keep, kept, kept_before
from openmanus_graph.tools.mcp.mcp_tool import McpTool
from openmanus_graph.tools.mcp.new_tools import McpNewTools
from openmanus_graph.tools.mcp.server import servers_of

OLD_S = 86_400.0
"""Seconds after which a list that is kept is read anew."""


async def listing_of(name: str, server: McpServerSettings, settings: Settings) -> Listing:
    """The list of a server as it is now, which is kept then.

    Raises:
        ToolError: If the server cannot be used.
    """
    async with connected(name, server, settings) as connection:
        await asyncio.to_thread(keep, settings.home, name, server, connection.listing)
        return connection.listing


async def listings_of(settings: Settings) -> dict[str, Listing | ToolError]:
    """The lists of all servers as they are now, or why one cannot be used."""
    servers = servers_of(settings)
    found = await asyncio.gather(
        *(listing_of(name, server, settings) for name, server in servers.items()), return_exceptions=True
    )
    listings: dict[str, Listing | ToolError] = {}
    for name, one in zip(servers, found, strict=True):
        if isinstance(one, BaseException) and not isinstance(one, ToolError):
            raise one
        listings[name] = one
    return listings


def mcp_tools(settings: Settings) -> tuple[dict[str, BaseTool], list[str]]:
    """The tools of all servers by name, and what cannot be used in sentences.

    Lists that are kept are taken as they are for a day; those that are not are read now, in a thread of its own, since
    graphs are built where nothing can be awaited. Of a server that cannot be used the last list is taken, however old:
    a thread goes on without it, and what calls it is told.
    """
    servers = servers_of(settings)
    if not servers:
        return {}, []
    known = {name: kept(settings.home, name, server) for name, server in servers.items()}
    missing = {name for name, one in known.items() if one is None or time.time() - one[1] > OLD_S}
    listings: dict[str, Listing] = {name: one[0] for name, one in known.items() if one is not None}
    problems: list[str] = []
    if missing:
        wanted = settings.model_copy(
            update={"mcp_servers": {name: servers[name] for name in missing}, "mcp_file": None}
        )
        for name, one in _now(wanted).items():
            if isinstance(one, Listing):
                listings[name] = one
                continue
            problems.append(one.message)
            if name not in listings and (before := kept_before(settings.home, name)) is not None:
                listings[name] = before
    tools: dict[str, BaseTool] = {}
    for name, listing in listings.items():
        server = servers[name]
        problems += [f"The MCP server {name!r}: {problem}" for problem in listing.problems]
        for listed in listing.tools:
            if not server.tools or listed.name in server.tools:
                tool = McpTool.of(name, server, listed)
                tools[tool.name] = tool
    for name, listing in listings.items():
        if listing.changes and not servers[name].tools:
            later = McpNewTools.of(name, servers[name], listing)
            tools.setdefault(later.name, later)
    return tools, problems


def _now(settings: Settings) -> dict[str, Listing | ToolError]:
    """The lists as they are now, whether or not an event loop runs here."""
    with ThreadPoolExecutor(1, "mcp") as pool:
        return pool.submit(lambda: asyncio.run(listings_of(settings))).result()

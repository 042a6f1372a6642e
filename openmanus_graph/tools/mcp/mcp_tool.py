"""MCP tool: a server's tool as a tool of ours, each call a node with policy, ledger and time limit like any other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from pydantic import PrivateAttr

from openmanus_graph import shell_commands
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.questions import ask_about
from openmanus_graph.tools.mcp.connection import McpConnection, connected
from openmanus_graph.tools.mcp.content import output_of
from openmanus_graph.tools.mcp.elicitation import CANCELLED, response_to, why_not_asked, words_of
from openmanus_graph.tools.mcp.listing import ListedTool, Listing, keep, kept, kept_before, name_of
from openmanus_graph.tools.mcp.pending_call import PendingCall, ServerQuestion
from openmanus_graph.tools.mcp.server import servers_of
from openmanus_graph.tools.spec import ToolSpec

HELD = "mcp calls"
"""The key of a subtask's session that holds its calls."""
OLD_S = 86_400.0
"""Seconds after which a list that is kept is read anew."""


class McpTool(BaseTool):
    """A tool of a server.

    Arguments are handed over as they are, whatever they are called; a `StructuredTool` drops or refuses some names.
    """

    _server_name: str = PrivateAttr()
    _server: McpServerSettings = PrivateAttr()
    _listed: ListedTool = PrivateAttr()

    @classmethod
    def of(cls, name: str, server: McpServerSettings, listed: ListedTool) -> McpTool:
        """Make the tool that a server lists."""
        trusted = server.trust_annotations
        reads = trusted and listed.annotations.get("readOnlyHint") is True
        spec = ToolSpec(
            effect="read" if reads else "external",
            idempotent=trusted and listed.annotations.get("idempotentHint") is True,
            timeout_s=server.timeout_s + server.start_timeout_s,
            on_request=not server.offered,
            goes_on=_goes_on,
        )
        tool = cls(
            name=name_of(name, listed.name),
            description=listed.description or f"The tool {listed.name} of the MCP server {name}.",
            args_schema=listed.schema,
            metadata=spec.metadata,
        )
        tool._server_name, tool._server, tool._listed = name, server, listed
        return tool

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Make a call; of the engine's `ToolCall` only the arguments are meant."""
        del config, kwargs
        given = cast("dict[str, Any]", input)
        return await self._arun(dict(given["args"] if given.get("type") == "tool_call" else given))

    async def as_of_now(self, context: ToolContext) -> McpTool | None:
        """The tool as its server lists it now, if the run has asked it; `None` if it is listed no more.

        What a call counts as stays as it was: a server cannot make its calls count for less in the middle of a run.
        """
        opened = context.thread_sessions.opened(self._session)
        listing = await opened.listing() if isinstance(opened, _Reconnecting) else None
        if listing is None:
            return self
        listed = next((one for one in listing.tools if one.name == self._listed.name), None)
        if listed is None or listed == self._listed:
            return None if listed is None else self
        return McpTool.of(self._server_name, self._server, listed).model_copy(update={"metadata": self.metadata})

    def _run(self, arguments: Mapping[str, Any]) -> Any:
        raise NotImplementedError("Tools of MCP servers are called with `ainvoke`.")

    async def _arun(self, arguments: Mapping[str, Any]) -> Any:
        context = tool_context()
        held = await context.sessions.get(HELD, _held)
        call = held.calls.pop(str(context.call_id), None)
        if call is None:
            call = (await self._connection(context)).begin(self._listed.name, arguments)
        call.say, call.sample = context.report, context.sample if self._server.sampling else None
        try:
            answer = await call.step()
            while isinstance(answer, ServerQuestion):
                call.reply(self._asked(answer, context))
                answer = await call.step()
        except GraphBubbleUp:
            held.calls[str(context.call_id)] = call
            raise
        except BaseException:
            await call.aclose()
            raise
        output, error = output_of(answer, self._server_name, context.workspace)
        if error is not None:
            raise ToolError(error)
        return output

    def _asked(self, question: ServerQuestion, context: ToolContext) -> dict[str, Any]:
        """What a person answers to a server; the run is suspended until then."""
        why = why_not_asked(question) or (None if _in_graph() else "nobody can be asked here")
        if why is not None:
            context.report(f"A question of the MCP server {self._server_name!r} is cancelled: {why}")
            return CANCELLED

        def check(given: Any) -> None:
            response_to(question, given)

        value = ask_about(
            words_of(self._server_name, question),
            subtask=context.subtask_id,
            about=question.about,
            number=question.number,
            tool=self.name,
            check=check,
        )
        return response_to(question, value)

    @property
    def _session(self) -> str:
        return f"mcp {self._server_name}"

    async def _connection(self, context: ToolContext) -> McpConnection:
        """The run's connection to the server, opened anew if it was lost."""

        async def opener() -> _Reconnecting:
            return _Reconnecting(self._server_name, self._server, context.settings)

        connection = await (await context.thread_sessions.get(self._session, opener)).get()
        await connection.list_again()
        if all(tool.name != self._listed.name for tool in connection.listing.tools):
            raise ToolError(
                f"The MCP server {self._server_name!r} has no tool {self._listed.name!r} any more.",
                hint=f"See what it has with: {shell_commands.mcp_list(self._server_name)}",
            )
        return connection


class HeldCalls:
    """The calls of a subtask whose servers wait for a person, while the run is suspended."""

    def __init__(self) -> None:
        """Hold none."""
        self.calls: dict[str, PendingCall] = {}
        """The calls, by the ids of the steps that make them."""

    @property
    def lasts(self) -> bool:
        """Whether it outlasts a question."""
        return bool(self.calls)

    async def aclose(self) -> None:
        """Give them up."""
        for call in self.calls.values():
            await call.aclose()


async def _held() -> HeldCalls:
    return HeldCalls()


def _goes_on(context: ToolContext) -> bool:
    """Whether a call waits for the answer to its server's question in this process."""
    held = context.sessions.opened(HELD)
    call = held.calls.get(str(context.call_id)) if isinstance(held, HeldCalls) else None
    return call is not None and not call.done


def _in_graph() -> bool:
    try:
        get_config()
    except RuntimeError:
        return False
    return True


class _Reconnecting:
    """A run's connection to one server."""

    def __init__(self, name: str, server: McpServerSettings, settings: Settings) -> None:
        self._of = name, server, settings
        self._open: McpConnection | None = None
        self._lock = asyncio.Lock()

    @property
    def lasts(self) -> bool:
        """Whether it outlasts a question to a person: one that the server has asked is not had again."""
        return self._open is not None and self._open.busy

    async def listing(self) -> Listing | None:
        """The server's list as it is now; `None` while there is no connection."""
        if self._open is None or not self._open.alive:
            return None
        await self._open.list_again()
        return self._open.listing

    async def get(self) -> McpConnection:
        """The connection, which is alive.

        Raises:
            ToolError: If the server cannot be reached.
        """
        async with self._lock:
            if self._open is None or not self._open.alive:
                if self._open is not None:
                    await self._open.aclose()
                self._open = None
                self._open = await McpConnection.open(*self._of)
            return self._open

    async def aclose(self) -> None:
        """End it."""
        if self._open is not None:
            await self._open.aclose()


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
    return tools, problems


def _now(settings: Settings) -> dict[str, Listing | ToolError]:
    """The lists as they are now, whether or not an event loop runs here."""
    with ThreadPoolExecutor(1, "mcp") as pool:
        return pool.submit(lambda: asyncio.run(listings_of(settings))).result()

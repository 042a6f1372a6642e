"""MCP tool: a server's tool as a tool of ours, each call a node with policy, ledger and time limit like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from langgraph.config import get_config
from langgraph.errors import GraphBubbleUp
from pydantic import PrivateAttr

from openmanus_graph import shell_commands
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.questions import ask_about
from openmanus_graph.tools.foreign_tool import ForeignTool
from openmanus_graph.tools.mcp.connection import McpConnection
from openmanus_graph.tools.mcp.content import output_of
from openmanus_graph.tools.mcp.elicitation import CANCELLED, response_to, why_not_asked, words_of
from openmanus_graph.tools.mcp.listing import ListedTool, Listing, name_of
from openmanus_graph.tools.mcp.pending_call import PendingCall, ServerQuestion
from openmanus_graph.tools.spec import ToolSpec

HELD = "mcp calls"
"""The key of a subtask's session that holds its calls."""


class McpTool(ForeignTool):
    """A tool of a server."""

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

    async def as_of_now(self, context: ToolContext) -> McpTool | None:
        """The tool as its server lists it now, if the run has asked it; `None` if it is listed no more.

        What a call counts as stays as it was: a server cannot make its calls count for less in the middle of a run.
        """
        listing = await listing_now(self._server_name, context)
        if listing is None:
            return self
        listed = next((one for one in listing.tools if one.name == self._listed.name), None)
        if listed is None or listed == self._listed:
            return None if listed is None else self
        return McpTool.of(self._server_name, self._server, listed).model_copy(update={"metadata": self.metadata})

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
    def is_there(self) -> bool:
        """Whether it is there, as far as is known before anybody looks."""
        return True

    async def _connection(self, context: ToolContext) -> McpConnection:
        """The run's connection to the server, opened anew if it was lost."""

        async def opener() -> _Reconnecting:
            return _Reconnecting(self._server_name, self._server, context.settings)

        connection = await (await context.thread_sessions.get(_session(self._server_name), opener)).get()
        await connection.list_again()
        if all(tool.name != self._listed.name for tool in connection.listing.tools):
            raise ToolError(
                f"The MCP server {self._server_name!r} has no tool {self._listed.name!r} any more.",
                hint=f"See what it has with: {shell_commands.mcp_list(self._server_name)}",
            )
        return connection


def _session(server: str) -> str:
    return f"mcp {server}"


async def listing_now(server: str, context: ToolContext) -> Listing | None:
    """A server's list as it is now; `None` if the run has no connection to it.

    Args:
        server: The server's name.
        context: The subtask's context.
    """
    opened = context.thread_sessions.opened(_session(server))
    return await opened.listing() if isinstance(opened, _Reconnecting) else None


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
    return call is not None and (call.answered or not call.done)


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

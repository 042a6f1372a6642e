"""Connection: one session with an MCP server, owned by one task; other tasks make calls over it."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from openmanus_graph import shell_commands
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.capture import Capture
from openmanus_graph.sandbox.launch import prepare_launch
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.tools.mcp.elicitation import CANCELLED
from openmanus_graph.tools.mcp.listing import Listing, keep, read_listing
from openmanus_graph.tools.mcp.pending_call import PendingCall, Reply
from openmanus_graph.tools.mcp.sdk_internals import unchecked
from openmanus_graph.tools.mcp.server import filled
from openmanus_graph.tools.mcp.stdio import StdioServer

CLOSING_S = 8.0
"""Seconds that a server may take to end."""
STDERR_SHOWN = 600
"""Characters of what a server said on its standard error that an error shows."""
GONE = "Session terminated"
"""How the SDK says that a server over HTTP does not know the session any more, and so has not made the call."""


class McpConnection:
    """A session; make it with `open`."""

    def __init__(self, name: str, server: McpServerSettings, settings: Settings) -> None:
        """Connect to nothing yet.

        Args:
            name: The server's name.
            server: What is said of it.
            settings: The user's settings.
        """
        self._name = name
        self._server = server
        self._settings = settings
        self._stop = asyncio.Event()
        self._ready: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._said: Capture | None = None
        self._client: Any = None
        self._lost = False
        self._process: StdioServer | None = None
        self._calls: list[PendingCall] = []
        self._changed = False
        self._unheard = False
        self.listing = Listing([])
        """The tools that it has, by what it has said last."""

    @classmethod
    async def open(cls, name: str, server: McpServerSettings, settings: Settings) -> McpConnection:
        """Connect, and list the server's tools.

        Raises:
            ToolError: If it cannot be started or reached in time, or gives no list.
        """
        connection = cls(name, server, settings)
        connection._task = asyncio.create_task(connection._own())
        try:
            async with asyncio.timeout(server.start_timeout_s):
                connection._client = await asyncio.shield(connection._ready)
                connection.listing = await connection._list()
        except TimeoutError:
            await connection.aclose()
            raise connection._failure(f"did not answer within {server.start_timeout_s:g} s") from None
        except ToolError as error:
            await connection.aclose()
            raise connection._failure(f"cannot be used: {error.message.removesuffix('.')}") from error
        except Exception as error:
            await connection.aclose()
            raise connection._failure(f"cannot be used: {_words(error)}") from error
        except BaseException:
            await connection.aclose()
            raise
        return connection

    def _failure(self, what: str) -> ToolError:
        said = "" if self._said is None else self._said.text().strip()[-STDERR_SHOWN:]
        more = f" It said: {said}" if said else ""
        return ToolError(
            f"The MCP server {self._name!r} {what}.{more}", hint=f"Look at it with: {shell_commands.MCP_CHECK}"
        )

    @property
    def alive(self) -> bool:
        """Whether calls can be made."""
        ended = self._process is not None and self._process.ended
        if self._lost or ended or (self._unheard and not self.busy):
            return False
        return self._task is not None and not self._task.done()

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return any(not call.done for call in self._calls)

    async def _own(self) -> None:
        """Open the session, keep it until it is to end, and close it, all in this task: the SDK wants that."""
        logging.getLogger("mcp").setLevel(
            logging.CRITICAL
        )  # its tracebacks of servers' faults, which are told in words
        try:
            from mcp import Client

            async with AsyncExitStack() as stack:
                transport = await self._transport(stack)
                client = await stack.enter_async_context(
                    Client(
                        transport,
                        elicitation_callback=self._elicited,
                        sampling_callback=self._sampled if self._server.sampling else None,
                        message_handler=self._told,
                    )
                )
                if not self._ready.done():
                    self._ready.set_result(client)
                listening = asyncio.create_task(self._listen(client))
                await self._stop.wait()
                await self._give_up(listening)
        except BaseException as error:
            self._lost = True
            if not self._ready.done():
                self._ready.set_exception(error if isinstance(error, Exception) else ToolError("It was ended."))
                self._ready.exception()
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            if self._said is not None:
                self._said.text()  # what came last, before the pipe is closed
                self._said.close()

    async def _give_up(self, listening: asyncio.Task[None]) -> None:
        """End what is under way, while the server can still be told."""
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        for call in self._calls:
            await call.aclose()

    async def _listen(self, client: Any) -> None:
        """Hear of changes of the list from a server of the newer kind, which tells only those that have asked."""
        from mcp.client.subscriptions import SubscriptionLost

        with suppress(Exception):  # one that does not tell is one whose list is the one that is known
            async with client.listen(tools_list_changed=True) as changes:
                try:
                    async for _ in changes:
                        self._changed = True
                except SubscriptionLost:  # such as when it was started anew
                    self._unheard = True

    async def _told(self, message: Any) -> None:
        if getattr(message, "method", None) == "notifications/tools/list_changed":
            self._changed = True

    async def _elicited(self, context: Any, params: Any) -> Any:
        """Hand a question on to the call that it belongs to: over this kind of session the server does not say which.

        It is the one that was begun first of those that the server does not ask about already.
        """
        from mcp.types import ElicitResult

        del context
        call = next((call for call in self._calls if not call.done and not call.asking), None)
        response = CANCELLED if call is None else await call.ask(params.model_dump(by_alias=True, exclude_none=True))
        return ElicitResult.model_validate(response)

    def _hand_over(self, params: Mapping[str, Any], reply: Reply) -> bool:
        """Give a question that a call has left open to another one; whether there is one."""
        others = [call for call in self._calls if not call.done]
        if not others:
            return False
        next((call for call in others if not call.asking), others[0]).adopt(params, reply)
        return True

    async def _sampled(self, context: Any, params: Any) -> Any:
        from mcp.types import INVALID_REQUEST, CreateMessageResult, ErrorData

        del context
        call = next((call for call in self._calls if not call.done), None)
        try:
            if call is None:
                raise ToolError("No call is under way.")
            return CreateMessageResult.model_validate(await call.ask_model(params.model_dump(by_alias=True)))
        except ToolError as error:
            return ErrorData(code=INVALID_REQUEST, message=str(error.message))

    async def _transport(self, stack: AsyncExitStack) -> Any:
        server = self._server
        if server.url is None:
            return await self._started(stack)
        import httpx2

        headers = filled(self._name, server.headers)
        if server.type == "sse":
            from mcp.client.sse import sse_client

            return sse_client(server.url, headers=headers)
        from mcp.client.streamable_http import streamable_http_client

        from openmanus_graph.tools.mcp.http_bounds import BoundedTransport

        # Redirects to another origin are refused by the SDK, so that headers go nowhere else. How long an answer may
        # take is counted by the call, which does not count the time in which a person is asked.
        limits = httpx2.Timeout(None, connect=server.start_timeout_s)
        http = httpx2.AsyncClient(headers=headers, timeout=limits, trust_env=False, transport=BoundedTransport())
        client = await stack.enter_async_context(http)
        return streamable_http_client(server.url, http_client=client)

    async def _started(self, stack: AsyncExitStack) -> Any:
        """The transport to a program that ends with this one, whatever happens to this one."""
        server = self._server
        folder = _folder_of(server)
        argv = [str(server.command), *server.args]
        environment = filled(self._name, server.env)
        if shutil.which(argv[0], path=environment.get("PATH")) is None:
            raise ToolError(f"There is no program {argv[0]!r}.")
        launch = stack.enter_context(
            prepare_launch(argv, workspace=folder, level="none", settings=self._settings, limits=SandboxLimits())
        )
        self._said = Capture()
        written = os.dup(self._said.write_end)
        stack.callback(os.close, written)
        self._said.close_write_end()
        self._process = StdioServer()
        return self._process.transport(launch.argv, environment, folder, written)

    async def _page(self, cursor: str | None) -> Any:
        from mcp.types import ListToolsRequest, PaginatedRequestParams

        parameters = None if cursor is None else PaginatedRequestParams(cursor=cursor)
        request = ListToolsRequest(params=parameters).model_dump(by_alias=True, mode="json", exclude_none=True)
        return await unchecked(self._client.session, request, self._server.start_timeout_s, None)

    async def _list(self) -> Listing:
        capabilities = self._client.session.server_capabilities
        tools: Any = None if capabilities is None else capabilities.tools
        return replace(await read_listing(self._page), changes=bool(tools is not None and tools.list_changed))

    async def list_again(self) -> None:
        """Read the list anew if the server has said that it changed; what cannot be read is as it was."""
        if not self._changed:
            return
        self._changed = False
        with suppress(Exception):
            async with asyncio.timeout(self._server.start_timeout_s):
                self.listing = await self._list()
            await asyncio.to_thread(keep, self._settings.home, self._name, self._server, self.listing)

    def begin(self, tool: str, arguments: Mapping[str, Any]) -> PendingCall:
        """Begin a call, which goes on by itself.

        Args:
            tool: The tool's name at the server.
            arguments: Its arguments.
        """
        call = PendingCall(self._send, tool, arguments, self._server.timeout_s, self._hand_over)
        self._calls = [*(other for other in self._calls if not other.done), call]
        return call

    async def _send(self, params: Mapping[str, Any], progress: Callable[..., Awaitable[None]]) -> dict[str, Any]:
        """Send a call; the answer as it came, whatever is in it.

        Raises:
            ToolError: If the server refused it, so that it was not made.
            ConnectionError: If nobody knows whether it was.
        """
        from mcp import MCPError
        from mcp.types import INVALID_PARAMS, METHOD_NOT_FOUND

        try:
            request = {"method": "tools/call", "params": dict(params)}
            answer = await unchecked(self._client.session, request, None, progress)
        except MCPError as error:
            if str(error) == GONE:
                self._lost = True
            if error.code in (INVALID_PARAMS, METHOD_NOT_FOUND) or str(error) == GONE:
                raise ToolError(f"The server refused the call: {error}") from error
            if "closed" in str(error).lower():
                self._lost = True
            why = None if self._process is None else self._process.why
            raise ConnectionError(why or str(error) or "it broke off") from error
        return cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}

    async def aclose(self) -> None:
        """End the session, and the program if it was started."""
        self._stop.set()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=CLOSING_S)
            if not self._task.done():
                self._task.cancel()
                with suppress(BaseException):
                    await self._task


def _folder_of(server: McpServerSettings) -> Path:
    return Path(server.cwd or Path.cwd()).expanduser().absolute()


def _words(error: BaseException) -> str:
    """An error in words; of a group of them the first."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return str(error) or type(error).__name__


@asynccontextmanager
async def connected(name: str, server: McpServerSettings, settings: Settings) -> AsyncGenerator[McpConnection]:
    """A connection for the block."""
    connection = await McpConnection.open(name, server, settings)
    try:
        yield connection
    finally:
        await connection.aclose()

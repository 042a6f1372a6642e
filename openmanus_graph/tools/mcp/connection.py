"""Connection: one session with an MCP server, owned by one task; other tasks make calls over it."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from openmanus_graph import shell_commands
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.sandbox.capture import Capture
from openmanus_graph.sandbox.launch import prepare_launch
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.tools.mcp.listing import Listing, read_listing
from openmanus_graph.tools.mcp.sdk_internals import unchecked
from openmanus_graph.tools.mcp.server import filled

CLOSING_S = 8.0
"""Seconds that a server may take to end."""
STDERR_SHOWN = 600
"""Characters of what a server said on its standard error that an error shows."""

Say = Callable[[str], None]


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
        self.listing = Listing([])
        """The tools that it had when it was opened."""

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
                connection.listing = await read_listing(connection._page)
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
        return not self._lost and self._task is not None and not self._task.done()

    async def _own(self) -> None:
        """Open the session, keep it until it is to end, and close it, all in this task: the SDK wants that."""
        logging.getLogger("mcp").setLevel(
            logging.CRITICAL
        )  # its tracebacks of servers' faults, which are told in words
        try:
            from mcp import Client

            async with AsyncExitStack() as stack:
                transport = await self._transport(stack)
                client = await stack.enter_async_context(Client(transport))
                if not self._ready.done():
                    self._ready.set_result(client)
                await self._stop.wait()
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

        # Redirects to another origin are refused by the SDK, so that headers go nowhere else.
        limits = httpx2.Timeout(server.timeout_s, connect=server.start_timeout_s)
        client = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=limits, trust_env=False))
        return streamable_http_client(server.url, http_client=client)

    async def _started(self, stack: AsyncExitStack) -> Any:
        """The transport to a program that ends with this one, whatever happens to this one."""
        from mcp.client.stdio import StdioServerParameters, stdio_client

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
        written = stack.enter_context(os.fdopen(os.dup(self._said.write_end), "w"))
        self._said.close_write_end()
        parameters = StdioServerParameters(
            command=launch.argv[0],
            args=list(launch.argv[1:]),
            env=environment,
            cwd=str(folder),
        )
        return stdio_client(parameters, errlog=written)

    async def _page(self, cursor: str | None) -> Any:
        from mcp.types import ListToolsRequest, PaginatedRequestParams

        parameters = None if cursor is None else PaginatedRequestParams(cursor=cursor)
        return await self._send(ListToolsRequest(params=parameters), self._server.start_timeout_s, None)

    async def call(self, tool: str, arguments: Mapping[str, Any], say: Say) -> dict[str, Any]:
        """Make a call; the answer as it came, whatever is in it.

        Args:
            tool: The tool's name at the server.
            arguments: Its arguments.
            say: Takes what the server says of its progress.

        Raises:
            Exception: Whatever the SDK raises: then nobody knows whether the call has happened.
        """
        from mcp.types import CallToolRequest, CallToolRequestParams

        async def progress(done: float, total: float | None, message: str | None) -> None:
            share = "" if total is None else f" of {total:g}"
            say(f"{tool}: {message or f'{done:g}{share}'}")

        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=dict(arguments)))
        try:
            return await self._send(request, self._server.timeout_s, progress)
        except Exception as error:
            if "closed" in str(error).lower():
                self._lost = True
            raise

    async def _send(self, request: Any, seconds: float, progress: Any) -> dict[str, Any]:
        answer = await unchecked(self._client.session, request, seconds, progress)
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

"""Servers: processes of a workspace that serve the browser of their thread, and nobody else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import SandboxUnavailableError, ToolError
from openmanus_graph.sandbox.capture import Capture
from openmanus_graph.sandbox.entrance import Entrance
from openmanus_graph.sandbox.launch import Level
from openmanus_graph.sandbox.process import SandboxProcess, open_process

MOST_SERVERS = 8
"""Servers that a thread has at the same time."""
LOCAL_HOSTS = ("localhost", "127.0.0.1")
"""What the browser calls them by."""
_LOOK_S = 0.05


class Server:
    """A running process that serves a port of its own network namespace, which has no way out."""

    def __init__(self, port: int, process: SandboxProcess, entrance: Entrance, output: Capture) -> None:
        self.port = port
        """Its port."""
        self._process = process
        self._entrance = entrance
        self._output = output

    @classmethod
    async def open(cls, command: str, port: int, workspace: Path, level: Level, settings: Settings) -> Server:
        """Start a command.

        Args:
            command: What bash runs in the workspace.
            port: The port that it is to listen on, also in its variable `PORT`.
            workspace: The thread's folder.
            level: How it is confined: `bubblewrap`.
            settings: The account to drop to as root.

        Raises:
            SandboxUnavailableError: If it is another level, or it does not work here.
        """
        if level != "bubblewrap":
            raise SandboxUnavailableError(
                f"A server is confined with bubblewrap only, and not at the sandbox level {level!r}.",
                hint=f"See what works on this machine with: {shell_commands.DOCTOR}",
            )
        entrance, output = Entrance(), Capture()
        try:
            process = await open_process(
                entrance.entered(["env", f"PORT={port}", "bash", "-c", command]),
                workspace=workspace,
                level=level,
                settings=settings,
                stdout=output.write_end,
                stderr=output.write_end,
                pass_fds=[entrance.inside],
            )
        except BaseException:
            entrance.close()
            output.close()
            raise
        entrance.close_inside()
        output.close_write_end()
        return cls(port, process, entrance, output)

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or `None` while it runs."""
        return self._process.returncode

    def take_output(self) -> str:
        """What it printed since this was called last, head and tail of a flood."""
        return self._output.take()

    async def connect(self) -> socket.socket | None:
        """A connection to it; `None` if it does not listen."""
        return await self._entrance.connect(self.port)

    async def listens(self, timeout_s: float) -> bool:
        """Whether it listens within a time, unless it ends before."""
        end = asyncio.get_running_loop().time() + timeout_s
        while self.exit_code is None:
            made = await self.connect()
            if made is not None:
                made.close()
                return True
            if asyncio.get_running_loop().time() >= end:
                return False
            await asyncio.sleep(_LOOK_S)
        return False

    async def aclose(self) -> None:
        """End it and everything it started."""
        await self._process.aclose()
        self._entrance.close()
        self._output.text()  # what lies in the pipe is kept
        self._output.close()


class ThreadServers:
    """The servers of a thread, by port."""

    lasts = True
    """Whether they stay while a person is asked something."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._servers: dict[int, Server] = {}
        self._turn = asyncio.Lock()

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts that a browser reaches once it has opened something of theirs: those of the sandbox."""
        return self._settings.sandbox_hosts

    def get(self, port: int) -> Server:
        """The server on a port, which may have ended.

        Raises:
            ToolError: If none was started.
        """
        if port not in self._servers:
            others = ", ".join(map(str, sorted(self._servers)))
            hint = f"There are servers on {others}." if others else "Start one with a command."
            raise ToolError(f"This thread has no server on port {port}.", hint=hint)
        return self._servers[port]

    async def start(self, command: str, port: int, workspace: Path, level: Level) -> Server:
        """Start a command, in place of what was started on that port before.

        Raises:
            SandboxUnavailableError: As for `Server.open`.
            ToolError: If there are too many.
        """
        async with self._turn:
            await self._stop(port)
            if len(self._servers) >= MOST_SERVERS:
                raise ToolError(f"This thread has {MOST_SERVERS} servers.", hint="Stop one of them first.")
            server = await Server.open(command, port, workspace, level, self._settings)
            self._servers[port] = server
            return server

    async def stop(self, port: int) -> Server:
        """End the server on a port; its output can still be taken.

        Raises:
            ToolError: If none was started.
        """
        async with self._turn:
            server = self.get(port)
            await self._stop(port)
            return server

    async def _stop(self, port: int) -> None:
        server = self._servers.pop(port, None)
        if server is not None:
            await server.aclose()

    async def connect(self, host: str, port: int) -> socket.socket | None:
        """A connection for the browser; `None` if it asks for something else.

        Raises:
            ToolError: If the server on that port does not listen.
        """
        if host not in LOCAL_HOSTS or port not in self._servers:
            return None
        made = await self._servers[port].connect()
        if made is None:
            raise ToolError(f"The server on port {port} does not listen.", hint="Look at its output with serve.")
        return made

    async def aclose(self) -> None:
        """End all of them."""
        async with self._turn:
            for port in list(self._servers):
                await self._stop(port)


class KeptServers:
    """Of a subtask that has started a server: while it waits for a person, the servers stay."""

    lasts = True
    """Whether it outlasts a question, and the thread's servers with it."""

    async def aclose(self) -> None:
        """Leave the servers to their thread."""


async def servers_of(context: ToolContext) -> ThreadServers:
    """The servers of a call's thread."""

    async def opener() -> ThreadServers:
        return ThreadServers(context.settings)

    return await context.thread_sessions.get("servers", opener)

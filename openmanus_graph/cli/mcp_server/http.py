"""HTTP: the MCP server on the loopback interface, for those who have its token, and for no page in a browser."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

from openmanus_graph.errors import SettingsError

TOKEN_VARIABLE = "OPENMANUS_GRAPH_MCP_TOKEN"  # noqa: S105 - a variable's name
TOKEN_FILE = "mcp-server-token"  # noqa: S105 - a file's name
SHORTEST_TOKEN = 16
"""Characters that a token of one's own has at least."""
HOST = "127.0.0.1"
CLOSING_S = 3
"""Seconds that connections may take to end."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def token_of(home: Path) -> tuple[str, str]:
    """The token that clients send, and where it is from in words; a file is made where there is none.

    Args:
        home: The data folder.

    Raises:
        SettingsError: If it is too short, or others can read its file.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if given is not None:
        if len(given) < SHORTEST_TOKEN:
            raise SettingsError(
                f"The variable {TOKEN_VARIABLE!r} has {len(given)} characters.",
                hint=f"Give {SHORTEST_TOKEN} or more, or none: then a file is made.",
            )
        return given, f"that of {TOKEN_VARIABLE}"
    file = home / TOKEN_FILE
    home.mkdir(parents=True, exist_ok=True)
    try:
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(made, "w") as out:
            out.write(f"{secrets.token_urlsafe(32)}\n")
    if file.stat().st_mode & 0o077:
        raise SettingsError(f"The file {str(file)!r} can be read by others.", hint="Remove it: a new one is made.")
    token = file.read_text(encoding="ascii").strip()
    if len(token) < SHORTEST_TOKEN:
        raise SettingsError(f"The file {str(file)!r} has no token.", hint="Remove it: a new one is made.")
    return token, f"in {file}"


def guarded(application: Application, token: str) -> Application:
    """An application that answers only who sends the token, as `Authorization: Bearer TOKEN`.

    Args:
        application: The application.
        token: The token.
    """
    expected = f"Bearer {token}".encode()

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(bytes(given), expected):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b"The token is missing or wrong.\n"})
                return
        elif scope["type"] != "lifespan":
            return
        await application(scope, receive, send)

    return guard


async def serve_http(server: Any, port: int, home: Path, stop: asyncio.Event) -> None:
    """Serve until it is to stop.

    Args:
        server: The SDK's server.
        port: The port; 0 takes a free one.
        home: The data folder, for the token's file.
        stop: Set when it is to end.

    Raises:
        SettingsError: If the port is taken, or there is no sound token.
    """
    token, where = token_of(home)
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise SettingsError(
            f"The port {port} cannot be listened at: {error.strerror}.", hint="Name another."
        ) from error
    port = int(listening.getsockname()[1])
    names = [f"{HOST}:{port}", f"localhost:{port}"]
    checks = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    application: Any = server.streamable_http_app(transport_security=checks, host=HOST)
    config = uvicorn.Config(
        guarded(application, token), log_level="warning", access_log=False, timeout_graceful_shutdown=CLOSING_S
    )
    running = _WithoutSignals(config)
    click.echo(f"Serving MCP at http://{HOST}:{port}/mcp; the token is {where}.", err=True)
    serving = asyncio.create_task(running.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.should_exit = True
    await serving


class _WithoutSignals(uvicorn.Server):
    """Leaves signals to the program."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take none."""
        yield

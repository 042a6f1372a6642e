"""Serve: the tool that keeps a server of the workspace running, for the browser of its thread alone."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import tool_context
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.tools.browser.confinement import why_unavailable
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.servers import KeptServers, Server, servers_of

DEFAULT_TIMEOUT_S = 30.0
LONGEST_TIMEOUT_S = 600.0
_TOLD = 2_000


def _unavailable(settings: Settings) -> str | None:
    """Without a confined browser nobody would reach it."""
    if settings.sandbox in ("landlock", "none"):
        return f"A server is confined with bubblewrap only, and the setting 'sandbox' is {settings.sandbox!r}."
    return why_unavailable(settings)


_SPEC = ToolSpec(
    effect="write",
    returns={"url": TEXT, "listens": TEXT, "running": TEXT, "exit_code": TEXT, "output": TEXT},
    free_text=("output",),
    on_request=True,
    planned=False,
    takes_code=True,
    runs_commands=True,
    code_argument="command",
    unavailable=_unavailable,
)


class ServeArguments(BaseModel):
    """What the tool takes."""

    model_config = ConfigDict(extra="forbid")

    command: str = Field(
        default="", description="The command that starts the server. Empty: fetch more output of what runs there."
    )
    port: int = Field(ge=1024, le=65535, description="The port it listens on, also in its variable PORT.")
    stop: bool = Field(default=False, description="End the server on that port; no command then.")
    timeout_s: float = Field(default=DEFAULT_TIMEOUT_S, gt=0, description="Seconds it may take to listen, 600 at most.")


@builtin_tool("serve", ServeArguments, _SPEC)
async def serve(
    port: int, command: str = "", stop: bool = False, timeout_s: float = DEFAULT_TIMEOUT_S
) -> dict[str, Any]:
    """Keep a server of the workspace running, such as a web application; browser_use opens it at the url returned.

    Nobody else reaches it, bash does not either; it has no network. Returns url, listens, running, exit_code and
    output since the last call. A new command on the same port takes the place of the old one. All end with the run.
    """
    context = tool_context()
    if stop and command.strip():
        raise ToolArgumentsError("The arguments 'stop' and 'command' exclude each other.", hint="Leave one out.")
    if "\0" in command:
        raise ToolArgumentsError("The argument 'command' contains a NUL character.", hint="Leave it out.")
    servers = await servers_of(context)
    if stop:
        context.report(f"ending the server on port {port}")
        # That it was killed is what was asked for, and no failure.
        return {**_told(await servers.stop(port), listens=False), "exit_code": None}
    if not command.strip():
        server = servers.get(port)
        return _told(server, listens=await server.listens(0))
    context.report(f"serving on port {port}: {command.strip().splitlines()[0]}"[:80])
    level = await asyncio.to_thread(choose_level, context.sandbox, context.settings)
    server = await servers.start(command, port, context.workspace, level)
    await context.sessions.get("servers", _kept)
    listens = await server.listens(min(timeout_s, LONGEST_TIMEOUT_S))
    if server.exit_code is not None:
        end = server.take_output()[-_TOLD:].strip() or "no output"
        raise ToolError(f"The server on port {port} ended with exit code {server.exit_code} before it listened: {end}")
    return _told(server, listens=listens)


async def _kept() -> KeptServers:
    return KeptServers()


def _told(server: Server, *, listens: bool) -> dict[str, Any]:
    return {
        "url": f"http://localhost:{server.port}/",
        "listens": listens,
        "running": server.exit_code is None,
        "exit_code": server.exit_code,
        "output": server.take_output(),
    }

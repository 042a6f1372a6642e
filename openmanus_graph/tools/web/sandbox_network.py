"""Sandbox network: the hosts that a confined shell or interpreter reaches, and the record of those it asked for."""

from __future__ import annotations

from typing import Any

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import AddressRefusedError, ToolError
from openmanus_graph.sandbox.bubblewrap import find_bubblewrap
from openmanus_graph.sandbox.launch import INSTALL_BUBBLEWRAP, Level
from openmanus_graph.tools.web.address import Resolver, resolve
from openmanus_graph.tools.web.proxy import Proxy

MOST_CONNECTIONS = 128
"""Connections that a session has at the same time; one more is refused."""
MOST_TOLD = 20
"""Hosts that are told of after one call; of more the number is told."""
_MOST_KEPT = 1000
"""Hosts that are kept until they are told of."""


class SandboxNetwork:
    """The way out of one tool's session, behind a proxy that reaches the hosts of `sandbox_hosts` only."""

    def __init__(self, settings: Settings, *, resolver: Resolver = resolve) -> None:
        """Reach nothing yet.

        Args:
            settings: The hosts.
            resolver: How host names are resolved.
        """
        self._settings = settings
        self._resolver = resolver
        self._proxy: Proxy | None = None
        self._notes: list[str] = []
        self._seen: dict[tuple[str, int], ToolError | None] = {}

    async def renewed(self, level: Level, context: ToolContext | None = None) -> Proxy | None:
        """The way out of a process that starts now; that of the one before is closed.

        Args:
            level: How the process is confined.
            context: The call of the subtask whose hosts are reached, to which more may be added while it runs; `None`
                means those of the settings.

        Returns:
            The proxy; `None` where the process gets no way out.
        """
        await self.aclose()
        self._notes = [] if (note := note_of(self._settings, level)) is None else [note]
        if not has_way_out(self._settings) or level != "bubblewrap":
            return None
        self._proxy = Proxy(
            self._settings.allow_hosts,
            only=self._settings.sandbox_hosts if context is None else (await hosts_of(context)).listed,
            seen=self._keep,
            most_connections=MOST_CONNECTIONS,
            resolver=self._resolver,
        )
        return self._proxy

    def _keep(self, host: str, port: int, problem: ToolError | None) -> None:
        if (host, port) in self._seen or len(self._seen) < _MOST_KEPT:
            self._seen[host, port] = problem

    def told(self) -> list[str]:
        """A line for each host that was asked for since this was called last: that it was reached, or why not."""
        lines = [
            *self._notes,
            *(f"{_place(*key)} was reached." for key, problem in self._seen.items() if problem is None),
            *(str(problem) for problem in self._seen.values() if problem is not None),
        ]
        if self._settings.sandbox_new_hosts == "ask" and any(map(_is_refusal, self._seen.values())):
            lines.insert(0, "For a host that is refused, ask a person with reach_hosts.")
        self._notes = []
        self._seen.clear()
        more = len(lines) - MOST_TOLD
        return lines if more <= 0 else [*lines[:MOST_TOLD], f"So it went with {more} other hosts."]

    async def aclose(self) -> None:
        """Close the proxy, and every connection through it."""
        proxy, self._proxy = self._proxy, None
        if proxy is not None:
            await proxy.aclose()


def with_hosts(output: dict[str, Any], lines: list[str], context: ToolContext) -> dict[str, Any]:
    """A call's output with `network`, what is to be told of hosts; as it is where there is nothing to tell.

    Args:
        output: The output.
        lines: What `told` gave.
        context: The call, whose views are told the same.
    """
    for line in lines:
        context.report(line)
    return {**output, "network": lines} if lines else output


class SubtaskHosts:
    """The hosts that commands and code of a subtask reach: those of the settings, and those that a person allowed."""

    lasts = True
    """Whether they stay allowed while a person is asked something."""

    def __init__(self, settings: Settings) -> None:
        self.listed: list[str] = list(settings.sandbox_hosts)
        """The hosts, as `HostPattern` has them."""

    async def aclose(self) -> None:
        """End with the subtask; there is nothing to close."""


async def hosts_of(context: ToolContext) -> SubtaskHosts:
    """The hosts of a call's subtask."""

    async def opener() -> SubtaskHosts:
        return SubtaskHosts(context.settings)

    return await context.sessions.get("hosts", opener)


def has_way_out(settings: Settings) -> bool:
    """Whether commands and code reach a host, or may come to do so."""
    return bool(settings.sandbox_hosts) or settings.sandbox_new_hosts == "ask"


def note_of(settings: Settings, level: Level) -> str | None:
    """Why `sandbox_hosts` does not hold at a level, with the cure; `None` where it holds, or names no host."""
    if not has_way_out(settings) or level == "bubblewrap":
        return None
    if level == "none":
        return "The setting 'sandbox_hosts' confines nothing at the sandbox level 'none': every host is reached."
    cure = f"{INSTALL_BUBBLEWRAP}." if find_bubblewrap() is None else "Choose it with: --sandbox bubblewrap"
    return (
        f"There is no network, whatever the setting 'sandbox_hosts' says: the sandbox level {level!r} cannot confine "
        f"one, and 'bubblewrap' can. {cure}"
    )


def network_sentence(settings: Settings, sandbox: SandboxChoice | str) -> str:
    """What commands and code reach, for models, as far as a look can tell, without trying whether bubblewrap works.

    Args:
        settings: The hosts.
        sandbox: The confinement chosen for the thread; one that is not confined reaches whatever it likes.
    """
    if sandbox == "none":
        return ""
    if sandbox == "landlock" or find_bubblewrap() is None or not has_way_out(settings):
        return "Commands and code have no network."
    by = "by a proxy that http_proxy and https_proxy name"
    hosts = ", ".join(settings.sandbox_hosts)
    asked = " With reach_hosts a person is asked for others." if settings.sandbox_new_hosts == "ask" else ""
    return f"Commands and code reach {f'{hosts} alone, {by}' if hosts else f'no host, else {by}'}.{asked}"


def _is_refusal(problem: ToolError | None) -> bool:
    return isinstance(problem, AddressRefusedError)


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

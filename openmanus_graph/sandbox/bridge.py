"""Bridge: a confined process' one way to the network, a port in its own namespace that is served from outside.

The network namespace of a confined process has no route. A small program starts in it before the process, listens on
loopback there and hands the listening socket out; whatever connects to it is then served by us, outside. So no port
and no socket of this machine is open, and nobody else can connect.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import Protocol

PORT = 3128
"""Port of the proxy, in a network namespace in which nothing else listens yet."""
PROGRAM = f"""\
import os, signal, socket, sys
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(ignored, signal.SIG_DFL)
control = socket.socket(fileno=int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", {PORT}), backlog=512)
socket.send_fds(control, [b"1"], [listener.fileno()])
served = control.recv(1)
control.close()
listener.close()
if not served:
    sys.exit("the proxy does not answer")
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""What runs inside first, and becomes the process. Python ignores two signals, which would survive that."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
"""What a process reaches without the proxy: servers that it has started itself."""


class WayOut(Protocol):
    """Serves what a confined process connects to, such as a proxy."""

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts that are reached by it, as far as they are listed."""
        ...

    async def serve(self, listener: socket.socket) -> None:
        """Serve what connects to `listener`, and close it at the end."""
        ...


def bridged(argv: Sequence[str], control: int) -> list[str]:
    """The command line of the program that hands out its listener and becomes `argv`.

    Args:
        argv: What to run then.
        control: The descriptor inside of the socket that the listener goes out by; see `serve_bridge`.
    """
    return [sys.executable, "-I", "-S", "-c", PROGRAM, str(control), *argv]


def proxy_environment(hosts: Sequence[str] = ()) -> dict[str, str]:
    """The variables by which programs find the proxy, in each spelling that one of them reads.

    Args:
        hosts: The hosts that the proxy is to reach. A name of the machine itself among them is then reached by it,
            and not within the namespace.
    """
    outside = {host.partition("]")[0].strip("[") if "]" in host else host.split(":")[0] or host for host in hosts}
    local = ",".join(name for name in _LOCAL if name not in outside)
    address = f"http://127.0.0.1:{PORT}"
    names = ("http_proxy", "https_proxy", "all_proxy")
    variables = {spelled: address for name in names for spelled in (name, name.upper())}
    # Node's own `fetch` looks at the variables only if it is told to.
    return {**variables, "no_proxy": local, "NO_PROXY": local, "NODE_USE_ENV_PROXY": "1"}


async def serve_bridge(control: socket.socket, way_out: WayOut) -> bool:
    """Serve the listener that comes out of a namespace, and tell the program inside that it may go on.

    Args:
        control: Our end of the socket that the program inside holds.
        way_out: What serves it.

    Returns:
        Whether it is served; `False` if the program ended before it had a listener.
    """
    loop = asyncio.get_running_loop()
    control.setblocking(False)
    ready = loop.create_future()
    loop.add_reader(control.fileno(), lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(control.fileno())
    _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not descriptors:
        return False
    await way_out.serve(socket.socket(fileno=descriptors[0]))
    await loop.sock_sendall(control, b"1")
    return True

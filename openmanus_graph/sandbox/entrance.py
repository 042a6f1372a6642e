"""Entrance: the way to a server in a confined process' network namespace, by connections that are handed out of it.

A small program inside starts the server and connects to it there whenever it is asked to; what goes out is the
connected socket. So nothing copies bytes in between, and no port and no socket of this machine is open.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

from openmanus_graph.errors import ToolError

CONNECT_S = 10.0
"""Seconds that a connection may take to come out."""
PROGRAM = """\
import os, signal, socket, struct, sys, threading
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(ignored, signal.SIG_DFL)
control = socket.socket(fileno=int(sys.argv[1]))
server = os.fork()
if server == 0:
    control.close()
    os.execvp(sys.argv[2], sys.argv[2:])

def connected(port):
    try:
        return socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return socket.create_connection(("::1", port), 5)

def hand_out():
    while data := control.recv(8):
        number, port = struct.unpack("=II", data)
        try:
            made = connected(port)
        except OSError:
            control.send(struct.pack("=I", number))
            continue
        socket.send_fds(control, [struct.pack("=I", number)], [made.fileno()])
        made.close()

threading.Thread(target=hand_out, daemon=True).start()
code = os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])
os._exit(code if code >= 0 else 128 - code)
"""
"""What runs inside, and ends with the server's exit code."""


class Entrance:
    """Our end of the socket by which connections come out."""

    def __init__(self) -> None:
        """Open the socket; hand `inside` to the process and then call `close_inside`."""
        self._control, self._inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._control.fileno(), self._on_readable)
        self._waiting: dict[int, asyncio.Future[socket.socket | None]] = {}
        self._asked = 0
        self._ended = False

    @property
    def inside(self) -> int:
        """The descriptor that the process inherits; it has the same number inside."""
        return self._inside.fileno()

    def close_inside(self) -> None:
        """Leave the inner end to the process that inherited it."""
        self._inside.close()

    def entered(self, argv: Sequence[str]) -> list[str]:
        """The command line of the program that starts `argv` and hands out connections to it."""
        return [sys.executable, "-I", "-S", "-c", PROGRAM, str(self.inside), *argv]

    async def connect(self, port: int) -> socket.socket | None:
        """A connection to a port inside; `None` if nothing listens there.

        Raises:
            ToolError: If no answer comes.
        """
        if self._ended:
            return None
        self._asked += 1
        number = self._asked
        answer = self._waiting[number] = self._loop.create_future()
        try:
            with suppress(OSError):  # it ended meanwhile, which the reader is told
                self._control.send(struct.pack("=II", number, port))
            async with asyncio.timeout(CONNECT_S):
                return await answer
        except TimeoutError as error:
            raise ToolError(f"The server on port {port} takes no connection.") from error
        finally:
            del self._waiting[number]

    def _on_readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 4, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if len(data) < 4:
            self._end()
        answer = self._waiting.get(struct.unpack("=I", data)[0]) if len(data) == 4 else None
        made = _socket_of(descriptors[0]) if descriptors else None
        if answer is not None and not answer.done():
            answer.set_result(made)
        elif made is not None:  # nobody waits for it any more
            made.close()

    def _end(self) -> None:
        self._ended = True
        self._loop.remove_reader(self._control.fileno())
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)

    def close(self) -> None:
        """Close both ends."""
        self._inside.close()
        if not self._ended:
            self._end()
        self._control.close()


def _socket_of(descriptor: int) -> socket.socket | None:
    """A descriptor as the socket that it should be; what runs inside could have handed out anything."""
    try:
        made = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    if made.family not in (socket.AF_INET, socket.AF_INET6) or made.type != socket.SOCK_STREAM:
        made.close()
        return None
    return made

"""Wire: the few messages of Postgres' protocol that a supervisor needs.

A login over the socket is the only proof that a server lives and lets this user in, and it takes a
millisecond; importing a driver for it would take a quarter of a second.
Source: https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openmanus_graph.errors import DatabaseFullError, EmbeddedServerError

PORT = 5432
"""Number in the socket's file name; nothing listens on a TCP port."""

PROTOCOL_3 = 196608

State = Literal["ready", "no database", "busy", "silent", "denied", "hung"]
"""What a login met: `busy` is a server that starts, stops or recovers; `silent` is nobody there."""

STATES: dict[str, State] = {
    "3D000": "no database",
    "57P03": "busy",
    "57P02": "busy",
    "57P01": "busy",
    "53300": "ready",  # all connections are in use: alive, and not ours to judge
}


@dataclass(frozen=True)
class StartupAnswer:
    """The outcome of a login."""

    state: State
    """In one word."""
    message: str = ""
    """The server's or the system's own words, when it is not `ready`."""
    version: str | None = None
    """The server's version, when it is `ready`."""
    pid: int | None = None
    """The postmaster's process id as the kernel knows it; `None` if not connected or not told."""
    uid: int | None = None
    """The account the postmaster listens under; `None` if not connected or not told."""


@dataclass(frozen=True)
class _Message:
    kind: bytes
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The fields of an error: `C` is the code, `M` the text."""
        parts = [part for part in self.body.split(b"\0") if part]
        return {chr(part[0]): part[1:].decode("utf-8", "replace") for part in parts}


def socket_file(folder: Path) -> Path:
    """The socket of the server below its socket folder."""
    return folder / f".s.PGSQL.{PORT}"


def lock_file(folder: Path) -> Path:
    """The lock file that the server puts beside its socket, with its process id."""
    return folder / f"{socket_file(folder).name}.lock"


def ask(folder: Path, user: str, database: str, timeout_s: float = 5.0) -> StartupAnswer:
    """Log in and out again, and return the outcome.

    Args:
        folder: The socket folder.
        user: The role.
        database: The database.
        timeout_s: Seconds to wait for each reply.
    """
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(socket_file(folder)))
        except PermissionError as error:
            return StartupAnswer("denied", str(error.strerror))
        except BlockingIOError as error:  # the listen queue is full
            return StartupAnswer("busy", str(error.strerror))
        except OSError as error:
            return StartupAnswer("silent", str(error.strerror or error))
        pid, uid = _peer(link)
        try:
            state, message, version = _login(link, user, database)
        except TimeoutError:
            return StartupAnswer("hung", f"no reply within {timeout_s:.0f} s", pid=pid, uid=uid)
        except OSError as error:  # the server ended while it was asked
            return StartupAnswer("busy", str(error), pid=pid, uid=uid)
        return StartupAnswer(state, message, version, pid, uid)


def execute(folder: Path, user: str, database: str, statement: str, timeout_s: float = 60.0) -> None:
    """Run one statement that returns nothing of interest.

    Raises:
        DatabaseFullError: If the server's disk is full.
        EmbeddedServerError: If the server refuses the login or the statement, or is gone.
    """
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(socket_file(folder)))
            state, message, _ = _login(link, user, database)
            if state != "ready":
                raise EmbeddedServerError(f"The embedded server refused a login: {message}.")
            body = statement.encode() + b"\0"
            link.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
            for reply in _replies(link):
                if reply.kind == b"E":
                    _raise(statement, reply.fields)
        except OSError as error:
            raise EmbeddedServerError(f"The embedded server went away while it ran {statement!r}: {error}.") from error


def _raise(statement: str, fields: dict[str, str]) -> None:
    text = fields.get("M", "no reason given")
    message = f"The embedded server refused {statement!r}: {text}."
    if fields.get("C") == "53100":
        raise DatabaseFullError(message, hint="Make room on its disk, then run the same command again.")
    raise EmbeddedServerError(message)


def _login(link: socket.socket, user: str, database: str) -> tuple[State, str, str | None]:
    pairs = f"user\0{user}\0database\0{database}\0application_name\0openmanus-graph\0\0".encode()
    link.sendall(struct.pack("!ii", len(pairs) + 8, PROTOCOL_3) + pairs)
    version: str | None = None
    for reply in _replies(link):
        if reply.kind == b"E":
            code = reply.fields.get("C", "")
            return STATES.get(code, "denied"), reply.fields.get("M", code), None
        if reply.kind == b"R" and reply.body[:4] != b"\0\0\0\0":
            return "denied", "the server asks for a password", None
        if reply.kind == b"S" and reply.body.startswith(b"server_version\0"):
            version = reply.body.split(b"\0")[1].decode()
    return "ready", "", version


def _replies(link: socket.socket) -> Iterator[_Message]:
    """Messages up to and without "ready for query"."""
    while True:
        head = _exactly(link, 5)
        (length,) = struct.unpack("!i", head[1:])
        reply = _Message(head[:1], _exactly(link, length - 4))
        if reply.kind == b"Z":
            return
        yield reply


def _exactly(link: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = link.recv(count - len(data))
        if not piece:
            raise ConnectionResetError("the server closed the connection")
        data += piece
    return bytes(data)


def _peer(link: socket.socket) -> tuple[int | None, int | None]:
    """The process that listens, as the kernel names it; a pid of 0 is a process of another container."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None, None
    pid, uid, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, option, 12))
    return pid or None, uid

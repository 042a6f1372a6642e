"""Proxy: the only way to the network for what is confined; it connects to the very addresses that it has checked.

It takes plain HTTP and `CONNECT`, through which TLS and WebSockets go. It listens on a socket that it is given, such as
one inside a network namespace, so no port of this machine is open. Each connection carries one request: another one on
it could be meant for another host, which would then be reached unchecked.
"""

from __future__ import annotations

import asyncio
import html
import logging
import re
import socket
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Protocol

import httpx2

from openmanus_graph.errors import AddressRefusedError, ToolError
from openmanus_graph.tools.web.address import Resolver, is_listed, permitted_addresses, resolve
from openmanus_graph.tools.web.download import CONNECT_SECONDS
from openmanus_graph.tools.web.message_head import LONGEST_HEAD, HeadError, MessageHead, read_head, relay_body

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 512
"""Connections served at the same time; one more is refused."""
_MOST_REFUSED = 64
"""Connections that are refused at the same time; one more is closed at once, so that nobody uses up our descriptors."""
LONGEST_HOST = 253
"""Characters of a host's name."""
MOST_PROBLEMS = 256
"""Hosts whose last problem is remembered."""
HEAD_SECONDS = 60.0
"""Seconds in which a request must have been sent up to its body."""
HALF_CLOSED_SECONDS = 60.0
"""Seconds that a tunnel of which one side has ended stays without a byte from the other."""
SAID_BY_PROXY = "x-openmanus-graph-proxy"
"""The header field of answers that the proxy itself gives; those of servers lose it."""
_PIECE = 64 * 1024
_ADDRESS = re.compile(r"http://([^/?#@\\\s]+)([/?][^#\s]*)?", re.IGNORECASE)
_BODY = "<title>Not reached</title><p>The proxy did not make this request: {}.\n"


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Inside(Protocol):
    """What a browser reaches of its own thread, past the guard of addresses."""

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts that are reached, and no others, once something of the thread was."""
        ...

    async def connect(self, host: str, port: int) -> socket.socket | None:
        """A connection; `None` if the host and port are nothing of the thread.

        Raises:
            ToolError: If they are, and are not to be reached.
        """
        ...


Seen = Callable[[str, int, ToolError | None], None]
"""Is told of each request's host and port, and why it was not reached; `None` if it was."""


class _Refusal(Exception):  # noqa: N818 - an answer, raised to where it is sent
    """An answer of the proxy's own."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Proxy:
    """A forward proxy behind the guard of addresses; make it, `serve` a socket, `aclose` it."""

    def __init__(
        self,
        allow_hosts: tuple[str, ...],
        *,
        not_asked: Collection[str] = (),
        only: Sequence[str] | None = None,
        seen: Seen | None = None,
        inside: Inside | None = None,
        most_connections: int = MOST_CONNECTIONS,
        resolver: Resolver = resolve,
    ) -> None:
        """Listen to nothing yet.

        Args:
            allow_hosts: Hosts that may be reached although their address is not public.
            not_asked: Hosts that are not reached whatever their address is, in small letters.
            only: The hosts that are reached at all, as the setting `sandbox_hosts` names them; `None` means any.
            seen: Is told of each host that is asked for.
            inside: What is reached of the thread itself. From then on `inside.hosts` are reached and no others, since a
                page of the thread's own could send on what the thread, which has no network, is not to send.
            most_connections: Connections served at the same time.
            resolver: How host names are resolved.
        """
        self._not_asked = not_asked
        self._only = only
        self._seen = seen
        self._inside = inside
        self._going_out: set[asyncio.Task[None]] = set()
        self._most_connections = most_connections
        self._allow_hosts = allow_hosts
        self._resolver = resolver
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._problems: dict[tuple[str, int], ToolError] = {}
        self.requests = 0
        """Requests that were asked for, refused ones included."""

    async def serve(self, listener: socket.socket) -> None:
        """Serve what connects to `listener`, which the proxy closes at its end."""
        self._servers.append(await asyncio.start_server(self._accepted, sock=listener, limit=LONGEST_HEAD))

    async def aclose(self) -> None:
        """Close listeners and connections."""
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()

    @property
    def hosts(self) -> Sequence[str]:
        """The hosts that are reached by it, as far as they are listed."""
        return self._only or ()

    @property
    def within(self) -> bool:
        """Whether no other hosts are reached than listed ones, such as those of `inside`."""
        return self._only is not None

    def keep_within(self) -> None:
        """Reach the hosts of `inside` alone from now on, and end what goes to others."""
        if self._only is None:
            self._only = () if self._inside is None else self._inside.hosts
            for task in list(self._going_out):
                task.cancel()

    def problem_of(self, host: str, port: int) -> ToolError | None:
        """Why the host was not reached when it was asked for last; `None` if it was, or never asked for."""
        return self._problems.get((host.casefold().rstrip("."), port))

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._most_connections + _MOST_REFUSED:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server calls it in one
        self._tasks.add(task)
        try:
            await self._one_request(reader, writer)
        except _Refusal as refusal:
            await _say(writer, refusal)
        except (OSError, EOFError):  # one of the two sides went away
            logger.debug("A connection through the proxy broke off.", exc_info=True)
        except asyncio.CancelledError:  # the proxy is closed
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            self._going_out.discard(task)
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await read_head(reader)
        except TimeoutError:
            return
        except HeadError as error:
            raise _Refusal(400, str(error)) from error
        if head is None:
            return
        self.requests += 1
        if len(self._tasks) > self._most_connections:
            raise _Refusal(503, "too many connections")
        method, target, _ = _request_line(head)
        if method == "CONNECT":
            host, port = _authority(target)
            upstream, sink = await self._connected(host, port)
            try:
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await _both_ways(reader, writer, upstream, sink)
            finally:
                sink.close()
            return
        authority, path = _absolute(target)
        upstream, sink = await self._connected(*_host_and_port(authority))
        try:
            request = head.without_hop_fields({"host"})
            request.first = f"{method} {path} HTTP/1.1"
            request.fields[:0] = [("Host", authority.netloc.decode("ascii"))]
            request.fields.append(("Connection", "close"))
            sink.write(request.encoded())
            await _forwarded(head, (reader, writer), (upstream, sink))
        finally:
            sink.close()

    async def _connected(self, host: str, port: int) -> Streams:
        """A connection to an address of the host that was checked; nothing resolves the name again."""
        key = (host.casefold().rstrip("."), port)
        if len(host) > LONGEST_HOST:
            raise _Refusal(400, "no host and port")
        try:
            connection = await self._within(*key) or await self._outward(host, port)
        except ToolError as error:
            self._problems.pop(key, None)
            self._problems[key] = error
            while len(self._problems) > MOST_PROBLEMS:
                del self._problems[next(iter(self._problems))]
            if self._seen is not None:
                self._seen(*key, error)
            # What is told may be read by a page: which addresses a name has inside is not said.
            reason = "refused" if isinstance(error, AddressRefusedError) else "not reached"
            status = 403 if reason == "refused" else 502
            raise _Refusal(status, reason if self._lists(host, port) else error.message.rstrip(".")) from error
        self._problems.pop(key, None)
        if self._seen is not None:
            self._seen(*key, None)
        return connection

    async def _within(self, host: str, port: int) -> Streams | None:
        """A connection to what the thread itself serves; `None` if it is not that."""
        made = None if self._inside is None else await self._inside.connect(host, port)
        if self._inside is None or made is None:
            return None
        self.keep_within()
        return await asyncio.open_connection(sock=made, limit=LONGEST_HEAD)

    async def _outward(self, host: str, port: int) -> Streams:
        if host.casefold().rstrip(".") in self._not_asked:
            raise AddressRefusedError(f"The host {host!r} is asked by the browser itself, which it is not to do.")
        if not self._lists(host, port):
            since = "" if self._inside is None else "Since it has opened what its thread serves, it reaches no other. "
            raise AddressRefusedError(
                f"The host {host!r}, port {port}, is not in the setting 'sandbox_hosts'.",
                hint=f"{since}If that is meant, add it: OPENMANUS_GRAPH_SANDBOX_HOSTS='[\"{host}\"]'.",
            )
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server calls it in one
        self._going_out.add(task)
        addresses = await permitted_addresses(host, port, self._allow_hosts, self._resolver)
        return await _first(addresses, host, port)

    def _lists(self, host: str, port: int) -> bool:
        return self._only is None or is_listed(host, port, self._only)


async def _first(addresses: Sequence[str], host: str, port: int) -> Streams:
    failure: Exception | None = None
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(address.partition("%")[0], port, limit=LONGEST_HEAD)
        except (OSError, TimeoutError) as error:
            failure = error
    raise ToolError(f"The host {host!r} cannot be reached: {failure or 'no answer'}.") from failure


def _request_line(head: MessageHead) -> tuple[str, str, str]:
    parts = head.first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[0].isascii() or not parts[0].isupper():
        raise _Refusal(400, "no request of HTTP/1.1")
    return parts[0], parts[1], parts[2]


def _authority(target: str) -> tuple[str, int]:
    url = _parsed(f"https://{target}")
    port = target.rpartition(":")[2]
    if url.userinfo or url.path != "/" or url.query or not url.host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise _Refusal(400, "no host and port")
    return url.raw_host.decode("ascii").strip("[]"), int(port)


def _absolute(target: str) -> tuple[httpx2.URL, str]:
    """Host and port of an address, and the rest of it as it was sent."""
    found = _ADDRESS.fullmatch(target)
    if found is None:
        raise _Refusal(400, "no HTTP address")
    path = found[2] or "/"
    return _parsed(f"http://{found[1]}"), path if path.startswith("/") else f"/{path}"


def _parsed(text: str) -> httpx2.URL:
    try:
        return httpx2.URL(text)
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise _Refusal(400, "no address") from error


def _host_and_port(url: httpx2.URL) -> tuple[str, int]:
    return url.raw_host.decode("ascii").strip("[]"), url.port or 80


async def _forwarded(head: MessageHead, client: Streams, server: Streams) -> None:
    """Send a request's body on, and the answer back, until the answer is complete or a side is gone."""
    sending = asyncio.create_task(_send_body(head, client[0], server[1]))
    answering = asyncio.create_task(_answer(server[0], client[1]))
    try:
        # A server may answer before it has read the body.
        await asyncio.wait([sending, answering], return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
            watching = asyncio.create_task(_gone(client[0]))
            try:
                await asyncio.wait([watching, answering], return_when=asyncio.FIRST_COMPLETED)
            finally:
                watching.cancel()
        if answering.done():
            answering.result()
    finally:
        for task in (sending, answering):
            task.cancel()
        await asyncio.gather(sending, answering, return_exceptions=True)


async def _send_body(head: MessageHead, client: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        await relay_body(head, client, sink)
    except HeadError as error:
        raise _Refusal(400, str(error)) from error
    except OSError:  # a server that takes no more may have answered all the same
        logger.debug("A request was not taken in full.", exc_info=True)


async def _gone(client: asyncio.StreamReader) -> None:
    """Wait until the client has closed; what it sends after its request is not read as another one."""
    while await client.read(_PIECE):
        continue


async def _answer(upstream: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    while True:
        try:
            head = await read_head(upstream, strict=False)
        except HeadError as error:
            raise _Refusal(502, str(error)) from error
        parts = ("" if head is None else head.first).split(" ", 2)
        if head is None or len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise _Refusal(502, "no answer of HTTP/1.1")
        status = int(parts[1])
        if status in (101, 407):  # no other protocol, and nobody but the proxy asks for the proxy's password
            raise _Refusal(502, f"an answer with {status}")
        answer = head.without_hop_fields({SAID_BY_PROXY})
        if status >= 200:
            answer.fields.append(("Connection", "close"))
        client.write(answer.encoded())
        if status >= 200:
            break
    await _pump(upstream, client)


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
) -> None:
    """Carry bytes until both sides have ended, or one has, and the other is silent for `HALF_CLOSED_SECONDS`."""
    loop = asyncio.get_running_loop()
    heard = loop.time()

    def moved() -> None:
        nonlocal heard
        heard = loop.time()

    tasks = [asyncio.create_task(_pump(*ends, moved)) for ends in ((reader, sink), (upstream, writer))]
    try:
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        heard = loop.time()
        while left and (seconds := heard + HALF_CLOSED_SECONDS - loop.time()) > 0:
            for task in done:
                task.result()
            done, left = await asyncio.wait(left, timeout=seconds)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[], None] = lambda: None
) -> None:
    while piece := await reader.read(_PIECE):
        moved()
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _say(writer: asyncio.StreamWriter, refusal: _Refusal) -> None:
    # Of an answer to CONNECT programs tell the first line only, so the reason stands there too.
    body = _BODY.format(html.escape(refusal.reason)).encode("ascii", "replace")
    head = (
        f"HTTP/1.1 {refusal.status} {refusal.reason}\r\n"
        f"{SAID_BY_PROXY}: {refusal.reason}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    with suppress(OSError):
        writer.write(head.encode("ascii", "replace") + body)
        await writer.drain()

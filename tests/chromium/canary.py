"""Canary: listens on loopback where nothing may arrive, on a port of its own for each way of sending something."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Content-Length: 2\r\nConnection: close\r\n\r\nhi"
)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, heard: Counter[str], way: str) -> None:
        self._heard = heard
        self._way = way

    def datagram_received(self, data: bytes, addr: object) -> None:
        del data, addr
        self._heard[self._way] += 1


class Canary:
    """Counts connections and datagrams, by the way that its port belongs to."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()
        self.ports: dict[str, int] = {}
        self._servers: list[asyncio.Server] = []
        self._transports: list[asyncio.DatagramTransport] = []

    async def listen(self, ways: Iterable[str]) -> None:
        for way in ways:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with suppress(OSError):  # a machine without IPv6, or a port that is taken there
                    await self._listen(way, family, host)

    async def _listen(self, way: str, family: socket.AddressFamily, host: str) -> None:
        async def arrived(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.heard[way] += 1
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.5):
                    await reader.read(4096)
                writer.write(ANSWER)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(arrived, host, self.ports.get(way, 0), family=family)
        self._servers.append(server)
        port = self.ports[way] = server.sockets[0].getsockname()[1]
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(self.heard, way), (host, port)
        )
        self._transports.append(transport)

    def forget(self) -> None:
        self.heard.clear()

    def close(self) -> None:
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()

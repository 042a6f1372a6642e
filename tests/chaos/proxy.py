"""A connection to Postgres over TCP on loopback that can be cut, or go silent, for a while."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from psycopg import conninfo

Fault = Literal["cut", "silence"]
"""`cut`: connections are reset and new ones refused; `silence`: nothing comes through, and nothing is said of it."""


class Proxy:
    """Stands between a runner and the server's socket, and fails once so many messages have come from the runner."""

    def __init__(self, database: str, fault: Fault, after: int, seconds: float) -> None:
        facts = conninfo.conninfo_to_dict(database)
        self._socket = str(Path(str(facts["host"])) / f".s.PGSQL.{facts.get('port', 5432)}")
        self._facts: dict[str, Any] = {key: facts[key] for key in ("user", "dbname")}
        self.fault, self.seconds = fault, seconds
        self.left = after
        """How many messages are still to come before it fails."""
        self._fails_until: float | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._started = threading.Event()
        self._port = 0

    @property
    def url(self) -> str:
        """The database behind the proxy."""
        return conninfo.make_conninfo(host="127.0.0.1", port=self._port, **self._facts)

    @property
    def failed(self) -> bool:
        """Whether the fault has come."""
        return self._fails_until is not None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ending.wait()
        server.close()
        self._reset()
        await asyncio.sleep(0.05)

    def _failing(self) -> float:
        """Seconds that the fault lasts."""
        return 0.0 if self._fails_until is None else max(0.0, self._fails_until - time.monotonic())

    def _reset(self) -> None:
        for stream in self._streams:
            stream.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault == "cut" and self._failing():
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_unix_connection(self._socket)
        streams = {writer, there_writer}
        self._streams |= streams
        with suppress(OSError):
            await asyncio.gather(
                self._pass(reader, there_writer, from_runner=True), self._pass(there_reader, writer, from_runner=False)
            )
        for stream in streams:
            stream.transport.abort()
        self._streams -= streams

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_runner: bool) -> None:
        while data := await reader.read(1 << 16):
            if from_runner:
                self.left -= 1
                if self.left == 0:
                    self._fails_until = time.monotonic() + self.seconds
                    if self.fault == "cut":
                        self._reset()
            await asyncio.sleep(self._failing())
            writer.write(data)
            await writer.drain()
        writer.transport.abort()

"""Channel: control lines between the engine and a worker in the sandbox, apart from what programs print."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress

LONGEST_LINE = 8 * 1024 * 1024
"""Bytes a line may have before the worker counts as broken."""

_HIGH = 200
"""Descriptors from here on are left alone by shell scripts, which number theirs by hand."""


class Channel:
    """A pipe out of the sandbox, read line by line."""

    def __init__(self, reader: asyncio.StreamReader, transport: asyncio.ReadTransport, write_end: int) -> None:
        self._reader = reader
        self._transport = transport
        self.write_end = write_end
        """The descriptor the worker inherits; it has the same number inside."""

    @classmethod
    async def open(cls) -> Channel:
        """A new channel."""
        read_end, low = os.pipe()
        write_end = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _HIGH)
        os.close(low)
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", 0)
        )
        return cls(reader, transport, write_end)

    def close_write_end(self) -> None:
        """Leave the writing end to the worker that inherited it."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def read_line(self) -> str | None:
        """The next line without its end, or `None` if the worker is gone or its line is over-long."""
        line = b""
        with suppress(ValueError):
            line = await self._reader.readline()
        return line.decode(errors="replace").rstrip("\n") if line.endswith(b"\n") else None

    def close(self) -> None:
        """Close both ends."""
        self.close_write_end()
        self._transport.close()

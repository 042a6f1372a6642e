"""Standard streams: the protocol over standard input and output, on which nothing else is written meanwhile."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter

LONGEST_LINE = 16 * 2**20
"""Bytes of one message of the client."""


@asynccontextmanager
async def standard_streams() -> AsyncGenerator[tuple[Any, Any]]:
    """What the client says, and what takes messages for it, as the SDK wants them.

    What prints to standard output within the block prints to standard error. Reading can be cancelled at any moment,
    which a thread that reads a file cannot.
    """
    loop = asyncio.get_running_loop()
    into, out = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    lines = asyncio.StreamReader(limit=LONGEST_LINE)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), into)
    writing, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, out)
    writer = asyncio.StreamWriter(writing, protocol, None, loop)
    heard, hearing = anyio.create_memory_object_stream[Any](0)
    saying, said = anyio.create_memory_object_stream[Any](0)
    tasks = [asyncio.create_task(_read(lines, heard)), asyncio.create_task(_write(said, writer))]
    try:
        yield hearing, saying
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (heard, hearing, saying, said):
            stream.close()
        reading.close()
        writing.close()


async def _read(lines: asyncio.StreamReader, heard: Any) -> None:
    with suppress(Exception):  # the client is gone, or writes what is no line: either way it is over
        while line := await lines.readline():
            try:
                message: Any = jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError as error:
                await heard.send(error)
            else:
                await heard.send(SessionMessage(message))
    heard.close()


async def _write(said: Any, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        async for one in said:
            writer.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await writer.drain()

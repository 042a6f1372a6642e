"""Stdio: a started server's standard input and output as a transport of the SDK, with bounds on what it may write."""

# The SDK's annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

LONGEST_LINE = 32 * 2**20
"""Bytes of one message; a server that writes a longer one is ended."""
MOST_LINES, UNASKED = 10_000, 5
"""Lines in a second after which the server has to wait; one that answers nothing, such as a notification, counts as
several."""
ENDING_S = 2.0
"""Seconds that a server may take to end by itself, and then again after it was told to."""
_CHUNK = 65_536


class StdioServer:
    """A server that runs, as the SDK's client is connected to it by `transport`."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._pid: int | None = None
        self._silent = False
        self.why: str | None = None
        """Why it was ended, if it was for what it wrote."""
        self._lines = 0
        self._second = 0.0

    @property
    def ended(self) -> bool:
        """Whether it writes no more, or its program is over, which is seen at once."""
        if self._silent or self._pid is None:
            return self._silent
        try:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    @asynccontextmanager
    async def transport(
        self, argv: Sequence[str], environment: Mapping[str, str], folder: Path, errors: int
    ) -> AsyncGenerator[tuple[Any, Any]]:
        """Start it, for the block.

        Args:
            argv: The command line.
            environment: Its environment besides the few variables that every server gets.
            folder: The folder that it runs in.
            errors: The descriptor that takes its standard error.

        Yields:
            What it writes, and what takes messages for it, as the SDK wants them.
        """
        import anyio
        from mcp.client.stdio import get_default_environment

        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={**get_default_environment(), **environment},
            cwd=folder,
            start_new_session=True,
        )
        self._pid = process.pid
        heard, hearing = anyio.create_memory_object_stream[Any](0)
        saying, said = anyio.create_memory_object_stream[Any](0)
        tasks = [asyncio.create_task(self._read(process, heard)), asyncio.create_task(_write(process, said))]
        try:
            yield hearing, saying
        finally:
            await asyncio.shield(asyncio.ensure_future(_end(process, tasks)))
            for stream in (heard, hearing, saying, said):
                stream.close()

    async def _read(self, process: asyncio.subprocess.Process, heard: Any) -> None:
        """Hand on the messages among the lines; other lines are noise, which many servers make."""
        out = cast("asyncio.StreamReader", process.stdout)
        line = bytearray()
        try:
            while chunk := await out.read(_CHUNK):
                first, *others = chunk.split(b"\n")
                line += first
                for following in others:
                    await self._heard(bytes(line), heard)
                    line = bytearray(following)
                if len(line) > LONGEST_LINE:
                    self.why = f"It wrote a line of more than {LONGEST_LINE:,} bytes."
                    return
        except Exception:  # noqa: BLE001, S110 - the session is over; what it ended by is told from there
            pass
        finally:
            self._silent = True
            heard.close()

    async def _heard(self, line: bytes, heard: Any) -> None:
        from mcp.shared.message import SessionMessage
        from mcp.types import JSONRPCNotification, jsonrpc_message_adapter

        try:
            message: Any = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            message = _broken_answer(line)
        await self._count(UNASKED if message is None or isinstance(message, JSONRPCNotification) else 1)
        if message is not None:
            await heard.send(SessionMessage(message))

    async def _count(self, lines: int) -> None:
        """Count a line; in a flood of them nothing is read until the second is over."""
        now = time.monotonic()
        if now - self._second >= 1.0:
            self._second, self._lines = now, 0
        self._lines += lines
        if self._lines > MOST_LINES:
            await asyncio.sleep(self._second + 1.0 - now)


def _broken_answer(line: bytes) -> Any:
    """An error in the place of an answer that is none, so that nobody waits for another; `None` for any other line."""
    from mcp.types import INTERNAL_ERROR, ErrorData, JSONRPCError

    try:
        read: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    fields = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
    key = fields.get("id")
    if isinstance(key, bool) or not isinstance(key, int | str) or "method" in fields:
        return None
    error = ErrorData(code=INTERNAL_ERROR, message="it answered with what is no answer")
    return JSONRPCError(jsonrpc="2.0", id=key, error=error)


async def _write(process: asyncio.subprocess.Process, said: Any) -> None:
    into = cast("asyncio.StreamWriter", process.stdin)
    with suppress(OSError):  # it is gone, which the reader sees
        async for one in said:
            into.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            await into.drain()


async def _end(process: asyncio.subprocess.Process, tasks: Sequence[asyncio.Task[None]]) -> None:
    """End a server and all that it has started: asked by the end of its input, then told, then killed."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    into = cast("asyncio.StreamWriter", process.stdin)
    into.close()
    emptying = asyncio.create_task(_empty(process))  # one that is stuck writing does not see the end of its input
    for number in (signal.SIGTERM, signal.SIGKILL, None):
        await asyncio.wait([emptying], timeout=ENDING_S)
        if process.returncode is not None or number is None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
    emptying.cancel()
    await asyncio.gather(emptying, return_exceptions=True)
    with suppress(Exception):
        await into.wait_closed()


async def _empty(process: asyncio.subprocess.Process) -> None:
    out = cast("asyncio.StreamReader", process.stdout)
    while await out.read(_CHUNK):
        pass
    await process.wait()

"""Tool: what the measured plans call: one that waits, one that does nothing, one that stops half-way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from langchain_core.tools import StructuredTool


async def _wait(seconds: float) -> float:
    """Wait so many seconds."""
    await asyncio.sleep(seconds)
    return seconds


async def _noop() -> str:
    """Do nothing."""
    return "done"


READS: dict[str, Any] = {"effect": "read"}

wait = StructuredTool.from_function(coroutine=_wait, name="wait", metadata=READS)
"""Waits, as a subtask does that calls a model or a network."""
noop = StructuredTool.from_function(coroutine=_noop, name="noop", metadata=READS)
"""Does nothing, so that all of its time is the engine's."""


class Turnstile:
    """Lets so many calls through and holds the rest, then notes when the first call comes after a resume."""

    def __init__(self, passes: int) -> None:
        """Let `passes` calls through."""
        self._left = passes
        self.used_up = asyncio.Event()
        """Set once a call is held."""
        self.first_call: float | None = None
        """`time.perf_counter()` of the first call after `open`."""
        self.first_cpu: float | None = None
        """`time.process_time()` of that call."""
        self._open = False

    def open(self) -> None:
        """Let everybody through from now on."""
        self._open = True

    async def __call__(self, seconds: float = 0.0) -> str:
        """Pass, or be held for ever."""
        if self._open:
            if self.first_call is None:
                self.first_call, self.first_cpu = time.perf_counter(), time.process_time()
            return "done"
        if self._left <= 0:
            self.used_up.set()
            await asyncio.Event().wait()
        self._left -= 1
        return "done"

    def tool(self) -> StructuredTool:
        """This turnstile as the tool `noop`."""

        async def noop() -> str:
            """Pass, or be held."""
            return await self()

        return StructuredTool.from_function(coroutine=noop, name="noop", metadata=READS)

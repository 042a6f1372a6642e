"""Stopping a run in the middle, as at the end of its process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from tests.ledger.paying import CALLED, lines


async def cancelled(running: Any, calls: int = 1) -> None:
    """Run until `hang` was called so often in all, then cancel."""
    task = asyncio.ensure_future(running)
    async with asyncio.timeout(20):
        while lines(CALLED).count("hang 1") < calls and not task.done():
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)  # the other branches end meanwhile
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

"""Attempts: one call of a provider that is no chat, made again as long as its fault may pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from openmanus_graph.models.catalog import ModelTarget
from openmanus_graph.models.faults import backoff, sort


async def answered(target: ModelTarget, call: Callable[[], Awaitable[Any]]) -> Any:
    """What a provider answers, after retries.

    Args:
        target: The model.
        call: Makes the call once.

    Raises:
        ModelError: If the provider failed for good, or refuses.
    """
    attempt = 1
    while True:
        try:
            return await call()
        except Exception as error:  # every provider has its own tree; `sort` reads them all
            fault = sort(error, target, [target.api_key or ""])
            if fault.kind != "retry" or attempt > target.settings.retries:
                raise fault.error(target, attempt) from error
        await asyncio.sleep(fault.delay_s or backoff(attempt))
        attempt += 1

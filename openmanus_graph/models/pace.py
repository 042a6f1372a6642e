"""Pace: limits of calls and tokens a minute, kept by waiting.

LiteLLM's Router counts them too, by the clock's minute, and refuses the call above the limit; here it waits its turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

WINDOW_S = 60.0


class Pace:
    """The calls of one model within the last minute."""

    def __init__(self, requests: int | None, tokens: int | None) -> None:
        """Limit a model.

        Args:
            requests: Calls a minute; `None` for no limit.
            tokens: Tokens a minute; `None` for no limit.
        """
        self._requests = requests
        self._tokens = tokens
        self._spent: deque[list[float]] = deque()

    async def wait(self, tokens: int) -> list[float]:
        """Wait until a call fits.

        Args:
            tokens: Tokens expected for its prompt.

        Returns:
            The call's entry, for `correct`.
        """
        while (pause := self._pause(tokens)) > 0:  # noqa: ASYNC110 - the clock is waited for, not another task
            await asyncio.sleep(pause)
        entry = [time.monotonic(), float(tokens)]
        self._spent.append(entry)
        return entry

    @staticmethod
    def correct(entry: list[float], tokens: int) -> None:
        """Put the tokens a call really took in place of those expected."""
        entry[1] = float(tokens)

    def _pause(self, tokens: int) -> float:
        """Seconds until enough calls are a minute old; a call larger than the whole limit waits to be alone."""
        now = time.monotonic()
        while self._spent and now - self._spent[0][0] >= WINDOW_S:
            self._spent.popleft()
        calls, used, pause = len(self._spent), sum(entry[1] for entry in self._spent), 0.0
        for began, spent in self._spent:
            if self._fits(calls, used + tokens):
                break
            calls, used, pause = calls - 1, used - spent, began + WINDOW_S - now
        return pause

    def _fits(self, calls: int, tokens: float) -> bool:
        enough_calls = self._requests is None or calls < self._requests
        return enough_calls and (self._tokens is None or tokens <= self._tokens)

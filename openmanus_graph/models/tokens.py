"""Tokens: the pieces of a reply as events, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 0.05
"""Seconds between two events: views are not flooded by a fast model."""


class TokenStream:
    """Gathers pieces of text and passes them on together."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Pass text on.

        Args:
            say: Takes the text gathered.
        """
        self._say = say
        self._waiting = ""
        self._last = 0.0

    def add(self, text: str) -> None:
        """Take a piece."""
        self._waiting += text
        if self._waiting and time.monotonic() - self._last >= EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Pass on what waits."""
        if self._waiting:
            self._say(self._waiting)
            self._waiting = ""
            self._last = time.monotonic()

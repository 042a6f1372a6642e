"""Collection: Python's collector of cycles, which runs less often while plans are dispatched.

A subtask makes thousands of objects that live until it ends; the collector's usual rhythm looks through them again
and again, which takes a sixth of the time.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

YOUNG_OBJECTS = 20_000
"""New objects between two collections of the youngest generation."""

_dispatches = 0
_before = (0, 0, 0)


@contextmanager
def rarer_collections() -> Generator[None]:
    """Collect less often in the block; the process' own thresholds come back with the last of several blocks."""
    global _dispatches, _before  # noqa: PLW0603 - the collector is one for the process
    if not _dispatches:
        _before = gc.get_threshold()
        if _before[0]:  # else somebody has switched it off
            gc.set_threshold(max(_before[0], YOUNG_OBJECTS), *_before[1:])
    _dispatches += 1
    try:
        yield
    finally:
        _dispatches -= 1
        if not _dispatches:
            gc.set_threshold(*_before)

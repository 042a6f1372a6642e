"""Fence: sets material of others apart in a prompt, so that nothing in it can pass for what stands around it."""

from __future__ import annotations

import re

_FENCES = re.compile(r"~{3,}")


def fenced(text: str) -> str:
    """A text between two lines of tildes, longer than any run of them in it, so that nothing inside can end it."""
    longest = max((len(found) for found in _FENCES.findall(text)), default=2)
    fence = "~" * (longest + 1)
    return f"{fence}\n{text}\n{fence}"

"""Untrusted text: marks text of pages, files, tools and agents in prompts, so that it is not read as instructions."""

from __future__ import annotations

import re

_FENCES = re.compile(r"^[ \t]*(~{3,})", re.MULTILINE)


def fenced(text: str) -> str:
    """A text between two lines of tildes, longer than any such line in it, so that nothing inside can end it."""
    longest = max((len(found) for found in _FENCES.findall(text)), default=2)
    fence = "~" * (longest + 1)
    return f"{fence}\n{text}\n{fence}"

"""Failure line: the line of a program's error output that says what went wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

TRACEBACK = "Traceback (most recent call last):"
_NO_WORDS = re.compile(r"[\s^~|.=_*+#-]*")
"""A line that only points into the one before it, which quotes a program, or parts two lines."""
_FRAME = re.compile(
    r"\s*(?:File \"[^\"]*\", line \d+|at \S.*[:(<].*|\.\.\. \d+ (?:more|common frames).*|Node\.js v\d.*)"
)
"""A place in a program: of Python, JavaScript or Java."""


def failure_line(text: str) -> str:
    """The line that says what went wrong: the exception of a Python traceback, else the last that has words.

    Args:
        text: What a program wrote to standard error; our own notes in it are in brackets.

    Returns:
        The line without blanks around it; empty if there is none.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    told = [line for line in lines if not line.startswith("[")]
    found = _exception(told)
    if found is not None:
        return found
    quoted = {number - 1 for number, line in enumerate(told) if "^" in line and _NO_WORDS.fullmatch(line)}
    meant = [
        line
        for number, line in enumerate(told)
        if number not in quoted and not _NO_WORDS.fullmatch(line) and not _FRAME.fullmatch(line)
    ]
    return meant[-1].strip() if meant else ""


def _exception(lines: Sequence[str]) -> str | None:
    """The exception of the last traceback; `None` if there is no traceback, or its end is missing."""
    heads = [number for number, line in enumerate(lines) if line.endswith(TRACEBACK)]
    if not heads:
        return None
    # In a traceback of Python everything is indented, up to the exception.
    margin = len(lines[heads[-1]]) - len(lines[heads[-1]].lstrip(" |+"))
    for line in lines[heads[-1] + 1 :]:
        inside = line[margin:]
        if inside.strip() and not inside.startswith((" ", "\t")):
            return inside.strip()
    return None

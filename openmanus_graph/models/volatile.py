"""Volatile: the parts of a text that differ from run to run and mean nothing: times, process ids, addresses."""

from __future__ import annotations

import re
from functools import lru_cache

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), name)
    for pattern, name in (
        # 2026-11-21T09:30:12.123+01:00, 2026-11-21 09:30, 2026-11-21
        (r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?Z\b| ?[+-]\d\d:?\d\d\b)?)?", "<time>"),
        # Sat, 21 Nov 2026 09:30:12 GMT; Sat Nov 21 09:30:12 UTC 2026
        (r"\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? (?:\d{1,2} [a-z]{3}|[a-z]{3} +\d{1,2})\b(?: \d{4})?", "<time>"),
        (r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?: (?:am|pm|gmt|utc))?\b", "<time>"),
        (r"\b1[6-9]\d{8}(?:\.\d+|\d{3})?\b", "<time>"),  # Unix time, in seconds or milliseconds
        (r'("?\b(?:elapsed|duration|took|time)(?:_s|_ms|_seconds)?\\?"? ?[:=] ?)\d+(?:\.\d+)?', r"\1<duration>"),
        (
            r"\b\d+(?:\.\d+)?\s?(?:ns|µs|us|ms|s|secs?|seconds?|mins?|minutes?|hours?)(?![\w/])",
            "<duration>",
        ),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
        (r"\b0x[0-9a-f]{6,}\b", "<address>"),
        (r"(\b(?:127\.0\.0\.1|localhost|\[::1\])):\d{2,5}\b", r"\1:<port>"),
        (r'(\bpid\\?"? ?[:=]? ?|\bprocess )\d+\b', r"\1<pid>"),
        (r"(?<![\w.])(?:/private)?(?:/var/folders|/var/tmp|/tmp)/[^\s'\":,;)\]}>/]+", "<temporary>"),
        (r"\btmp(?=[a-z0-9_]*[0-9_])[a-z0-9_]{6,}\b", "<temporary>"),
    )
)


@lru_cache(maxsize=512)  # the same messages are looked at before every turn of a model
def steady(text: str) -> str:
    """The text with volatile parts replaced by their kind, so that two runs can be compared.

    Args:
        text: Text of a tool or a person.

    Returns:
        The text with times, durations, process ids, memory addresses, loopback ports, UUIDs and temporary paths
        named instead of spelled, and runs of blanks made one.
    """
    text = re.sub(r"\s+", " ", text).strip()
    for pattern, name in _PATTERNS:
        text = pattern.sub(name, text)
    return text

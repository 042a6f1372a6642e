"""Display text: text of models, tools and people, made safe for a terminal, and amounts in words."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from openmanus_graph.events import Usage

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_SPACE = re.compile(r"\s+")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that move the cursor, turn the direction of the text or show nothing."""
_JOINERS = frozenset("\u200c\u200d")
"""Characters of category `Cf` that emoji and some scripts need."""
LONGEST_VALUE = 60
"""Characters of one argument in a line about a call."""


def clean(text: str) -> str:
    """Text without characters that move the cursor, change colours or reverse direction; line breaks stay."""
    kept = _ESCAPES.sub("", text).replace("\r\n", "\n")
    return "".join(char for char in kept if char in "\n\t" or char in _JOINERS or not _hidden(char))


def visible(text: str) -> str:
    """Text with such characters written as escapes, so that nobody approves invisible text."""
    return "".join(char if char in "\n\t" or not _hidden(char) else f"\\u{ord(char):04x}" for char in text)


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN


def one_line(text: str, longest: int = 400) -> str:
    """The text in one clean line, cut at `longest` characters."""
    line = _SPACE.sub(" ", clean(text[: 4 * longest])).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def call_line(tool: str, args: Mapping[str, Any], *, whole: bool = False) -> str:
    """A tool call in a line: the first text as it is, the other arguments by name.

    Args:
        tool: The tool's name.
        args: Its arguments.
        whole: Whether all arguments have their names, and long values more room.
    """
    words = [tool]
    if whole:
        texts = {key: item if isinstance(item, str) else json.dumps(item, default=str) for key, item in args.items()}
        return " ".join([tool, *(f"{key}={one_line(text, 5 * LONGEST_VALUE)}" for key, text in texts.items())])
    bare = next((key for key, value in args.items() if isinstance(value, str)), None)
    if bare is not None:
        words.append(one_line(str(args[bare]), LONGEST_VALUE * (2 if len(args) == 1 else 1)))
    for key, value in args.items():
        if key != bare:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            words.append(f"{key}={one_line(text, LONGEST_VALUE * 2 if len(args) == 1 else LONGEST_VALUE // 2)}")
    return " ".join(words)


def work_line(goal: str | None, tool: str | None, args: Mapping[str, Any] | None) -> str:
    """What a subtask does, in a line: its goal, or the call that it makes where nobody gave it one."""
    return one_line(goal) if goal else call_line(tool, args or {}) if tool else ""


def counted(number: int, singular: str, several: str | None = None) -> str:
    """A number of things: `1 call`, `1,200 calls`."""
    return f"{number:,} {singular if number == 1 else several or singular + 's'}"


def amount(number: float) -> str:
    """A count in at most five characters: `950`, `12.3k`, `4.5M`."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def byte_size(count: int) -> str:
    """A number of bytes as people read it: `950 B`, `12.3 kB`, `4.5 MB`."""
    size, units = float(count), ["B", "kB", "MB", "GB"]
    while size >= 999.95 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{count} B" if units[0] == "B" else f"{size:,.1f} {units[0]}"


def duration(seconds: float) -> str:
    """A time as people read it: `3.2 s`, `1:05`, `2:03:04`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def ago(moment: datetime) -> str:
    """Time since a moment, such as `5 min ago`."""
    seconds = max((datetime.now(UTC) - moment).total_seconds(), 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def cost(usd: float | None) -> str:
    """A price, with more digits below a cent; `cost unknown` where a price is not known."""
    if usd is None:
        return "cost unknown"
    return f"${usd:.2f}" if usd >= 0.01 or usd == 0 else f"${usd:.4f}"


def usage_line(usage: Usage) -> str:
    """Usage of model calls, in a line."""
    calls = usage["calls"]
    tokens = usage["input_tokens"] + usage["output_tokens"]
    hits = f", {usage['cache_hits']} from the cache" if usage["cache_hits"] else ""
    return (
        f"{counted(calls, 'model call')}{hits}{in_flight_text(usage)}, {counted(tokens, 'token')},"
        f" {cost(usage['cost_usd'])}"
    )


def in_flight_text(usage: Usage) -> str:
    """How many calls were sent and have no reply, as an insertion into a line about usage; empty for none."""
    number = usage.get("in_flight", 0)
    if not number:
        return ""
    return (
        f" ({number} of them in flight when {'its' if number == 1 else 'their'} process ended, not counted in tokens)"
    )

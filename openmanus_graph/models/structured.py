"""Structured: a reply as a JSON object, and the search for one in a reply's text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage

MAX_UNCLOSED = 20
"""Opening braces without an end that are looked behind: prose has a few, and each costs a pass over the rest."""

_BEGUN = re.compile(r'\{\s*"')
_FENCE = re.compile(r"```[a-zA-Z0-9_-]*[ \t]*\n(.*?)```", re.DOTALL)
_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(\s*[}\]])')


@dataclass(frozen=True)
class Structured:
    """A reply that was asked for as JSON."""

    value: Any | None
    """The JSON object; `None` when the reply holds none."""
    problem: str | None
    """What is wrong with the reply, to be sent back to the model; `None` when there is a value."""
    message: AIMessage
    """The reply as plain text, whichever way it was asked for, so that a conversation can go on behind it."""


def read_object(text: str) -> tuple[dict[str, Any] | None, str | None]:
    """Find the JSON object in a reply: bare, in a code fence, or with prose around it.

    Args:
        text: The reply.

    Returns:
        The object and `None`, or `None` and what is wrong.
    """
    if not text.strip():
        return None, "The reply is empty; answer with one JSON object."
    problems: dict[int, str] = {}
    for candidate in _candidates(_THOUGHT.sub("", text)):
        value, why = _parse(candidate)
        if isinstance(value, dict):
            return cast("dict[str, Any]", value), None
        if why is None:
            return None, f"The reply is {_kind(value)}, not a JSON object."
        problems.setdefault(len(candidate), why)
    if problems:  # the longest span is what was meant: prose may hold braces of its own
        return None, problems[max(problems)]
    return None, "The reply holds no JSON object; answer with one JSON object and nothing else."


def _candidates(text: str) -> Iterator[str]:
    whole = text.strip()
    if whole[:1] in ("{", "["):
        yield whole
    for fence in _FENCE.finditer(text):
        yield fence[1].strip()
    yield from _braced(text)


def _braced(text: str) -> Iterator[str]:
    """Spans from an opening brace to its own closing one; an unclosed one is a reply that was cut."""
    start, unclosed = text.find("{"), 0
    while start != -1:
        end = _closing(text, start)
        yield text[start:] if end is None else text[start : end + 1]
        unclosed += end is None
        if end is None and (unclosed > MAX_UNCLOSED or _BEGUN.match(text, start)):
            return  # an object that was cut: one inside it is not what was meant
        start = text.find("{", start + 1 if end is None else end + 1)


def _closing(text: str, start: int) -> int | None:
    depth, quoted, escaped = 0, False, False
    for index in range(start, len(text)):
        character = text[index]
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return index
    return None


def _parse(text: str) -> tuple[Any, str | None]:
    try:
        return json.loads(text, strict=False), None
    except ValueError as error:
        first = error
    try:
        return json.loads(_TRAILING_COMMA.sub(lambda match: match[1] or match[2], text), strict=False), None
    except ValueError:
        pass
    if isinstance(first, json.JSONDecodeError):
        near = text[max(0, first.pos - 30) : first.pos + 30]
        return None, f"The JSON is not valid: {first.msg} at line {first.lineno}, column {first.colno}, near {near!r}."
    return None, f"The JSON is not valid: {first}."


def _kind(value: Any) -> str:
    names = {"list": "a JSON array", "str": "a JSON string", "int": "a number", "float": "a number"}
    return names.get(type(value).__name__, "true, false or null")

"""Value text: formats a value for a reader as an indented list; texts of several lines stay as they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

MOST_LINES = 2_000
"""Lines of one value that are made; whoever shows them shows fewer."""
DEEPEST = 30
_TAKEN = re.compile(r"""(true|false|null|[-+.\d][\d.,eE_+-]*|["'\[{].*|\s.*|.*\s|)\Z""", re.DOTALL)
"""Texts that would look like something else, or like nothing, without quotes."""


def words_of(value: Any) -> str:
    """The value as text: a text as it is, anything else in lines such as `key: value` and `- item`.

    Args:
        value: Anything in JSON types; other things are written as Python shows them.
    """
    if isinstance(value, str):
        return value
    return "\n".join(islice(_lines(value, 0), MOST_LINES))


def _lines(value: Any, depth: int) -> Iterator[str]:
    """The lines of one value, none of them indented."""
    if isinstance(value, dict) and value and depth < DEEPEST:
        for key, item in cast("dict[Any, Any]", value).items():
            yield from _item(f"{key}:", item, depth, listed=False)
    elif isinstance(value, list | tuple) and value and depth < DEEPEST:
        for item in cast("list[Any]", value):
            yield from _item("-", item, depth, listed=True)
    elif isinstance(value, str) and "\n" in value:
        yield from value.rstrip("\n").split("\n")
    else:
        yield _scalar(value)


def _item(head: str, item: Any, depth: int, *, listed: bool) -> Iterator[str]:
    lines = _lines(item, depth + 1)
    first = next(lines)
    several = (
        "\n" in item if isinstance(item, str) else isinstance(item, dict | list | tuple) and bool(cast("Any", item))
    )
    if several and not listed:
        yield head
        yield f"  {first}"
    else:
        yield f"{head} {first}"
    yield from (f"  {line}" for line in lines)


def _scalar(value: Any) -> str:
    if isinstance(value, str) and not _TAKEN.match(value):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)

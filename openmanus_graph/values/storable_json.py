"""Storable JSON: text and values as Postgres takes them: no NUL, no half of a surrogate pair, no infinity, no NaN.

Nor does a text begin with what encrypted ones begin with: whoever reads it would take it for one of those.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, cast

_SUSPECT = ("\\u0000", "\\ud")
"""What JSON has in it where Postgres may not take it."""


SEAL = "\x1aomg1"
"""Begins a text that is encrypted, and no other one that is stored."""
_SEAL_IN_JSON = '"\\u001aomg1'
_SEAL_IN_PATH = re.compile(rf"(?:\./)*{SEAL}")


class Sealed(str):
    """A text that is encrypted."""

    __slots__ = ()


UNREADABLE = "…"
"""What stands for a value that is nested too deeply, holds itself or cannot be read."""
MOST_BITS = 10_000
"""Bits of an integer above which Python may refuse to write it as digits."""


def storable_text(text: str) -> str:
    """Text in which halves of a surrogate pair that stand together are joined, and others, like NUL, are U+FFFD.

    So is the first character of one that begins like an encrypted text and is none.
    """
    if text.startswith(SEAL) and not isinstance(text, Sealed):
        text = f"\ufffd{text[1:]}"
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def storable_path(path: str) -> str:
    """A relative path that does not begin like an encrypted text: with `./` before it, it names the same file."""
    return f"./{path}" if _SEAL_IN_PATH.match(path) else path


def path_of(stored: str) -> str:
    """The path that `storable_path` was given."""
    return stored[2:] if stored.startswith("./") and _SEAL_IN_PATH.match(stored) else stored


def storable(value: Any) -> Any:
    """A value in JSON types that Postgres takes: records as their fields, what is no such type as text."""
    try:
        return _plain(value)
    except Exception:  # noqa: BLE001 - a user's class may raise anything; what shows a value must not end a run
        return UNREADABLE


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return storable_text(str(value.value) if isinstance(value, Enum) else value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return {storable_text(str(key)): _plain(item) for key, item in fields.items()}
    if (record := _fields_of(value)) is not None:
        return _plain(record)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"{value:#x}"
    return value if value is None or isinstance(value, int) else storable_text(str(value))


def _fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a model, a dataclass or a NamedTuple; `None` of anything else."""
    if (models := sys.modules.get("pydantic")) is not None and isinstance(value, models.BaseModel):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    named = getattr(cast("Any", value), "_asdict", None) if isinstance(value, tuple) else None
    return None if named is None else named()


def storable_json(value: Any) -> str:
    """JSON of a value that Postgres takes; for columns that nothing is computed from."""
    try:
        text = json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return json.dumps(storable(value))
    # All that Postgres refuses is escaped; a single character is found at once.
    if "\\" in text and any(part in text for part in _SUSPECT):
        return json.dumps(storable(value))
    return text


def plain_json(value: Any) -> str:
    """The same where nothing is encrypted: no text in it begins like one that is."""
    text = storable_json(value)
    return text.replace(_SEAL_IN_JSON, '"\\ufffdomg1') if _SEAL_IN_JSON in text else text


def storable_list(values: Iterable[Any], encode: Callable[[Any], str] = storable_json) -> str:
    """JSON of a list of such values, each by itself: one that cannot be read spoils no other."""
    return f"[{','.join(map(encode, values))}]"

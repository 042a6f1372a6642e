"""JSON values: text, numbers, true, false, null, lists and mappings, as checkpoints hold them."""

from __future__ import annotations

import math
import re
from typing import Any, cast

PlanPath = tuple[str | int, ...]
"""Keys and indexes that lead from a plan to a value in it."""

MAX_DEPTH = 50
"""Lists and mappings that may be inside each other."""
MAX_VALUES = 500_000
"""Values that a plan may hold in total, shared ones counted wherever they appear."""
INTEGERS = range(-(2**63), 2**64)
"""Whole numbers that a checkpoint can hold."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class TooLargeError(ValueError):
    """More values than a plan may hold."""


class JsonCopier:
    """Deep copier into built-in types; it collects the values without such a form, instead of stopping at one."""

    def __init__(self) -> None:
        self.problems: list[tuple[PlanPath, str]] = []
        """Path of each value that is no JSON value, and why; such a value is `None` in the copy."""
        self._count = 0

    def copy(self, value: Any, path: PlanPath = ()) -> Any:
        """A copy of `value`, made of exact built-in types.

        Raises:
            TooLargeError: If there are more than `MAX_VALUES` values.
        """
        self._count += 1
        if self._count > MAX_VALUES:
            raise TooLargeError
        if not isinstance(value, list | dict):
            return self._scalar(value, path)
        if len(path) >= MAX_DEPTH:
            return self._refuse(path, f"is nested more than {MAX_DEPTH} levels deep; flatten it")
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return [self.copy(item, (*path, index)) for index, item in enumerate(items)]
        return self._mapping(cast("dict[Any, Any]", value), path)

    def _scalar(self, value: Any, path: PlanPath) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int | float):
            return self._number(value, path)
        note = "write text, a number, true, false, null, a list or a mapping"
        return self._refuse(path, f"is of the type {type(value).__name__!r}; {note}")

    def _mapping(self, value: dict[Any, Any], path: PlanPath) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for key, member in value.items():
            if not isinstance(key, str):
                words = shown(key) if isinstance(key, int | float | None) else f"of {type(key).__name__!r}"
                self._refuse(path, f"has the key {words}, which is not text; put it in quotes")
                continue
            name = str.__str__(key)
            if _UNSTORABLE.search(name):
                self._refuse(path, f"has the key {shown(name)}, which cannot be stored; use ordinary characters")
                continue
            copied[name] = self.copy(member, (*path, name))
        return copied

    def _text(self, value: str, path: PlanPath) -> str | None:
        text = str.__str__(value)
        unstorable = _UNSTORABLE.search(text)
        if unstorable is None:
            return text
        what = "a NUL character" if unstorable[0] == "\x00" else "half of a surrogate pair"
        return self._refuse(path, f"contains {what}, which cannot be stored; remove it")

    def _number(self, value: int | float, path: PlanPath) -> int | float | None:
        if isinstance(value, float):
            if not math.isfinite(value):
                return self._refuse(path, f"is {float(value)}, which cannot be stored; use a finite number")
            return float(value)
        whole = int(value)
        if whole not in INTEGERS:
            return self._refuse(path, "is a whole number of more than 64 bits; use a smaller one, or text")
        return whole

    def _refuse(self, path: PlanPath, why: str) -> None:
        self.problems.append((path, why))


def same_value(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal in content and in type: `1`, `1.0` and `True` differ."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        members, others = cast("dict[Any, Any]", one), cast("dict[Any, Any]", other)
        return members.keys() == others.keys() and all(same_value(members[key], others[key]) for key in members)
    if isinstance(one, list):
        items, counterparts = cast("list[Any]", one), cast("list[Any]", other)
        return len(items) == len(counterparts) and all(map(same_value, items, counterparts))
    return one == other


def shown(value: Any, limit: int = 60) -> str:
    """`repr` of a JSON value for a message: lists and mappings by kind, long text cut."""
    if isinstance(value, list | dict):
        many = len(cast("list[Any]", value))
        return f"{'a list' if isinstance(value, list) else 'a mapping'} of {many}"
    if isinstance(value, str) and len(value) > limit:
        return f"{value[:limit]!r}…"
    if isinstance(value, int) and not isinstance(value, bool) and value not in INTEGERS:
        return "a huge number"
    return repr(value)

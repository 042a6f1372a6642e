"""Shape: the keys of JSON, without its values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

EACH = "each"
"""Stands for every item of a list."""


def shape(value: Any) -> Any:
    """The keys of JSON, also of what is inside; of a list those that any of its items has."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(cast("dict[str, Any]", value).items())}
    if not isinstance(value, list):
        return ""
    merged: dict[str, Any] = {}
    for item in cast("list[Any]", value):
        inside = shape(item)
        if isinstance(inside, dict):
            merged |= {
                key: inner for key, inner in cast("dict[str, Any]", inside).items() if inner or key not in merged
            }
    return {EACH: dict(sorted(merged.items()))} if merged else ""


def keys(given: Iterable[str]) -> list[str]:
    """Each once, in order."""
    return sorted(set(given))

"""Usage: sums of the usage of model calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.events import Usage

NO_USAGE = Usage(calls=0, input_tokens=0, output_tokens=0, cached_tokens=0, cost_usd=0.0, cache_hits=0)
"""The usage of no call."""


def add_usage(first: Mapping[str, Any] | None = None, other: Mapping[str, Any] | None = None) -> Usage:
    """The sum of two usages; its cost is unknown if one of them is."""
    total = dict(NO_USAGE)
    for usage in (first, other):
        for key, value in (usage or {}).items():
            known = total.get(key, 0)
            total[key] = None if value is None or known is None else cast("Any", known) + value
    return cast("Usage", total)


add_usage.__name__ = "together"  # the reducer's name in the fingerprints that threads hold

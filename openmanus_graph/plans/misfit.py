"""Misfit: what of a value does not fit a JSON Schema, with its place and what is allowed there in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.json_schema import list_of, mapping_of, validator_of
from openmanus_graph.plans.json_values import PlanPath, shown
from openmanus_graph.plans.references import kind_of

_WORDS = {
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
    "number": "a number",
    "integer": "a whole number",
}
_PLAIN = {"uniqueItems": "must not have the same item twice", "None": "must not be given"}
_OPTIONS_SHOWN = 20
_ALTERNATIVES_SHOWN = 4
_SHOWN = 200

_BOUNDS: dict[str, tuple[str, str]] = {
    "minimum": ("at least", ""),
    "maximum": ("at most", ""),
    "exclusiveMinimum": ("more than", ""),
    "exclusiveMaximum": ("less than", ""),
    "multipleOf": ("a multiple of", ""),
    "minLength": ("at least", " characters"),
    "maxLength": ("at most", " characters"),
    "minItems": ("at least", " items"),
    "maxItems": ("at most", " items"),
    "minProperties": ("at least", " members"),
    "maxProperties": ("at most", " members"),
}


@dataclass(frozen=True)
class Misfit:
    """One thing that does not fit."""

    path: PlanPath
    """Keys and indexes that lead to it; empty for the whole value."""
    what: str
    """What it must be, such as `must be text, not 3`."""
    missing: tuple[str, ...] = ()
    """The members that it lacks, if that is what does not fit."""
    excess: tuple[str, ...] = ()
    """The members that it must not have, if that is what does not fit."""

    def __str__(self) -> str:
        """The place and what must be there."""
        place = ".".join(str(part) for part in self.path)
        return f"{place!r} {self.what}" if place else self.what


def described(value: Any) -> str:
    """A plain value for a message; null in words."""
    return kind_of(value) if value is None else shown(value)


def misfits(value: Any, schema: Any) -> Iterator[Misfit]:
    """What of a value does not fit, each place and rule once.

    Args:
        value: A plain value; references may be `Unresolved` in it.
        schema: A JSON Schema.

    Raises:
        ToolArgumentsError: If the schema is none, or refers to itself without end.
    """
    seen: set[tuple[Any, ...]] = set()
    try:
        for error in validator_of(schema).iter_errors(value):
            key = (*error.absolute_path, None, *error.absolute_schema_path)
            if key not in seen:
                seen.add(key)
                yield _misfit(error)
    except RecursionError as error:
        raise ToolArgumentsError("The schema refers to itself without end.") from error


def _misfit(error: Any) -> Misfit:
    rule, limit, value = str(error.validator), error.validator_value, error.instance
    path = tuple(cast("PlanPath", error.absolute_path))
    if rule == "required" and isinstance(limit, list):
        names = tuple(str(name) for name in cast("list[Any]", limit) if name not in value)
        return Misfit(path, f"must have the member {_listed(names)}", missing=names)
    if rule in ("additionalProperties", "unevaluatedProperties") and isinstance(value, dict):
        known = mapping_of(error.schema.get("properties"))
        others = tuple(name for name in cast("dict[str, Any]", value) if name not in known)
        return Misfit(path, f"must not have the member {_listed(others)}", excess=others)
    if rule in ("anyOf", "oneOf"):
        return _of_alternatives(error, path)
    return Misfit(path, _what(rule, limit, value, error))


def _of_alternatives(error: Any, path: PlanPath) -> Misfit:
    """Which alternative was meant is not known; of a union with null, the other one says more."""
    if not error.context:
        return Misfit(path, "must fit exactly one of the alternatives of the schema, and fits more than one")
    first: dict[Any, Any] = {}
    for inner in error.context:
        first.setdefault(inner.schema_path[0], inner)
    found = [_misfit(inner) for inner in first.values()]
    telling = [one for one in found if not one.what.startswith("must be null")]
    if len(telling) == 1:
        return telling[0]
    words = list(dict.fromkeys(one.what if one.path == path else str(one) for one in telling))
    more = f", or {len(words) - _ALTERNATIVES_SHOWN} more" if len(words) > _ALTERNATIVES_SHOWN else ""
    listed = "; or ".join(words[:_ALTERNATIVES_SHOWN])
    return Misfit(path, f"fits none of the allowed types: {listed}{more}")


def _what(rule: str, limit: Any, value: Any, error: Any) -> str:
    match rule:
        case "type":
            kinds = cast("list[Any]", limit) if isinstance(limit, list) else [limit]
            return f"must be {' or '.join(_WORDS.get(str(kind), str(kind)) for kind in kinds)}, not {described(value)}"
        case "enum":
            options = ", ".join(described(option) for option in limit[:_OPTIONS_SHOWN])
            more = f" and {len(limit) - _OPTIONS_SHOWN} more" if len(limit) > _OPTIONS_SHOWN else ""
            return f"must be one of {options}{more}, not {described(value)}"
        case "const":
            return f"must be {described(limit)}, not {described(value)}"
        case "pattern":
            return f"must match the pattern {shown(limit, _SHOWN)}, unlike {described(value)}"
        case "format":
            return f"must have the format {limit!r}, unlike {described(value)}"
        case "contains" | "minContains" | "maxContains":
            many = f"at most {limit}" if rule == "maxContains" else f"at least {error.schema.get('minContains', 1)}"
            return f"must have {many} items that fit {_short(error.schema.get('contains'))}"
        case "not":
            return f"must not fit {_short(limit)}" if limit else _PLAIN["None"]
        case "dependentRequired" | "dependencies":
            return _dependency(limit, value) or _cut(error.message)
        case "uniqueItems" | "None":  # the schema `false` has no keyword
            return _PLAIN[rule]
        case _ if rule in _BOUNDS:
            words, unit = _BOUNDS[rule]
            measured = len(value) if unit else value
            return f"must be {words} {limit}{unit}, not {measured}"
        case _:
            return _cut(error.message)


def _dependency(limit: Any, value: Any) -> str | None:
    for name, needed in mapping_of(limit).items():
        absent = [other for other in list_of(needed) if other not in value] if name in value else []
        if absent:
            return f"must have the member {_listed(absent)} together with {name!r}"
    return None


def _listed(names: Any) -> str:
    return ", ".join(repr(str(name)) for name in names)


def _short(schema: Any) -> str:
    return _cut(json.dumps(schema, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

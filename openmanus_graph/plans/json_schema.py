"""JSON Schema: the part of it that tools use, for arguments in which references are `Unresolved`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from openmanus_graph.plans.json_values import shown
from openmanus_graph.plans.references import Unresolved, has_unresolved, kind_of

Schema = dict[str, Any]

_MAX_DEPTH = 100
_MAX_STEPS = 100_000

_WORDS = {
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "a mapping",
    "number": "a number",
    "integer": "a whole number",
}

_KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "null": type(None),
    "array": list,
    "object": dict,
    "number": (int, float),
    "integer": (int, float),
}


def described(value: Any) -> str:
    """A plain value for a message; null in words."""
    return kind_of(value) if value is None else shown(value)


def _is(value: Any, kind: Any) -> bool:
    expected = _KINDS.get(str(kind))
    if expected is None:
        return True
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        return False
    return kind != "integer" or not isinstance(value, float) or value.is_integer()


class SchemaChecker:
    """The part of JSON Schema that tools use: types, enumerations, members, items, bounds, unions, `$ref`.

    Keywords it does not know are passed over, so it may accept too much, never too little.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._steps = 0  # schemas may refer to themselves in ways that never end

    def misfit(self, value: Any, schema: Any, where: str, depth: int = 0) -> tuple[str, str] | None:
        """Path of the first value that does not fit, and the rule that it breaks; `None` if all fits."""
        self._steps += 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._steps > _MAX_STEPS:
            return None
        rules = cast("Schema", schema)
        unknown = isinstance(value, Unresolved)
        if isinstance(value, Unresolved) and value.whole:
            return None
        if isinstance(rules.get("$ref"), str):
            misfit = self.misfit(value, self._target(rules["$ref"]), where, depth + 1)
            if misfit is not None:
                return misfit
        checks: list[Callable[[], tuple[str, str] | None]] = [
            partial(_wrong_type, value, rules, where),
            partial(self._combined, value, rules, where, depth),
        ]
        if not unknown:
            checks.append(partial(_wrong_content, value, rules, where))
        if isinstance(value, dict):
            checks.append(partial(self._members, cast("dict[str, Any]", value), rules, where, depth))
        if isinstance(value, list):
            checks.append(partial(self._items, cast("list[Any]", value), rules, where, depth))
        return next((misfit for check in checks if (misfit := check()) is not None), None)

    def _target(self, reference: str) -> Any:
        target: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            target = mapping_of(target).get(part.replace("~1", "/").replace("~0", "~"))
        return target

    def _combined(self, value: Any, rules: Schema, where: str, depth: int) -> tuple[str, str] | None:
        for part in _listed(rules.get("allOf")):
            misfit = self.misfit(value, part, where, depth + 1)
            if misfit is not None:
                return misfit
        for key in ("anyOf", "oneOf"):
            options = _listed(rules.get(key))
            misfits = [self.misfit(value, option, where, depth + 1) for option in options]
            if misfits and None not in misfits:
                # Of a union with null, the other option says more.
                others = [found for found in misfits if found is not None and not found[1].startswith("must be null")]
                return others[0] if len(others) == 1 else (where, "fits none of the allowed types")
        return None

    def _members(self, value: dict[str, Any], rules: Schema, where: str, depth: int) -> tuple[str, str] | None:
        properties = mapping_of(rules.get("properties"))
        for name in _listed(rules.get("required")):
            if name not in value:
                return where, f"must have the member {str(name)!r}"
        others = rules.get("additionalProperties")
        for name, member in value.items():
            if name in properties:
                misfit = self.misfit(member, properties[name], f"{where}.{name}", depth + 1)
            elif others is False and not rules.get("patternProperties"):
                return where, f"must not have the member {name!r}"
            else:
                misfit = self.misfit(member, others, f"{where}.{name}", depth + 1)
            if misfit is not None:
                return misfit
        return None

    def _items(self, value: list[Any], rules: Schema, where: str, depth: int) -> tuple[str, str] | None:
        first = _listed(rules.get("prefixItems"))
        for index, item in enumerate(value):
            schema = first[index] if index < len(first) else rules.get("items")
            misfit = self.misfit(item, schema, f"{where}.{index}", depth + 1)
            if misfit is not None:
                return misfit
        return None


def mapping_of(value: Any) -> dict[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _wrong_type(value: Any, rules: Schema, where: str) -> tuple[str, str] | None:
    kinds: list[Any] = _listed(rules.get("type")) or [rules.get("type")]
    if any(_is(value, kind) for kind in kinds):
        return None
    words = " or ".join(_WORDS.get(str(kind), str(kind)) for kind in kinds)
    return where, f"must be {words}, not {described(value)}"


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _wrong_content(value: Any, rules: Schema, where: str) -> tuple[str, str] | None:
    if has_unresolved(value):
        return None
    allowed = _listed(rules.get("enum"))
    if "const" in rules:
        allowed = [rules["const"]]
    if allowed and not any(_same(value, option) for option in allowed):
        return (
            where,
            f"must be one of {', '.join(described(option) for option in allowed[:20])}, not {described(value)}",
        )
    if _is(value, "number"):
        measured, bounds = value, ("minimum", "maximum")
    elif isinstance(value, str):
        measured, bounds = len(value), ("minLength", "maxLength")
    elif isinstance(value, list):
        measured, bounds = len(cast("list[Any]", value)), ("minItems", "maxItems")
    else:
        return None
    unit = "" if measured is value else " characters" if isinstance(value, str) else " items"
    least, most = rules.get(bounds[0]), rules.get(bounds[1])
    if _is(least, "number") and measured < cast("float", least):
        return where, f"must be at least {least}{unit}, not {measured}"
    if _is(most, "number") and measured > cast("float", most):
        return where, f"must be at most {most}{unit}, not {measured}"
    return None

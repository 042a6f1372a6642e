"""Schema: checks a value against a JSON Schema, repairs it where that is unambiguous, else reports each field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, cast

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.json_schema import Schema, validator_of

MAX_ROUNDS = 12
"""Rounds of mending; each mends one level of a value."""
MAX_PROBLEMS = 20
"""Problems that are told at once."""

_SHOWN = 200
_NO = object()
_FENCE = re.compile(r"\s*```(?:json)?\s*\n(?P<inside>.*)\n```\s*", re.DOTALL)
_INTEGER = re.compile(r"[+-]?\d{1,19}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


def mended(value: Any, schema: Schema, name: str = "response") -> Any:
    """The value as the schema wants it.

    Mended are: numbers and truth values written as text and the other way round, text that holds JSON, one item
    where a list is wanted, a list of one where an item is wanted, spelling of enumerated words, and null for what may
    be left out.

    Args:
        value: A plain value; it is not changed.
        schema: A JSON Schema.
        name: What the value is called in messages.

    Raises:
        ToolArgumentsError: If the schema is none, or the value does not fit and there is no one way to mend it.
    """
    validator = validator_of(schema)
    try:
        found = _mend(validator, value, MAX_ROUNDS)
        if found is not _NO:
            return found
        problems = list(dict.fromkeys(_sentences(_errors(validator, value), name)))
    except RecursionError as error:
        raise ToolArgumentsError("The schema refers to itself without end.") from error
    more = f" There are {len(problems) - MAX_PROBLEMS} more." if len(problems) > MAX_PROBLEMS else ""
    raise ToolArgumentsError(f"The {name} does not fit the schema: {'; '.join(problems[:MAX_PROBLEMS])}.{more}")


def _errors(validator: Any, value: Any) -> list[Any]:
    return sorted(validator.iter_errors(value), key=lambda error: len(error.absolute_path))


def _mend(validator: Any, value: Any, rounds: int) -> Any:
    """The value without errors, or `_NO`."""
    for _ in range(rounds):
        errors = _errors(validator, value)
        if not errors:
            return value
        done: list[tuple[str | int, ...]] = []
        for error in errors:
            place = tuple(error.absolute_path)
            if any(place[: len(path)] == path for path in done):
                continue  # what it was about has been replaced
            replacement = _replacement(validator, error, rounds // 2)
            if replacement is not _NO:
                value = _replaced(value, place, replacement)
            elif _may_go(validator, error, value, place):
                value = _without(value, place)
            else:
                return _NO
            done.append(place)
    return value if validator.is_valid(value) else _NO


def _replacement(validator: Any, error: Any, rounds: int) -> Any:
    """A replacement for the part of the value that `error` is about, or `_NO`."""
    kind, instance = str(error.validator), error.instance
    if kind == "type":
        wanted = error.validator_value
        wanted = cast("list[str]", wanted) if isinstance(wanted, list) else [str(wanted)]
        candidates = [candidate for expected in wanted for candidate in _as(instance, expected)]
    elif kind in ("enum", "const"):
        options: list[Any] = list(error.validator_value) if kind == "enum" else [error.validator_value]
        candidates = [candidate for candidate in options if _plain_word(candidate) == _plain_word(instance)]
    elif kind in ("anyOf", "oneOf"):
        candidates = [_mend(validator.evolve(schema=option), instance, rounds) for option in error.validator_value]
        candidates = [candidate for candidate in candidates if candidate is not _NO]
    else:
        return _NO
    part = validator.evolve(schema=error.schema)
    distinct = {json.dumps(candidate, sort_keys=True): candidate for candidate in candidates}
    able = [candidate for candidate in distinct.values() if kind == "type" or part.is_valid(candidate)]
    if kind == "type" and len(able) > 1:
        able = [candidate for candidate in able if part.is_valid(candidate)]
    return able[0] if len(able) == 1 else _NO


def _as(value: Any, kind: str) -> Iterator[Any]:
    """The readings of `value` as `kind`."""
    if isinstance(value, list) and kind != "array":
        items = cast("list[Any]", value)
        if len(items) == 1:
            yield items[0]
        return
    text = value.strip() if isinstance(value, str) else None
    match kind:
        case "integer" if text is not None and _INTEGER.fullmatch(text):
            yield int(text)
        case "number" if text is not None and _NUMBER.fullmatch(text):
            number = float(text)
            yield int(text) if _INTEGER.fullmatch(text) else number
        case "boolean" if text is not None and text.lower() in ("true", "false"):
            yield text.lower() == "true"
        case "null" if text is not None and text.lower() in ("null", "none", ""):
            yield None
        case "string" if isinstance(value, int | float):
            yield json.dumps(value)
        case "array" | "object":
            inside = _NO if text is None else _json_in(text, list if kind == "array" else dict)
            if inside is not _NO:
                yield inside
            elif kind == "array" and value is not None:
                yield [value]
        case _:
            return


def _json_in(text: str, kind: type) -> Any:
    fenced = _FENCE.fullmatch(text)
    try:
        found = json.loads(fenced["inside"] if fenced else text)
    except ValueError:
        return _NO
    return found if isinstance(found, kind) else _NO


def _plain_word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()


def _may_go(validator: Any, error: Any, value: Any, place: tuple[str | int, ...]) -> bool:
    """Whether the error is about a null for a member that its mapping need not have."""
    if error.instance is not None or not place or not isinstance(place[-1], str):
        return False
    left = _errors(validator, _without(value, place))
    return not any(
        problem.validator == "required"
        and tuple(problem.absolute_path) == place[:-1]
        and place[-1] in problem.validator_value
        for problem in left
    )


def _replaced(value: Any, place: Sequence[str | int], new: Any) -> Any:
    if not place:
        return new
    copied: Any = copy(value)
    copied[place[0]] = _replaced(copied[place[0]], place[1:], new)
    return copied


def _without(value: Any, place: Sequence[str | int]) -> Any:
    copied: Any = copy(value)
    if len(place) > 1:
        copied[place[0]] = _without(copied[place[0]], place[1:])
    else:
        del copied[place[0]]
    return copied


def _sentences(errors: list[Any], name: str) -> Iterator[str]:
    for error in errors:
        deepest = error
        while deepest.context:  # of the options of a union, the one that came furthest says most
            deepest = max(deepest.context, key=lambda option: (len(option.absolute_path), option.validator != "type"))
        where = ".".join([name, *(str(part) for part in deepest.absolute_path)])
        yield f"{where!r}: {_cut(deepest.message)}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

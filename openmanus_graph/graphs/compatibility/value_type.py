"""Value type: the type of a field or an argument as plain JSON, comparable between versions.

It is a word (`any`, `text`, `whole number`, `number`, `true or false`, `nothing`, `bytes`, `message`, or a class by its
path), or a mapping with one key: `list`, `set` or `dict` of a type, `either` of several, `one of` some values, or a
`record` with its `fields` and those that are `required`.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from langchain_core.messages import BaseMessage
from pydantic import BaseModel
from typing_extensions import ReadOnly, is_typeddict

ValueType = str | dict[str, Any]

ANY = "any"
DEPTH = 4
"""How deep a type is looked into; what is below counts as anything."""

_WORDS: dict[Any, str] = {
    Any: ANY,
    object: ANY,
    None: "nothing",
    type(None): "nothing",
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    bytes: "bytes",
}
_SEQUENCES = (list, tuple, Sequence, MutableSequence)
_SETS = (set, frozenset, AbstractSet)
_MAPPINGS = (dict, Mapping, MutableMapping)
_MARKS = (Annotated, Required, NotRequired, ReadOnly)


def of_annotation(annotation: Any, depth: int = DEPTH) -> ValueType:
    """The value type of a Python annotation; what is not understood is named by its path."""
    while get_origin(annotation) in _MARKS:
        annotation = get_args(annotation)[0]
    if depth <= 0 or isinstance(annotation, TypeVar):
        return ANY
    origin = get_origin(annotation) or annotation
    inner = get_args(annotation)
    if origin in (Union, types.UnionType):
        return either([of_annotation(part, depth) for part in inner])
    if origin is Literal:
        return {"one of": sorted((_plain(value) for value in inner), key=repr)}
    if origin in _SEQUENCES:
        return {"list": either([of_annotation(part, depth - 1) for part in inner if part is not ...])}
    if origin in _SETS:
        return {"set": either([of_annotation(part, depth - 1) for part in inner])}
    if origin in _MAPPINGS:
        return {"dict": of_annotation(inner[1], depth - 1) if len(inner) > 1 else ANY}
    if origin in _WORDS:
        return _WORDS[origin]
    return _of_class(origin, depth)


def _of_class(kind: Any, depth: int) -> ValueType:
    if not isinstance(kind, type):
        return ANY if isinstance(kind, str) else _named(kind)
    if issubclass(kind, BaseMessage):
        return "message"
    fields = _fields(cast("type[Any]", kind))
    if fields is None:
        return _named(kind)
    return record({name: of_annotation(holds, depth - 1) for name, (holds, _) in fields.items()}, _required(fields))


def _fields(kind: type[Any]) -> dict[str, tuple[Any, bool]] | None:
    """The fields of a record class, each with its annotation and whether it must be there; `None` for other classes."""
    if issubclass(kind, BaseModel):
        return {name: (field.annotation, field.is_required()) for name, field in kind.model_fields.items()}
    if is_typeddict(kind):
        keys: Any = getattr(kind, "__required_keys__", ())
        return {name: (hint, _needed(hint, name in keys)) for name, hint in _hints(kind).items()}
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        missing = dataclasses.MISSING
        return {
            field.name: (hints.get(field.name, Any), field.default is missing and field.default_factory is missing)
            for field in dataclasses.fields(kind)
        }
    return None


def _needed(hint: Any, otherwise: bool) -> bool:
    """Whether a key must be there; marks in annotations that are text are seen only here."""
    mark = get_origin(hint)
    return otherwise if mark not in (Required, NotRequired) else mark is Required


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return get_type_hints(kind, include_extras=True)
    except (NameError, TypeError, AttributeError):  # names that only its author's module has
        return dict.fromkeys(getattr(kind, "__annotations__", {}), Any)


def _required(fields: Mapping[str, tuple[Any, bool]]) -> list[str]:
    return [name for name, (_, needed) in fields.items() if needed]


def _named(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', None) or type(kind).__qualname__}"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def record(fields: Mapping[str, ValueType], required: Sequence[str]) -> ValueType:
    """The type of a mapping with known fields."""
    return {"record": {"fields": dict(sorted(fields.items())), "required": sorted(required)}}


def either(options: Sequence[ValueType]) -> ValueType:
    """The type of what fits one of several types; of none, anything."""
    flat: list[ValueType] = []
    for option in options:
        inner = cast("list[ValueType]", option.get("either", [])) if isinstance(option, dict) else []
        flat += [part for part in (inner or [option]) if part not in flat]
    if not flat or ANY in flat:
        return ANY
    return flat[0] if len(flat) == 1 else {"either": sorted(flat, key=repr)}


def is_extended(before: ValueType, now: ValueType) -> bool:
    """Whether a type is an earlier one, at most with more values, or more fields that a record need not have."""
    if before == now or isinstance(before, str) or isinstance(now, str):
        return before == now
    ((kind, inner),), ((kind_now, inner_now),) = before.items(), now.items()
    if kind != kind_now:
        return False
    if kind == "one of":
        return all(value in inner_now for value in inner)
    if kind == "either":
        return len(inner) == len(inner_now) and all(any(is_extended(one, new) for new in inner_now) for one in inner)
    if kind != "record":
        return is_extended(inner, inner_now)
    if inner["required"] != inner_now["required"]:
        return False
    known = cast("dict[str, ValueType]", inner_now["fields"])
    fields = cast("dict[str, ValueType]", inner["fields"])
    return all(name in known and is_extended(held, known[name]) for name, held in fields.items())


_SCHEMA_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "nothing",
}


def of_schema(
    schema: Any, root: Mapping[str, Any] | None = None, depth: int = DEPTH, around: tuple[str, ...] = ()
) -> ValueType:
    """The value type of a JSON Schema.

    Args:
        schema: The schema, or a part of it.
        root: The whole schema that `$ref` looks into; `None` means `schema`.
        depth: How deep it is looked into.
        around: The references that led here; one that leads to itself is anything.
    """
    if not isinstance(schema, dict) or depth <= 0:
        return ANY
    rules = cast("dict[str, Any]", schema)
    root = rules if root is None else root
    reference = rules.get("$ref")
    if isinstance(reference, str):
        return ANY if reference in around else of_schema(_target(root, reference), root, depth, (*around, reference))
    for key in ("anyOf", "oneOf"):
        if isinstance(rules.get(key), list):
            return either([of_schema(option, root, depth, around) for option in rules[key]])
    if isinstance(rules.get("allOf"), list) and len(rules["allOf"]) == 1:
        return of_schema(rules["allOf"][0], root, depth, around)
    if "const" in rules or isinstance(rules.get("enum"), list):
        values = rules.get("enum") or [rules.get("const")]
        return {"one of": sorted((_plain(value) for value in values), key=repr)}
    kinds = rules.get("type")
    listed = cast("list[Any]", kinds) if isinstance(kinds, list) else [kinds]
    return either([_of_kind(kind, rules, root, depth, around) for kind in listed])


def _target(root: Mapping[str, Any], reference: str) -> Any:
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        target = cast("dict[str, Any]", target).get(part) if isinstance(target, dict) else None
    return target


def _of_kind(
    kind: Any, rules: Mapping[str, Any], root: Mapping[str, Any], depth: int, around: tuple[str, ...]
) -> ValueType:
    if kind == "array":
        return {"list": of_schema(rules.get("items"), root, depth - 1, around)}
    if kind == "object":
        properties = rules.get("properties")
        if not isinstance(properties, dict):
            return {"dict": of_schema(rules.get("additionalProperties"), root, depth - 1, around)}
        members = cast("dict[str, Any]", properties)
        holds = {name: of_schema(member, root, depth - 1, around) for name, member in members.items()}
        needed = cast("list[Any]", rules.get("required") or [])
        return record(holds, [str(name) for name in needed if name in members])
    return _SCHEMA_WORDS.get(str(kind), ANY)


def fits(value: Any, holds: ValueType) -> bool:
    """Whether a value is of a type; of a class that is only named, everything counts as being."""
    if isinstance(holds, str):
        check = _CHECKS.get(holds)
        return check is None or check(value)
    ((kind, inner),) = holds.items()
    if kind == "either":
        return any(fits(value, option) for option in inner)
    if kind == "one of":
        return _plain(value) in inner
    if kind == "dict":
        return isinstance(value, Mapping) and all(fits(item, inner) for item in cast("dict[Any, Any]", value).values())
    if kind == "record":
        return _fits_record(value, inner)
    # A checkpoint gives a tuple back as a list.
    items = isinstance(value, (list, tuple, set, frozenset))
    return items and all(fits(item, inner) for item in cast("list[Any]", value))


def _fits_record(value: Any, inner: Mapping[str, Any]) -> bool:
    if not isinstance(value, Mapping):
        return False
    fields, given = cast("dict[str, ValueType]", inner["fields"]), cast("Mapping[str, Any]", value)
    if any(name not in given for name in inner["required"]):
        return False
    return all(fits(item, fields[name]) for name, item in given.items() if name in fields)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "nothing": lambda value: value is None,
    "text": lambda value: isinstance(value, str),
    "true or false": lambda value: isinstance(value, bool),
    "number": _is_number,
    "whole number": lambda value: _is_number(value) and float(value).is_integer(),
    "bytes": lambda value: isinstance(value, (bytes, bytearray)),
    "message": lambda value: isinstance(value, BaseMessage),
}


_SAID = {
    ANY: "anything",
    "number": "a number",
    "whole number": "a whole number",
    "message": "a message",
}


def in_words(holds: ValueType) -> str:
    """A type for people, without the inside of records."""
    if isinstance(holds, str):
        return _SAID.get(holds, holds)
    ((kind, inner),) = holds.items()
    if kind == "either":
        return " or ".join(in_words(option) for option in inner)
    if kind == "one of":
        return f"one of {', '.join(map(repr, inner[:8]))}{', …' if len(inner) > 8 else ''}"
    if kind == "record":
        return f"a record of {', '.join(list(inner['fields'])[:6]) or 'nothing'}"
    of = "" if inner == ANY else f" of {in_words(inner)}"
    return f"a {kind}{of}"

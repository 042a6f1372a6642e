"""Schemas: those of an OpenAPI document as JSON Schema, shared parts kept below `$defs` and never copied.

Read are those of requests. A keyword that is unsound is left out, so that the service and not this module judges a
value. So are patterns that a long value could make take for ever, and the properties that only answers have.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from openmanus_graph.plans.json_schema import list_of, mapping_of
from openmanus_graph.tools.openapi.documents import BrokenReferenceError, Documents

Schema = dict[str, Any]
MOST_PARTS = 50_000
"""Parts of one schema, counted as they are written down."""
MOST_PARTS_OF_ALL = 2_000_000
"""Parts of all schemas of a document."""
DEEPEST = 60
"""Levels of one schema."""
LONGEST_TEXT = 1_000
"""Characters of a description that are kept."""

_KINDS = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_COUNTS = frozenset(
    {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"}
)
_ONE = frozenset({"items", "not", "contains", "if", "then", "else"})
_LISTS = {"allOf": "allOf", "anyOf": "anyOf", "oneOf": "anyOf", "prefixItems": "prefixItems"}
"""`oneOf` becomes `anyOf`: that a value fits two alternatives is nothing that anybody could mend."""
_WITHOUT_PARTS = frozenset({"properties", "enum", "const", "default"})
"""Keywords whose value is no schema; `properties` has them inside."""
_IN_PLACE = ("allOf", "anyOf", "not", "if", "then", "else")
_REPEATED = re.compile(r"\)[*+{]|[*+}][*+{]")
_REPEATS = re.compile(r"[*+{]")
_ODD = re.compile(r"[^A-Za-z0-9_.-]")


class Schemas:
    """The schemas of one document."""

    def __init__(self, documents: Documents, *, has_nullable: bool) -> None:
        """Start without any.

        Args:
            documents: Where references lead.
            has_nullable: Whether it is of OpenAPI 3.0, with `nullable` and without keywords beside `$ref`.
        """
        self._documents, self._has_nullable = documents, has_nullable
        self._names: dict[tuple[str, str], str] = {}
        self._waiting: list[tuple[str, Any, str]] = []
        self._left = MOST_PARTS_OF_ALL
        self._left_here = MOST_PARTS
        self.defs: dict[str, Schema] = {}
        """The shared ones by name."""
        self.broken: dict[str, str] = {}
        """Why one of them cannot be used, by itself or for one that it needs."""

    def converted(self, schema: Any, place: str) -> Schema:
        """A schema of the document as JSON Schema, whose `$ref`s lead to `defs` once `finish` was called.

        Args:
            schema: As it stands in the document.
            place: The file it stands in.

        Raises:
            BrokenReferenceError: If it refers to what is not there, or is too large.
        """
        self._left_here = MOST_PARTS
        return self._converted(schema, place, 0)

    def finish(self) -> None:
        """Convert what has been referred to, and find out what of it cannot be used."""
        while self._waiting:
            name, schema, place = self._waiting.pop()
            try:
                self.defs[name] = self.converted(schema, place)
            except BrokenReferenceError as error:
                self.broken[name], self.defs[name] = str(error), {}
        for name in _in_circles(self.defs):
            self.broken.setdefault(name, f"the schema {name!r} consists of itself")
        needing: dict[str, list[str]] = {}
        for name, schema in self.defs.items():
            for other in set(references_of(schema)):
                needing.setdefault(other, []).append(name)
        waiting = list(self.broken)
        while waiting:
            name = waiting.pop()
            for other in needing.get(name, ()):
                if other not in self.broken:
                    self.broken[other] = self.broken[name]
                    waiting.append(other)

    def problem_of(self, schema: Schema) -> str | None:
        """Why a schema cannot be used; `None` if it can."""
        return next((self.broken[name] for name in references_of(schema) if name in self.broken), None)

    def _converted(self, schema: Any, place: str, depth: int) -> Schema:
        self._left -= 1
        self._left_here -= 1
        if self._left < 0 or self._left_here < 0 or depth > DEEPEST:
            raise BrokenReferenceError("it has a schema that is too large or nested too deeply")
        if schema is False:
            return {"not": {}}
        given = mapping_of(schema)
        if "$ref" in given:
            made: Schema = {"$ref": f"#/$defs/{self._name_of(given['$ref'], place)}"}
            beside = {key: value for key, value in given.items() if key != "$ref"}
            if self._has_nullable:
                beside = {key: beside[key] for key in ("description", "nullable") if key in beside}
            made |= self._keywords(beside, place, depth)
        else:
            made = self._keywords(given, place, depth)
        return _nullable(made) if self._has_nullable and given.get("nullable") is True else made

    def _name_of(self, reference: Any, place: str) -> str:
        """The name below `$defs` of what a reference leads to."""
        found = self._documents.find(reference, place)
        key = (found.place, found.pointer)
        if key not in self._names:
            last = found.pointer.rpartition("/")[2] or found.place.rpartition("/")[2].partition(".")[0]
            plain = _ODD.sub("_", last)[:80] or "schema"
            name, number = plain, 2
            while name in self.defs:
                name, number = f"{plain}_{number}", number + 1
            self._names[key], self.defs[name] = name, {}
            self._waiting.append((name, found.value, found.place))
        return self._names[key]

    def _keywords(self, given: Mapping[str, Any], place: str, depth: int) -> Schema:
        made: Schema = {}
        inside: Callable[[Any], Schema] = lambda part: self._converted(part, place, depth + 1)  # noqa: E731
        for key, value in given.items():
            if key in _ONE:
                if isinstance(value, dict | bool):
                    made[key] = inside(value)
            elif key in _LISTS:
                if parts := list_of(value):
                    made.setdefault(_LISTS[key], []).extend(map(inside, parts))
            elif key == "properties":
                sent = {str(name): part for name, part in mapping_of(value).items() if not _only_answered(part)}
                made["properties"] = {name: inside(part) for name, part in sent.items()}
            elif key == "additionalProperties":
                made[key] = value if isinstance(value, bool) else inside(value)
            elif (sound := _sound(key, value)) is not None:
                made[key] = sound[0]
        return self._joined(made, given)

    def _joined(self, made: Schema, given: Mapping[str, Any]) -> Schema:
        """The keywords that depend on one another."""
        answered = {name for name, part in mapping_of(given.get("properties")).items() if _only_answered(part)}
        if "required" in made:
            made["required"] = [name for name in made["required"] if name not in answered]
        for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
            if given.get(exclusive) is True and plain in made:
                made[exclusive] = made.pop(plain)
        if given.get("patternProperties") and "additionalProperties" in made:
            del made["additionalProperties"]
        if given.get("contentMediaType") == "application/octet-stream" and "contentEncoding" not in given:
            made["format"] = "binary"
        return made


def _only_answered(schema: Any) -> bool:
    return mapping_of(schema).get("readOnly") is True


def _sound(key: str, value: Any) -> tuple[Any] | None:
    """The value of a keyword without parts, if it is one."""
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if key == "type":
        return _kinds(value)
    if key == "required":
        names = [name for name in list_of(value) if isinstance(name, str)]
        return (list(dict.fromkeys(names)),) if names else None
    if key == "description":
        return (value[:LONGEST_TEXT],) if isinstance(value, str) else None
    if key in _COUNTS:
        return (int(number),) if number is not None and number >= 0 and number.is_integer() else None
    is_sound: dict[str, bool] = {
        "enum": bool(list_of(value)),
        "const": True,
        "default": True,
        "format": isinstance(value, str),
        "pattern": isinstance(value, str) and key == "pattern" and _is_quick(value),
        "uniqueItems": isinstance(value, bool),
        "multipleOf": number is not None and number > 0,
        **dict.fromkeys(_NUMBERS, number is not None),
    }
    return (value,) if is_sound.get(key) else None


def _kinds(value: Any) -> tuple[Any] | None:
    if value == "file":
        return ("string",)
    if isinstance(value, str):
        return (value,) if value in _KINDS else None
    kinds = [kind for kind in list_of(value) if isinstance(kind, str) and kind in _KINDS]
    return (list(dict.fromkeys(kinds)),) if kinds else None


def _is_quick(pattern: str) -> bool:
    """Whether a pattern is one, and takes no longer than its value is long, as far as that can be seen."""
    if len(pattern) > 200 or _REPEATED.search(pattern) or len(_REPEATS.findall(pattern)) > 3:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what Python may read in another way one day
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError, Warning):
            return False
    return True


def _nullable(schema: Schema) -> Schema:
    """The schema, or null."""
    if "enum" in schema and None not in schema["enum"]:
        schema = {**schema, "enum": [*schema["enum"], None]}
    if "type" in schema:
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return {**schema, "type": list(dict.fromkeys([*kinds, "null"]))}
    if any(key in schema for key in ("$ref", "allOf", "anyOf", "not")):
        told = {"description": schema.pop("description")} if "description" in schema else {}
        return {"anyOf": [schema, {"type": "null"}], **told}
    return schema


def needed(schema: Any, defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """The shared schemas that one refers to, also through others.

    Args:
        schema: The schema.
        defs: All shared schemas.
    """
    found: dict[str, Schema] = {}
    waiting: list[Any] = [schema]
    while waiting:
        for name in references_of(waiting.pop()):
            if name not in found and name in defs:
                found[name] = defs[name]
                waiting.append(defs[name])
    return found


def references_of(schema: Any) -> Iterator[str]:
    """The names that a schema refers to below `$defs`."""
    waiting: list[Any] = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            fields = cast("Schema", part)
            reference = fields.get("$ref")
            if isinstance(reference, str):
                yield reference.removeprefix("#/$defs/")
            waiting += mapping_of(fields.get("properties")).values()
            waiting += [value for key, value in fields.items() if key not in _WITHOUT_PARTS]
        elif isinstance(part, list):
            waiting += cast("list[Any]", part)


def _in_place(schema: Any) -> Iterator[str]:
    """The names that a schema applies to the very value that it is applied to."""
    waiting: list[Any] = [schema]
    while waiting:
        part = mapping_of(waiting.pop())
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].removeprefix("#/$defs/")
        for key in _IN_PLACE:
            if key in part:
                waiting += list_of(part[key]) or [part[key]]


def _in_circles(defs: Mapping[str, Schema]) -> set[str]:
    """The schemas that apply themselves to the value they are applied to, which no check of it would end for."""
    leads = {name: set(_in_place(schema)) & defs.keys() for name, schema in defs.items()}
    led_from: dict[str, list[str]] = {}
    for name, others in leads.items():
        for other in others:
            led_from.setdefault(other, []).append(name)
    left = {name: len(others) for name, others in leads.items()}
    waiting = [name for name, count in left.items() if not count]
    while waiting:
        done = waiting.pop()
        del left[done]
        for name in led_from.get(done, ()):
            left[name] -= 1
            if not left[name]:
                waiting.append(name)
    return set(left)

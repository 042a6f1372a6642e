"""View: operations as models read them, in as few words as a call needs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.plans.json_schema import list_of, mapping_of
from openmanus_graph.tools.openapi.operation import Operation
from openmanus_graph.tools.openapi.schemas import Schema, needed

WORDS = 80
"""Characters of a description, of which the first sentence is shown."""
OPTIONS = 20
"""Values of an enumeration that are shown."""
MOST_CHARACTERS = 12_000
"""Characters of a schema; of a larger one the arguments that are required are shown, and the names of the rest."""
_SHOWN = (
    "type",
    "$ref",
    "format",
    "minimum",
    "maximum",
    "default",
    "description",
    "enum",
    "const",
    "required",
)
_LISTS = ("anyOf", "allOf")
_SENTENCE = re.compile(r"(?<=[.!?])\s|\n")
_MARKUP = re.compile(r"<[^<>]{1,100}>|\[([^\[\]]*)\]\([^()]*\)")


def line_of(operation: Operation) -> str:
    """An operation in a line: name, method, path, and what it does."""
    old = " (deprecated)" if operation.deprecated else ""
    summary = f": {first_words(operation.summary, 120)}" if operation.summary else ""
    return f"{operation.name}  {operation.method} {operation.path}{old}{summary}"


def first_words(text: str, most: int = WORDS) -> str:
    """The first sentence of a text, without markup."""
    plain = " ".join(_MARKUP.sub(lambda found: found[1] or "", text[:2_000]).split())
    first = _SENTENCE.split(plain, maxsplit=1)[0].removesuffix(".")
    return first if len(first) <= most else f"{first[: most - 1].rsplit(' ', 1)[0]}…"


def shown(schema: Schema) -> Schema:
    """A schema without what is of no use to write a value: patterns, bounds of lengths, long texts."""
    made: Schema = {key: schema[key] for key in _SHOWN if key in schema}
    if "description" in made:
        made["description"] = first_words(str(made["description"]))
        if not made["description"]:
            del made["description"]
    if "enum" in made and len(made["enum"]) > OPTIONS:
        made["description"] = f"{made.get('description', '')} One of {len(made['enum'])} words.".strip()
        made["enum"] = made["enum"][:OPTIONS]
        del made["enum"]
    if len(json.dumps(made.get("default"))) > WORDS:
        del made["default"]
    properties = mapping_of(schema.get("properties"))
    if properties:
        made["properties"] = {name: shown(mapping_of(part)) for name, part in properties.items()}
    for key in _LISTS:
        if parts := list_of(schema.get(key)):
            made[key] = [shown(mapping_of(part)) for part in parts]
    if isinstance(schema.get("items"), dict):
        made["items"] = shown(cast("Schema", schema["items"]))
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = shown(cast("Schema", schema["additionalProperties"]))
    return made


def whole_arguments(operation: Operation, defs: Mapping[str, Schema]) -> Schema:
    """The arguments of an operation as a schema with all that it refers to, however large."""
    return _with_defs({**shown(operation.schema), "additionalProperties": False}, defs)


def is_large(schema: Schema) -> bool:
    """Whether a schema is cut before it is shown."""
    return len(json.dumps(schema)) > MOST_CHARACTERS


def shown_arguments(operation: Operation, defs: Mapping[str, Schema]) -> Schema:
    """The arguments of an operation as a schema with all that it refers to; a large one is cut.

    Args:
        operation: The operation.
        defs: The shared schemas of its document.
    """
    schema = shown(operation.schema)
    whole = whole_arguments(operation, defs)
    if not is_large(whole):
        return whole
    properties, required = mapping_of(schema.get("properties")), list_of(schema.get("required"))
    bare: Schema = {name: _bare(part) for name, part in properties.items() if name not in required}
    kept = {name: part for name, part in properties.items() if name in required}
    cut = _with_defs({**schema, "properties": {**kept, **bare}, "additionalProperties": False}, defs)
    if not is_large(cut):
        return cut
    names = {name: _bare(part) for name, part in properties.items()}
    return {**schema, "properties": names, "additionalProperties": False}


def _bare(part: Any) -> Schema:
    """An argument of which only the kind is told."""
    kind = mapping_of(part).get("type")
    return {} if kind is None else {"type": kind}


def _with_defs(schema: Schema, defs: Mapping[str, Schema]) -> Schema:
    found = {name: shown(part) for name, part in needed(schema, defs).items()}
    return {**schema, "$defs": found} if found else schema


def text_of(operation: Operation, defs: Mapping[str, Schema]) -> str:
    """An operation with its arguments."""
    more = first_words(operation.description, 300)
    said = f"\n{more}" if more and more != first_words(operation.summary, 300) else ""
    arguments = json.dumps(shown_arguments(operation, defs), ensure_ascii=False, separators=(",", ":"))
    return f"{line_of(operation)}{said}\narguments: {arguments}"

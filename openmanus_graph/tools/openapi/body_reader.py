"""Body reader: how the body of an operation is written, and which arguments hold it.

The members of a body that is a mapping are arguments themselves; any other body is one argument, `body`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openmanus_graph.plans.json_schema import list_of, mapping_of
from openmanus_graph.tools.openapi.arguments import Arguments
from openmanus_graph.tools.openapi.documents import BrokenReferenceError, Documents
from openmanus_graph.tools.openapi.operation import Body, BodyKind
from openmanus_graph.tools.openapi.schemas import Schema, Schemas

A_FILE = "Path of a file of the workspace, which is sent."
_DEEPEST = 10
_ALTERNATIVES = ("anyOf", "oneOf", "not", "if", "patternProperties")


def read_body(given: Any, place: str, arguments: Arguments, documents: Documents, schemas: Schemas) -> Body | None:
    """The body of an operation, whose arguments are added; `None` if it has none that is described.

    Args:
        given: The `requestBody` as it stands in the document.
        place: The file it stands in.
        arguments: Those of the operation.
        documents: Where references lead.
        schemas: Those of the document.

    Raises:
        BrokenReferenceError: If it refers to what is not there.
    """
    found = documents.end_of(given, place)
    fields = mapping_of(found.value)
    chosen = _chosen(mapping_of(fields.get("content")))
    if chosen is None:
        return None
    kind, media, described = chosen
    required = fields.get("required") is True
    if kind in ("json", "form", "multipart"):
        members = _Members(documents, schemas)
        if members.collect(described.get("schema"), found.place):
            return _of_members(kind, media, members, described, arguments, required=required)
    schema: Schema = {"type": "string"}
    if kind in ("json", "form", "multipart"):
        schema = schemas.converted(described.get("schema", {}), found.place)
    said = A_FILE if kind == "file" else fields.get("description")
    argument = arguments.add("body", "request", schema, required=required, description=said)
    return Body(kind, media, argument=argument, encodings=_encodings(described))


def _of_members(
    kind: BodyKind,
    media: str,
    members: _Members,
    described: Mapping[str, Any],
    arguments: Arguments,
    *,
    required: bool,
) -> Body:
    """A body whose members are arguments."""
    named: dict[str, str] = {}
    files: list[str] = []
    for name, schema in members.schemas.items():
        is_file = kind == "multipart" and _is_file(schema)
        files += [name] if is_file else []
        shown = _path_schema(schema) if is_file else schema
        argument = arguments.add(name, "body", shown, required=required and name in members.required)
        named[argument] = name
    if not required:
        needed = [argument for argument, name in named.items() if name in members.required]
        arguments.need_together(list(named), needed)
    return Body(kind, media, members=named, files=tuple(files), encodings=_encodings(described))


def _path_schema(schema: Schema) -> Schema:
    """The schema of the argument that a file is given by."""
    told = " ".join(part for part in (str(schema.get("description") or ""), A_FILE) if part)
    one: Schema = {"type": "string"}
    return {**({"type": "array", "items": one} if schema.get("type") == "array" else one), "description": told}


class _Members:
    """The members of a schema that is a mapping, also where it is made of several."""

    def __init__(self, documents: Documents, schemas: Schemas) -> None:
        self._documents, self._of = documents, schemas
        self.schemas: dict[str, Schema] = {}
        self.required: list[str] = []

    def collect(self, given: Any, place: str, depth: int = 0) -> bool:
        """Whether it is one of fixed members, which are collected."""
        found = self._documents.end_of(given, place)
        fields = mapping_of(found.value)
        parts = list_of(fields.get("allOf"))
        properties = mapping_of(fields.get("properties"))
        others = fields.get("additionalProperties")
        is_open = others is True or isinstance(others, dict)
        if depth > _DEEPEST or is_open or any(key in fields for key in _ALTERNATIVES) or not (properties or parts):
            return False
        if fields.get("type", "object") not in ("object", ["object"]):
            return False
        if not all(self.collect(part, found.place, depth + 1) for part in parts):
            return False
        sent = {name: part for name, part in properties.items() if mapping_of(part).get("readOnly") is not True}
        for name, part in sent.items():
            self.schemas[str(name)] = self._member(part, found.place)
        self.required += [name for name in list_of(fields.get("required")) if name in self.schemas]
        return True

    def _member(self, given: Any, place: str) -> Schema:
        """The schema of a member; one that is text is taken in place of a reference to it, as it may be a file."""
        try:
            end = self._documents.end_of(given, place)
        except BrokenReferenceError:
            end = None
        if end is not None and mapping_of(end.value).get("type") == "string":
            return self._of.converted(end.value, end.place)
        return self._of.converted(given, place)


def _is_file(schema: Schema) -> bool:
    items = mapping_of(schema.get("items")) if schema.get("type") == "array" else schema
    return items.get("format") == "binary"


def _chosen(content: Mapping[str, Any]) -> tuple[BodyKind, str, dict[str, Any]] | None:
    """The media type that is written best, what it is, and its description."""
    ranked: list[tuple[int, BodyKind, str, dict[str, Any]]] = []
    for media, described in content.items():
        plain = media.partition(";")[0].strip().lower()
        rank, kind = _kind(plain)
        sent = "application/json" if plain in ("*/*", "application/*") and kind == "json" else plain
        ranked.append((rank, kind, sent, mapping_of(described)))
    if not ranked:
        return None
    _, kind, media, described = min(ranked, key=lambda one: one[0])
    return kind, media, described


def _kind(media: str) -> tuple[int, BodyKind]:
    """How good a media type is, from 0, and how its body is written."""
    if media == "application/json":
        return 0, "json"
    if media.endswith(("+json", "/json")):
        return 1, "json"
    if media in ("*/*", "application/*"):
        return 2, "json"
    if media == "application/x-www-form-urlencoded":
        return 3, "form"
    if media == "multipart/form-data":
        return 4, "multipart"
    if media.startswith("text/") or media.endswith(("xml", "yaml", "ndjson", "graphql", "javascript")):
        return 5, "text"
    return 6, "file"


def _encodings(described: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    stated = mapping_of(described.get("encoding"))
    return {
        str(name): {key: fields[key] for key in ("contentType", "style", "explode") if key in fields}
        for name, one in stated.items()
        if (fields := mapping_of(one))
    }

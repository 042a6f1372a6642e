"""Operation: one operation of a service as plain data, with what is needed to check and send a call of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from openmanus_graph.tools.web.request import READING

Place = Literal["path", "query", "header", "cookie"]
BodyKind = Literal["json", "form", "multipart", "text", "file"]
ALL_PAGES = "all_pages"
"""The argument that asks for all pages of a list."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation."""

    argument: str
    """The argument that has its value."""
    name: str
    """Its name at the service."""
    place: Place
    """Where it is sent."""
    style: str
    """How lists and mappings are written: `simple`, `label`, `matrix`, `form`, `spaceDelimited`, `pipeDelimited` or
    `deepObject`."""
    explode: bool
    """Whether each item and member is written by itself."""
    reserved: bool = False
    """Whether reserved characters of a query stay as they are."""
    as_json: bool = False
    """Whether the value is written as JSON."""


@dataclass(frozen=True)
class Body:
    """The body of an operation's request."""

    kind: BodyKind
    """How it is written."""
    media: str
    """Its media type."""
    argument: str | None = None
    """The argument that has the whole of it; `None` where `members` have its parts."""
    members: dict[str, str] = field(default_factory=dict[str, str])
    """The part that each argument has."""
    files: tuple[str, ...] = ()
    """The parts that are files of the workspace."""
    encodings: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """`contentType`, `style` and `explode` of parts, where they are stated."""


@dataclass(frozen=True)
class Operation:
    """An operation."""

    name: str
    """What it is called by: the document's `operationId` in plain characters, one of a kind."""
    method: str
    """The HTTP method, in capital letters."""
    path: str
    """The path with its parameters in braces."""
    server: str | None
    """The address before the path; `None` where the document has none."""
    summary: str
    """What it does, in a line."""
    description: str
    """The same at length."""
    tags: tuple[str, ...]
    """The groups that it belongs to."""
    parameters: tuple[Parameter, ...]
    """Its parameters."""
    body: Body | None
    """Its body."""
    schema: dict[str, Any]
    """JSON Schema of its arguments; what it refers to is below `$defs` of the whole document."""
    is_list: bool = False
    """Whether it has parameters that ask for a page of a list."""
    deprecated: bool = False
    """Whether it should not be used any more."""

    @property
    def reads(self) -> bool:
        """Whether a call of it only reads."""
        return self.method in READING

    def to_dict(self) -> dict[str, Any]:
        """The operation in built-in types; `from_dict` takes it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Operation:
        """Take back what `to_dict` gave."""
        body: dict[str, Any] | None = given["body"]
        fields: dict[str, Any] = {
            **given,
            "tags": tuple(given["tags"]),
            "parameters": tuple(Parameter(**one) for one in given["parameters"]),
        }
        if body is not None:
            body["files"] = tuple(body["files"])
            fields["body"] = Body(**body)
        return cls(**fields)

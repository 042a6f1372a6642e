"""Reader: the operations of an OpenAPI document; a broken one costs itself and a line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

from openmanus_graph.errors import ToolError
from openmanus_graph.plans.json_schema import list_of, mapping_of
from openmanus_graph.tools.openapi.arguments import Arguments
from openmanus_graph.tools.openapi.body_reader import read_body
from openmanus_graph.tools.openapi.documents import BrokenReferenceError, Documents, is_address
from openmanus_graph.tools.openapi.operation import Operation, Parameter, Place
from openmanus_graph.tools.openapi.paging import PARAMETERS
from openmanus_graph.tools.openapi.schemas import Schemas
from openmanus_graph.tools.web.request import OURS, READING

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MOST_OPERATIONS = 10_000
"""Operations that are read; what comes after them is left out, and that is said."""
MOST_PROBLEMS = 100
"""Problems that are told."""
LONGEST_NAME, LONGEST_SUMMARY, LONGEST_DESCRIPTION = 100, 200, 2_000
"""Characters of what is kept of an operation."""

_ODD = re.compile(r"[^A-Za-z0-9_-]+")
_TEMPLATE = re.compile(r"\{([^{}]+)\}")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATED_ELSEWHERE = frozenset({"accept", "content-type", "authorization"}) | OURS
_STYLES: dict[Place, tuple[str, ...]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""The styles of each place, the first of them where none is stated."""


class Reader:
    """Reads the operations of one document."""

    def __init__(self, documents: Documents) -> None:
        """Read the first file.

        Raises:
            ToolError: If it cannot be read, or is no OpenAPI document of version 3.
        """
        self._documents = documents
        self._root = mapping_of(documents.load(documents.root))
        version = self._root.get("openapi")
        if not isinstance(version, str) or not version.startswith("3."):
            other = self._root.get("swagger", version)
            raise ToolError(
                f"The document {documents.root!r} is not of OpenAPI 3, its version is {other!r}.",
                hint="Convert it first, or take a newer one of the service.",
            )
        self.schemas = Schemas(documents, has_nullable=version.startswith("3.0"))
        """Its schemas."""
        self.operations: dict[str, Operation] = {}
        """Its operations by name."""
        self.problems: list[str] = []
        """What of it cannot be used, in sentences."""

    def read(self) -> None:
        """Read all operations."""
        places: dict[str, str] = {}
        found = mapping_of(self._root.get("paths")).items()
        for path, method, operation in ((name, *one) for name, item in found for one in self._of_path(name, item)):
            if len(self.operations) >= MOST_OPERATIONS:
                self._tell(f"Of its operations, those after the first {MOST_OPERATIONS:,} are left out.")
                break
            self.operations[operation.name] = operation
            places[operation.name] = f"{method.upper()} {path}"
        self.schemas.finish()
        for name, operation in list(self.operations.items()):
            if (why := self.schemas.problem_of(operation.schema)) is not None:
                del self.operations[name]
                self._tell(f"{places[name]} cannot be used: {why}.")

    def _tell(self, problem: str) -> None:
        if len(self.problems) == MOST_PROBLEMS:
            self.problems.append("There are more problems, which are not told.")
        elif len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def _of_path(self, path: str, given: Any) -> Iterator[tuple[str, Operation]]:
        if not path.startswith("/"):
            if not path.startswith("x-"):
                self._tell(f"The path {path!r} cannot be used: it does not begin with '/'.")
            return
        try:
            found = self._documents.end_of(given, self._documents.root)
            item = _mapping(found.value)
        except BrokenReferenceError as error:
            self._tell(f"The path {path!r} cannot be used: {error}.")
            return
        for method in METHODS:
            if method in item:
                try:
                    yield method, self._operation(path, method, item, found.place)
                except BrokenReferenceError as error:
                    self._tell(f"{method.upper()} {path} cannot be used: {error}.")

    def _operation(self, path: str, method: str, item: Mapping[str, Any], place: str) -> Operation:
        if method == "trace":
            raise BrokenReferenceError("its method is not sent")
        found = self._documents.end_of(item[method], place)
        stated, arguments = _mapping(found.value), Arguments()
        given = [(one, place) for one in list_of(item.get("parameters"))]
        given += [(one, found.place) for one in list_of(stated.get("parameters"))]
        parameters = self._parameters(path, given)
        made = tuple(self._parameter(one, where, arguments) for one, where in parameters)
        reads = method.upper() in READING
        body = None
        if not reads and stated.get("requestBody") is not None:
            body = read_body(stated["requestBody"], found.place, arguments, self._documents, self.schemas)
        description = _text(stated.get("description"), LONGEST_DESCRIPTION)
        own = next((list_of(level.get("servers")) for level in (stated, item) if level.get("servers")), None)
        return Operation(
            name=self._name(stated.get("operationId"), method, path),
            method=method.upper(),
            path=path,
            server=self._server(list_of(self._root.get("servers")) if own is None else own, place),
            summary=_text(stated.get("summary"), LONGEST_SUMMARY) or _first_sentence(description),
            description=description,
            tags=tuple(str(tag)[:80] for tag in list_of(stated.get("tags"))[:10]),
            parameters=made,
            body=body,
            schema=arguments.schema,
            is_list=reads and any(one.name.lower() in PARAMETERS for one in made if one.place == "query"),
            deprecated=stated.get("deprecated") is True,
        )

    def _name(self, stated: Any, method: str, path: str) -> str:
        """A name of plain characters that no other operation has."""
        made = method + _TEMPLATE.sub(r"by \1", path)
        words = stated if isinstance(stated, str) and stated.strip() else made
        name = _ODD.sub("_", words).strip("_")[:LONGEST_NAME] or method
        if name in self.operations:
            name = f"{name}_{hashlib.sha256(f'{method} {path}'.encode()).hexdigest()[:8]}"
        return name

    def _parameters(self, path: str, given: list[tuple[Any, str]]) -> list[tuple[dict[str, Any], str]]:
        """The parameters that are sent, those of the path first; of two that are the same the last one."""
        found: dict[tuple[str, str], tuple[dict[str, Any], str]] = {}
        for one, place in given:
            end = self._documents.end_of(one, place)
            fields = mapping_of(end.value)
            name, where = fields.get("name"), fields.get("in")
            if not isinstance(name, str) or not name or where not in _STYLES:
                raise BrokenReferenceError(f"it has the parameter {name!r} in {where!r}")
            if where == "header" and (name.lower() in _STATED_ELSEWHERE or not _FIELD.fullmatch(name)):
                continue
            found[where, name] = (fields, end.place)
        named = _TEMPLATE.findall(path)
        for name in named:
            found.setdefault(("path", name), ({"name": name, "in": "path", "schema": {"type": "string"}}, ""))
        order = list(_STYLES)
        kept = [(key, value) for key, value in found.items() if key[0] != "path" or key[1] in named]
        return [value for _, value in sorted(kept, key=lambda pair: order.index(cast("Place", pair[0][0])))]

    def _parameter(self, fields: Mapping[str, Any], place: str, arguments: Arguments) -> Parameter:
        where = cast("Place", fields["in"])
        schema, as_json = fields.get("schema"), False
        if schema is None:
            for media, described in list(mapping_of(fields.get("content")).items())[:1]:
                schema, as_json = mapping_of(described).get("schema"), "json" in media
        stated = fields.get("style")
        style = str(stated) if stated in _STYLES[where] else _STYLES[where][0]
        explode = fields.get("explode")
        argument = arguments.add(
            str(fields["name"]),
            where,
            self.schemas.converted({} if schema is None else schema, place),
            required=where == "path" or fields.get("required") is True,
            description=fields.get("description"),
        )
        return Parameter(
            argument=argument,
            name=str(fields["name"]),
            place=where,
            style=style,
            explode=explode if isinstance(explode, bool) else style == "form",
            reserved=where == "query" and fields.get("allowReserved") is True,
            as_json=as_json,
        )

    def _server(self, servers: list[Any], place: str) -> str | None:
        """The first address that can be asked, with the defaults of its variables."""
        base = self._documents.root if is_address(self._documents.root) else None
        for given in servers or [{"url": "/"}]:
            fields = mapping_of(given)
            variables = mapping_of(fields.get("variables"))
            url = _TEMPLATE.sub(
                lambda found, known=variables: str(mapping_of(known.get(found[1])).get("default", found[0])),
                str(fields.get("url") or "/"),
            )
            address = server_address(urljoin(base or (place if is_address(place) else ""), url))
            if address is not None:
                return address
        return None


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BrokenReferenceError("it is no mapping")
    return cast("dict[str, Any]", value)


def server_address(url: str) -> str | None:
    """An address to which paths are added; `None` if it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or "@" in parts.netloc or "{" in url:
        return None
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path.rstrip('/')}"


def _text(value: Any, most: int) -> str:
    return " ".join(value[: 4 * most].split())[:most] if isinstance(value, str) else ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0][:LONGEST_SUMMARY]

"""Serialization: values of parameters and forms as text, in the styles of OpenAPI.

Every character that is not plain is percent-encoded, so that a value never becomes a part of its own: no `/` of a path,
no `&` of a query.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote, unquote

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.tools.openapi.operation import Parameter

_RESERVED = ":/?@!$'()*,;="
"""Reserved characters that a query may have as they are, but for those that end a value."""
_DELIMITERS = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}
_BETWEEN = {"simple": ",", "label": ".", "matrix": ";"}
_UP = re.compile(r"[/\\]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def text_of(value: Any) -> str:
    """One value without its encoding."""
    return value if isinstance(value, str) else json_of(value)


def json_of(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encoded(value: Any, *, safe: str = "") -> str:
    """One value, percent-encoded."""
    return quote(text_of(value), safe=safe, errors="replace")


def path_value(parameter: Parameter, value: Any) -> str:
    """What stands in a path in place of the parameter.

    Raises:
        ToolArgumentsError: If it is empty, or holds what no path has.
    """
    text = _path_text(parameter, value)
    if not text or _CONTROL.search(unquote(text)):
        raise ToolArgumentsError(f"The argument {parameter.argument!r} cannot be {value!r} in a path.")
    return text


def leads_up(path: str) -> bool:
    """Whether a path holds `.` or `..`, also where a server takes encoded characters for what they stand for."""
    return any(piece.partition(";")[0] in (".", "..") for piece in _UP.split(unquote(path)))


def _path_text(parameter: Parameter, value: Any) -> str:
    if parameter.as_json:
        return encoded(json_of(value))
    name, style, between = encoded(parameter.name), parameter.style, _BETWEEN.get(parameter.style, ",")
    first = "" if style == "simple" else between
    if isinstance(value, dict):
        pairs = [(encoded(key), encoded(item)) for key, item in cast("dict[str, Any]", value).items()]
        if parameter.explode:
            return first + between.join(f"{key}={item}" for key, item in pairs)
        whole = ",".join(f"{key},{item}" for key, item in pairs)
    elif isinstance(value, list):
        items = [encoded(item) for item in cast("list[Any]", value)]
        if not items:
            return ""
        if parameter.explode and style == "matrix":
            return "".join(f";{name}={item}" for item in items)
        whole = (between if parameter.explode else ",").join(items)
    else:
        whole = "" if value is None else encoded(value)
    if not whole:
        return ""
    return f";{name}={whole}" if style == "matrix" else first + whole


def query_parts(parameter: Parameter, value: Any) -> list[str]:
    """The parts of a query, `name=value`, that a parameter has; also of a form, and of cookies."""
    safe = _RESERVED if parameter.reserved else ""
    name = encoded(parameter.name)
    if parameter.as_json:
        return [f"{name}={encoded(json_of(value), safe=safe)}"]
    if value is None:
        return []
    if parameter.style == "deepObject":
        return [f"{key}={encoded(item, safe=safe)}" for key, item in _deep(name, value)]
    if isinstance(value, list):
        items = [encoded(item, safe=safe) for item in cast("list[Any]", value)]
        if parameter.explode and parameter.style == "form":
            return [f"{name}={item}" for item in items]
        return [f"{name}={_DELIMITERS.get(parameter.style, ',').join(items)}"]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        pairs = [(encoded(key), encoded(item, safe=safe)) for key, item in fields.items() if item is not None]
        if parameter.explode and parameter.style == "form":
            return [f"{key}={item}" for key, item in pairs]
        between = _DELIMITERS.get(parameter.style, ",")
        return [f"{name}={between.join(part for pair in pairs for part in pair)}"]
    return [f"{name}={encoded(value, safe=safe)}"]


def _deep(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a value by their encoded names in brackets, items of lists by their numbers."""
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _deep(f"{name}[{quote(key, safe='')}]", item)
    elif isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            yield from _deep(f"{name}[{number}]", item)
    elif value is not None:
        yield name, value


def header_value(parameter: Parameter, value: Any) -> str:
    """The value of a header field."""
    if parameter.as_json:
        return json.dumps(value)
    if isinstance(value, list):
        return ",".join(text_of(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        if parameter.explode:
            return ",".join(f"{key}={text_of(item)}" for key, item in pairs)
        return ",".join(f"{key},{text_of(item)}" for key, item in pairs)
    return text_of(value)

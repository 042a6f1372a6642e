"""Input schema: turns a task in words, or JSON, into the input of a user's graph."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from langchain_core.messages import HumanMessage
from langgraph.pregel import Pregel
from pydantic import BaseModel, ValidationError

from openmanus_graph.errors import UsageError


def input_of(graph: Pregel[Any, Any, Any, Any], task: str) -> Any:
    """A task as the graph's input.

    Its schema decides: `messages` takes it as a person's message, `task` as it is, else the only string field; a
    graph whose whole input is a string takes it as that.

    Args:
        graph: The compiled graph.
        task: What was asked, in words.

    Raises:
        UsageError: If it is not clear where the task belongs; the message names the fields.
    """
    fields, required, whole = input_fields(graph)
    if "messages" in fields:
        return {"messages": [HumanMessage(task)]}
    if "task" in fields:
        return {"task": task}
    if not fields and whole in ("string", "any"):
        return task
    strings = [name for name, kind in fields.items() if kind == "string"]
    for names in ([name for name in strings if name in required], strings):
        if len(names) == 1:
            return {names[0]: task}
    example = {name: "…" if kind == "string" else kind for name, kind in fields.items()}
    what = ", ".join(f"{name!r} ({kind})" for name, kind in fields.items()) or f"the type {whole}"
    raise UsageError(
        f"The graph does not say where a task belongs: its input has {what}.",
        hint=f"Give it whole: --input '{json.dumps(example, ensure_ascii=False)}'",
    )


def read_input(text: str) -> Any:
    """The input that `--input` gives: JSON, or `@FILE` with JSON in it.

    Raises:
        UsageError: If it cannot be read, or is no JSON.
    """
    source = "--input"
    if text.startswith("@"):
        source = text.removeprefix("@")
        try:
            text = Path(source).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The input {source!r} cannot be read: {error}.", hint="Check the path.") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"The input of {source!r} is no JSON: {error}.", hint='It looks like --input \'{"task": "…"}\''
        ) from error


def check_input(graph: Pregel[Any, Any, Any, Any], given: Any) -> None:
    """Raise before anything is written if an input cannot be this graph's.

    LangGraph itself drops unknown fields in silence, and finds out about a model's own rules in the first node.

    Raises:
        UsageError: If it is no object where the graph takes fields, has none or unknown ones, or the schema refuses it.
    """
    fields, _, _ = input_fields(graph)
    if not fields:
        return
    known = ", ".join(repr(name) for name in fields)
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"The graph's input must be an object with some of {known}, but is {given!r}.")
    for name in cast("Mapping[str, Any]", given):
        if name not in fields:
            near = get_close_matches(name, list(fields), 1)
            hint = f"Did you mean {near[0]!r}?" if near else None
            raise UsageError(f"The graph's input has no {name!r}; it has {known}.", hint=hint)
    schema = getattr(getattr(graph, "builder", None), "input_schema", None)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            schema.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"The graph's input does not fit: {name!r}: {first['msg'].lower()}.") from error


def title_of(given: Any) -> str:
    """The title of a thread with this input, one line."""
    if isinstance(given, str):
        return given.strip().split("\n")[0][:120]
    if not isinstance(given, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", given)
    messages = fields.get("messages")
    if isinstance(messages, list) and messages:
        last = cast("Any", messages[-1])
        content = last.get("content") if isinstance(last, dict) else getattr(last, "content", last)
        return title_of(content if isinstance(content, str) else "")
    texts = [value for value in (fields.get("task"), *fields.values()) if isinstance(value, str)]
    return title_of(texts[0]) if texts else ""


def input_fields(graph: Pregel[Any, Any, Any, Any]) -> tuple[dict[str, str], Collection[str], str]:
    """The input of a graph: its fields with their kinds, the required ones, and the kind of the whole."""
    schema = cast("Any", getattr(getattr(graph, "builder", None), "input_schema", None))
    if is_typeddict(schema):  # Pydantic makes no JSON Schema of `typing.TypedDict` before Python 3.12
        hints = get_type_hints(schema)
        return {name: _kind_of_type(hint) for name, hint in hints.items()}, schema.__required_keys__, "object"
    found = graph.get_input_jsonschema()
    fields = cast("dict[str, Any]", found.get("properties") or {})
    required = cast("list[str]", found.get("required") or [])
    return {name: _kind_of_schema(field) for name, field in fields.items()}, required, str(found.get("type") or "any")


def json_schema_of(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any]:
    """The JSON Schema of a graph's input; of a plain `TypedDict` what its fields say."""
    if not is_typeddict(cast("Any", getattr(getattr(graph, "builder", None), "input_schema", None))):
        return dict(graph.get_input_jsonschema())
    fields, required, _ = input_fields(graph)
    properties: dict[str, Any] = {name: {} if kind == "any" else {"type": kind} for name, kind in fields.items()}
    return {"type": "object", "properties": properties, "required": sorted(required)}


_KINDS: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def _kind_of_type(hint: Any) -> str:
    if get_origin(hint) in (Union, UnionType):
        return "string" if str in get_args(hint) else "any"
    return _KINDS.get(get_origin(hint) or hint, "any")


def _kind_of_schema(schema: Any) -> str:
    fields = cast("dict[str, Any]", schema) if isinstance(schema, dict) else {}
    options = [_kind_of_schema(option) for option in cast("list[Any]", fields.get("anyOf") or [])]
    return "string" if "string" in options else str(fields.get("type") or "any")

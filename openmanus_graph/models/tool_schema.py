"""Tool schema: a tool as a request to a model carries it, in as few characters as its meaning needs.

What is left out says nothing that a model needs: titles, the `null` of a member that may be left out, and defaults that
are nothing. Calls are checked against the tool's own schema, so a model that sends `null` is still understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

Schema = dict[str, Any]

_ONE = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("$defs", "definitions", "patternProperties", "dependentSchemas")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def request_tool(tool: BaseTool) -> dict[str, Any]:
    """The tool in OpenAI's form."""
    form = convert_to_openai_tool(tool)
    function: dict[str, Any] = form["function"]
    return {**form, "function": {**function, "parameters": compact(function.get("parameters") or {})}}


def compact(schema: Mapping[str, Any]) -> Schema:
    """A JSON Schema without what says nothing; it accepts all that the given one does, but some nulls.

    Args:
        schema: The schema of an object; it is not changed.
    """
    return _compact(schema, may_lack=False)


def _compact(schema: Any, *, may_lack: bool) -> Any:
    """One schema, the values of `enum`, `default` and the like as they are.

    Args:
        schema: A schema, or `True` or `False`.
        may_lack: Whether it is of a member that may be left out.
    """
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _part(key, value, schema) for key, value in cast("Mapping[str, Any]", schema).items()}
    if isinstance(made.get("title"), str):
        del made["title"]
    if may_lack and made.get("default") is None:
        made = _without_null(made)
    if "default" in made and made["default"] in _NOTHING:
        del made["default"]
    return made


def _part(key: str, value: Any, around: Any) -> Any:
    if key == "properties" and isinstance(value, Mapping):
        required: Any = around.get("required") or ()
        members = cast("Mapping[str, Any]", value)
        return {name: _compact(member, may_lack=name not in required) for name, member in members.items()}
    if key in _ONE:
        return _compact(value, may_lack=False)
    if key in _LISTED and isinstance(value, list):
        return [_compact(option, may_lack=False) for option in cast("list[Any]", value)]
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _compact(part, may_lack=False) for name, part in cast("Mapping[str, Any]", value).items()}
    return value


def _without_null(schema: Schema) -> Schema:
    """The schema without `null` among its alternatives; a single alternative that is left takes their place."""
    kinds: Any = schema.get("type")
    if isinstance(kinds, list) and "null" in kinds and "enum" not in schema:
        left = [kind for kind in cast("list[Any]", kinds) if kind != "null"]
        return {**schema, "type": left[0] if len(left) == 1 else left} if left else schema
    options: Any = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    kept = [option for option in cast("list[Any]", options) if option != {"type": "null"}]
    if not kept or len(kept) == len(cast("list[Any]", options)):
        return schema
    around = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(kept) == 1 and isinstance(kept[0], dict) and not (kept[0].keys() & around.keys() - {"description"}):
        return {**cast("Schema", kept[0]), **around}
    return {**around, "anyOf": kept}

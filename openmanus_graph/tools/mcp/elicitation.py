"""Elicitation: what a server asks a person in the middle of a call, in words, and the answer as the server takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from openmanus_graph.errors import ToolArgumentsError, UnknownQuestionError
from openmanus_graph.plans.json_schema import mapping_of, validator_of
from openmanus_graph.tools.mcp.pending_call import ServerQuestion

LONGEST_TEXT = 2_000
"""Characters of a server's message and of an address that are shown."""
MOST_FIELDS = 50
_WORDS = ("decline", "cancel")
_YES = ("yes", "y", "accept", "done", "ok", "true")
_NO = ("no", "n", "false")
_HINT = "Answer with the value, with all fields as JSON, or with decline or cancel."

CANCELLED: dict[str, Any] = {"action": "cancel"}
"""The answer where nobody is asked."""


def why_not_asked(question: ServerQuestion) -> str | None:
    """Why a question cannot be put to a person; `None` if it can."""
    params = question.params
    if params.get("mode") == "url":
        return None if isinstance(params.get("url"), str) else "it names no address"
    schema: Any = params.get("requestedSchema")
    if not isinstance(schema, dict):
        return "it has no schema of what it wants"
    fields = mapping_of(cast("dict[str, Any]", schema).get("properties"))
    if len(fields) > MOST_FIELDS:
        return f"it wants more than {MOST_FIELDS} values"
    try:
        validator_of(schema)
    except ToolArgumentsError as error:
        return str(error.message).rstrip(".")
    return None


def words_of(server: str, question: ServerQuestion) -> str:
    """A question as a person is asked it.

    Args:
        server: The server's name.
        question: What it asks; its words are shown as they are.
    """
    params = question.params
    message = str(params.get("message") or "").strip()[:LONGEST_TEXT]
    if params.get("mode") == "url":
        address = str(params["url"])[:LONGEST_TEXT]
        return (
            f"The MCP server {server!r} asks: {message}\nIt wants you to open {address} yourself; it is not opened by "
            "itself. Answer with done once you have, or with decline or cancel."
        )
    fields = _fields(params)
    lines = [_line(name, field, name in _needed(params)) for name, field in fields.items()]
    how = "yes" if not fields else "the value" if len(fields) == 1 else "all of it as JSON"
    return "\n".join(
        [f"The MCP server {server!r} asks: {message}", *lines, f"Answer with {how}, or decline or cancel."]
    )


def _fields(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    listed = mapping_of(mapping_of(params.get("requestedSchema")).get("properties"))
    return {name: mapping_of(field) for name, field in listed.items()}


def _needed(params: Mapping[str, Any]) -> list[Any]:
    needed: Any = mapping_of(params.get("requestedSchema")).get("required")
    return cast("list[Any]", needed) if isinstance(needed, list) else []


def _line(name: str, field: Mapping[str, Any], needed: bool) -> str:
    kind = str(field.get("type") or "any")
    choices = field.get("enum")
    of = f", one of {json.dumps(choices, ensure_ascii=False)}" if isinstance(choices, list) else ""
    said = str(field.get("description") or field.get("title") or "")
    return f"- {name} ({kind}{of}{', needed' if needed else ''}){f': {said}' if said else ''}"[:LONGEST_TEXT]


def response_to(question: ServerQuestion, value: Any) -> dict[str, Any]:
    """A person's answer as the server takes it.

    Args:
        question: What was asked.
        value: The answer: text, or all fields by name.

    Returns:
        `action`, and `content` where values were given, which fit the server's schema.

    Raises:
        UnknownQuestionError: If it is none that the server could take.
    """
    word = value.strip().lower() if isinstance(value, str) else value
    if word in _WORDS:
        return {"action": word}
    if question.params.get("mode") == "url":
        if word in _YES or value is True:
            return {"action": "accept"}
        raise UnknownQuestionError(f"The answer {value!r} is none of done, decline and cancel.")
    fields = _fields(question.params)
    if not fields:
        if word in _NO or value is False:
            return {"action": "decline"}
        if word in _YES or value is True or value == {}:
            return {"action": "accept", "content": {}}
        raise UnknownQuestionError(f"The answer {value!r} is none of yes, decline and cancel.")
    content = _content(value, fields)
    for error in validator_of(question.params["requestedSchema"]).iter_errors(content):
        place = ".".join(str(part) for part in error.absolute_path)
        where = f" at {place!r}" if place else ""
        raise UnknownQuestionError(f"The answer does not fit{where}: {str(error.message)[:200]}.", hint=_HINT)
    return {"action": "accept", "content": content}


def _content(value: Any, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The values by field that an answer gives."""
    read = value
    if isinstance(value, str) and value.strip().startswith("{"):
        try:
            read = json.loads(value)
        except ValueError as error:
            raise UnknownQuestionError(f"The answer {value!r} is no JSON: {error}.", hint=_HINT) from None
    if isinstance(read, dict):
        given = cast("dict[str, Any]", read)
        unknown = [name for name in given if name not in fields]
        if unknown:
            raise UnknownQuestionError(f"The answer has {unknown[0]!r}, which is not asked for.", hint=_HINT)
        return given
    if len(fields) > 1:
        raise UnknownQuestionError(
            f"The answer {value!r} is one value, and {len(fields)} are asked for: {', '.join(fields)}.", hint=_HINT
        )
    ((name, field),) = fields.items()
    return {name: _typed(value, str(field.get("type")))}


def _typed(value: Any, kind: str) -> Any:
    """A text as the value of a kind that it is meant to be; what it cannot be is left, and refused by the schema."""
    if not isinstance(value, str) or kind == "string":
        return value
    word = value.strip().lower()
    if kind == "boolean" and word in _YES + _NO:
        return word in _YES
    try:
        return json.loads(value)
    except ValueError:
        return [part.strip() for part in value.split(",")] if kind == "array" else value

"""Arguments: what a direct call passes to its tool, checked against the tool's schema before anything runs.

What a reference will bring is not known yet. An argument that is one whole reference is not checked for
its type; one inside other text makes the argument text, of unknown content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError

from openmanus_graph.plans.json_schema import SchemaChecker, described, mapping_of
from openmanus_graph.plans.plain import Path, shown
from openmanus_graph.plans.references import Unresolved, has_unresolved, mark_unresolved
from openmanus_graph.plans.validation import Names, Problem

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

Schema = dict[str, Any]

_NOT_TEXT = frozenset(
    f"{kind}_{what}"
    for kind in (
        "int",
        "float",
        "bool",
        "list",
        "dict",
        "tuple",
        "set",
        "frozen_set",
        "model",
        "none",
        "iterable",
    )
    for what in ("type", "parsing", "required", "from_float", "attributes_type")
)
"""Errors of pydantic that say text is the wrong type, whatever its content."""


def argument_problems(tool: BaseTool, args: dict[str, Any], path: Path) -> Iterator[Problem]:
    """What does not fit between `args` and the schema of `tool`.

    Args:
        tool: Any LangChain tool; its schema is a pydantic model or a JSON Schema.
        args: Plain values, references unresolved and well-formed.
        path: Where the arguments are in the plan.
    """
    args = mark_unresolved(args)
    full: Any = tool.args_schema
    if isinstance(full, type) and issubclass(full, BaseModel):
        yield from _against_model(tool, full, args, path)
        return
    # A schema made from the signature of `_run`, a JSON Schema of an MCP server, or a model of pydantic 1.
    call: Any = tool.tool_call_schema
    if isinstance(call, dict):
        schema = cast("Schema", call)
    elif issubclass(call, BaseModel):
        schema = call.model_json_schema()
    else:
        schema = call.schema()
    yield from _against_schema(tool.name, schema, args, path)


def _against_model(tool: BaseTool, model: type[BaseModel], args: dict[str, Any], path: Path) -> Iterator[Problem]:
    call: Any = tool.tool_call_schema  # without arguments that the engine injects
    takes = {name: field for name, field in model.model_fields.items() if name in call.model_fields}
    names: list[str] = []
    for name, field in takes.items():
        alias = field.validation_alias if isinstance(field.validation_alias, str) else field.alias
        names.append(alias or name)
    accepted = {*takes, *names}
    open_ended = model.model_config.get("extra") == "allow"
    if not open_ended:
        yield from _unknown(tool.name, args, path, accepted, names)
    try:
        model.model_validate(args)
    except ValidationError as error:
        found: dict[str | None, list[dict[str, Any]]] = {}
        for details in cast("list[dict[str, Any]]", error.errors(include_url=False, include_context=False)):
            top = str(details["loc"][0]) if details["loc"] else None
            if top is None or top in accepted or (open_ended and top in args):
                found.setdefault(top, []).append(details)  # others: injected, or unknown and said above
        for group in found.values():
            if not any(_open(details) for details in group):
                yield from (_misfit(tool.name, details, args, path) for details in group)
    except Exception as error:  # noqa: BLE001 - a validator of the user's tool may raise anything
        if not has_unresolved(args):
            text = f"has args that the schema of tool {tool.name!r} refuses: {type(error).__name__}: {error}"
            yield Problem(path, text)


def _open(details: dict[str, Any]) -> bool:
    """Whether what pydantic found may be right once references are resolved."""
    value, kind = details["input"], details["type"]
    if kind in ("missing", "extra_forbidden") or not has_unresolved(value):
        return False
    if isinstance(value, Unresolved):
        return value.whole or kind not in _NOT_TEXT
    return kind not in _NOT_TEXT and kind != "string_type"


def _misfit(tool: str, details: dict[str, Any], args: dict[str, Any], path: Path) -> Problem:
    loc: tuple[str | int, ...] = details["loc"]
    if details["type"] == "missing":
        name = ".".join(str(part) for part in loc)
        return Problem(path, f"does not give the argument {name!r} that tool {tool!r} needs; add it to 'args'")
    message = str(details["msg"]).removeprefix("Value error, ")
    message = f"which does not fit: {message[:1].lower()}{message[1:]}"
    if not loc:
        return Problem(path, f"gives tool {tool!r} args {message}".replace("args which", "args, which"))
    where: list[str | int] = []
    inside: Any = args
    for part in loc:  # without the names of union members that pydantic mixes in
        if isinstance(inside, dict) and part in inside:
            inside = cast("dict[str, Any]", inside)[str(part)]
        elif isinstance(inside, list) and isinstance(part, int):
            inside = cast("list[Any]", inside)[part]
        else:
            continue
        where.append(part)
    name = ".".join(str(part) for part in where)
    text = f"gives tool {tool!r} the argument {name!r} as {described(details['input'])}, {message}"
    return Problem((*path, *where), text)


def _unknown(tool: str, args: dict[str, Any], path: Path, accepted: set[str], names: list[str]) -> Iterator[Problem]:
    known = Names(names)
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    for name in args:
        if name not in accepted:
            text = f"gives tool {tool!r} the unknown argument {shown(name)}; {known.cure(name, takes)}"
            yield Problem((*path, name), text)


def _against_schema(tool: str, schema: Schema, args: dict[str, Any], path: Path) -> Iterator[Problem]:
    properties = mapping_of(schema.get("properties"))
    if not schema.get("additionalProperties") and not schema.get("patternProperties"):
        yield from _unknown(tool, args, path, set(properties), list(properties))
    for name in cast("list[Any]", schema.get("required") or []):
        if name not in args:
            text = f"does not give the argument {str(name)!r} that tool {tool!r} needs; add it to 'args'"
            yield Problem(path, text)
    for name, value in args.items():
        if name in properties:
            misfit = SchemaChecker(schema).misfit(value, properties[name], name)
            if misfit is not None:
                where, what = misfit
                text = f"gives tool {tool!r} the argument {where!r}, which does not fit: it {what}"
                yield Problem((*path, name), text)

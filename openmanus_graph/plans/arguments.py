"""Arguments: those of a direct call, checked against the tool's schema before anything runs.

The value of a reference is not known yet. An argument that is one whole reference is not checked for
its type; one inside other text makes the argument text, of unknown content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError

from openmanus_graph.plans.json_schema import SchemaChecker, described, mapping_of
from openmanus_graph.plans.json_values import PlanPath, shown
from openmanus_graph.plans.references import Unresolved, has_unresolved, mark_unresolved
from openmanus_graph.plans.validation import Names, PlanProblem

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
"""Error types of pydantic for text where another type is needed, whatever the text."""


def argument_problems(tool: BaseTool, args: dict[str, Any], path: PlanPath) -> Iterator[PlanProblem]:
    """Problems of `args` under the schema of `tool`.

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


def _against_model(
    tool: BaseTool, model: type[BaseModel], args: dict[str, Any], path: PlanPath
) -> Iterator[PlanProblem]:
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
        errors: dict[str | None, list[dict[str, Any]]] = {}
        for details in cast("list[dict[str, Any]]", error.errors(include_url=False, include_context=False)):
            top = str(details["loc"][0]) if details["loc"] else None
            if top is None or top in accepted or (open_ended and top in args):
                errors.setdefault(top, []).append(details)  # others: injected, or unknown and reported above
        for group in errors.values():
            if not any(_open(details) for details in group):
                yield from (_misfit(tool.name, details, args, path) for details in group)
    except Exception as error:  # noqa: BLE001 - a validator of the user's tool may raise anything
        if not has_unresolved(args):
            text = f"has args that the schema of tool {tool.name!r} refuses: {type(error).__name__}: {error}"
            yield PlanProblem(path, text)


def _open(details: dict[str, Any]) -> bool:
    """Whether an error of pydantic may vanish once references are resolved."""
    value, kind = details["input"], details["type"]
    if kind in ("missing", "extra_forbidden") or not has_unresolved(value):
        return False
    if isinstance(value, Unresolved):
        return value.whole or kind not in _NOT_TEXT
    return kind not in _NOT_TEXT and kind != "string_type"


def _misfit(tool: str, details: dict[str, Any], args: dict[str, Any], path: PlanPath) -> PlanProblem:
    loc: tuple[str | int, ...] = details["loc"]
    if details["type"] == "missing":
        name = ".".join(str(part) for part in loc)
        return PlanProblem(path, f"does not give the argument {name!r} that tool {tool!r} needs; add it to 'args'")
    message = str(details["msg"]).removeprefix("Value error, ")
    message = f"which does not fit: {message[:1].lower()}{message[1:]}"
    if not loc:
        return PlanProblem(path, f"gives tool {tool!r} args {message}".replace("args which", "args, which"))
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
    return PlanProblem((*path, *where), text)


def _unknown(
    tool: str, args: dict[str, Any], path: PlanPath, accepted: set[str], names: list[str]
) -> Iterator[PlanProblem]:
    known = Names(names)
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    for name in args:
        if name not in accepted:
            text = f"gives tool {tool!r} the unknown argument {shown(name)}; {known.cure(name, takes)}"
            yield PlanProblem((*path, name), text)


def _against_schema(tool: str, schema: Schema, args: dict[str, Any], path: PlanPath) -> Iterator[PlanProblem]:
    properties = mapping_of(schema.get("properties"))
    if not schema.get("additionalProperties") and not schema.get("patternProperties"):
        yield from _unknown(tool, args, path, set(properties), list(properties))
    for name in cast("list[Any]", schema.get("required") or []):
        if name not in args:
            text = f"does not give the argument {str(name)!r} that tool {tool!r} needs; add it to 'args'"
            yield PlanProblem(path, text)
    for name, value in args.items():
        if name in properties:
            misfit = SchemaChecker(schema).misfit(value, properties[name], name)
            if misfit is not None:
                where, what = misfit
                text = f"gives tool {tool!r} the argument {where!r}, which does not fit: it {what}"
                yield PlanProblem((*path, name), text)

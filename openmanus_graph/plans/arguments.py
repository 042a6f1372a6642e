"""Arguments: those of a direct call, checked against the tool's schema before anything runs.

The value of a reference is not known yet. An argument that is one whole reference is not checked for
its type; one inside other text makes the argument text, of unknown content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError

from openmanus_graph.errors import SettingsError, ToolArgumentsError
from openmanus_graph.plans.json_schema import Schema, named_members, validator_of
from openmanus_graph.plans.json_values import PlanPath, shown
from openmanus_graph.plans.misfit import described, misfits
from openmanus_graph.plans.references import Unresolved, has_unresolved, mark_unresolved
from openmanus_graph.plans.validation import Names, PlanProblem

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

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
    yield from _problems(tool, mark_unresolved(args), path)


def call_problems(tool: BaseTool, args: Mapping[str, Any]) -> list[str]:
    """The problems of a call's arguments, each as words that follow *it*, such as *gives tool 'x' ...*.

    Args:
        tool: Any LangChain tool.
        args: Its arguments as they would be sent: `${` in a text is no reference.
    """
    return [problem.text for problem in _problems(tool, dict(args), ())]


def schema_problems(tool: str, schema: Schema, args: dict[str, Any], path: PlanPath = ()) -> Iterator[PlanProblem]:
    """Problems of arguments under a JSON Schema, for tools that check a call by themselves.

    Args:
        tool: What is called, for messages.
        schema: The schema.
        args: Plain values; references may be `Unresolved` in it.
        path: Where the arguments are.

    Raises:
        ToolArgumentsError: If the schema is none.
    """
    yield from _against_schema(tool, schema, args, path)


def _problems(tool: BaseTool, args: dict[str, Any], path: PlanPath) -> Iterator[PlanProblem]:
    own: Any = (tool.metadata or {}).get("check")
    if own is not None:
        try:
            yield from (PlanProblem((*path, *problem.path), problem.text) for problem in own(args))
        except ToolArgumentsError as error:
            yield PlanProblem(path, f"has args that cannot be checked for tool {tool.name!r}: {error.message}")
        return
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
    try:
        yield from _against_schema(tool.name, schema, args, path)
    except ToolArgumentsError as error:
        yield PlanProblem(path, f"has args that cannot be checked for tool {tool.name!r}: {error.message}")


def check_call(tool: BaseTool, args: dict[str, Any]) -> None:
    """Check the arguments of a call, as it is about to be made, where nothing else does.

    Tools with a JSON Schema are handed whatever they are given; those with a model check it themselves.

    Raises:
        ToolArgumentsError: If they do not fit.
    """
    schema = _unchecked_schema(tool)
    if schema is not None:
        has_own = (tool.metadata or {}).get("check") is not None
        problems = list(_problems(tool, args, ()) if has_own else _against_schema(tool.name, schema, args, ()))
        if problems:
            raise ToolArgumentsError(f"The call {'; it '.join(problem.text for problem in problems)}.")


def check_schema(tool: BaseTool) -> None:
    """Refuse a tool whose arguments cannot be checked.

    Raises:
        SettingsError: If the schema of its arguments is a mapping that is no JSON Schema.
    """
    schema = _unchecked_schema(tool)
    if schema is not None:
        try:
            validator_of(schema)
        except ToolArgumentsError as error:
            raise SettingsError(
                f"The tool {tool.name!r} cannot be used: {error.message}", hint="Correct its `args_schema`."
            ) from error


def _unchecked_schema(tool: BaseTool) -> Schema | None:
    """The JSON Schema of a tool that does not check its arguments itself."""
    schema: Any = tool.args_schema
    own = bool((tool.metadata or {}).get("checks_arguments"))
    return cast("Schema", schema) if isinstance(schema, dict) and not own else None


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
    names, is_open = named_members(schema)
    told: set[str | int] = set()
    if not is_open:
        told.update(name for name in args if name not in names)
        yield from _unknown(tool, args, path, {*names}, list(names))
    for misfit in misfits(args, schema):
        if not misfit.path and misfit.missing:
            for name in misfit.missing:
                text = f"does not give the argument {name!r} that tool {tool!r} needs; add it to 'args'"
                yield PlanProblem(path, text)
        elif not misfit.path:
            if not misfit.excess or not told.issuperset(misfit.excess):
                yield PlanProblem(path, f"gives tool {tool!r} args which do not fit: together they {misfit.what}")
        elif misfit.path[0] not in told:
            told.add(misfit.path[0])
            where = ".".join(str(part) for part in misfit.path)
            text = f"gives tool {tool!r} the argument {where!r}, which does not fit: it {misfit.what}"
            yield PlanProblem((*path, misfit.path[0]), text)

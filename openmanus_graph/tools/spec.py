"""Spec: effect, output and other facts of a tool, stated in its metadata and read by the engine."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import SettingsError
from openmanus_graph.plans.output_shape import Shape, shape_of
from openmanus_graph.plans.validation import PlanProblem
from openmanus_graph.redaction import redact_log

logger = logging.getLogger(__name__)

LONGEST_ADDRESS = 2_000
"""Characters of an address that is kept as a source."""
_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)

Effect = Literal["read", "write", "external"]

USE_CHARACTERS = 120
"""Characters that the use of a tool may have where it is told in a line."""
_SENTENCE = re.compile(r"[.;] ")

Verify = Callable[[dict[str, Any], ToolContext], Any]
"""Takes a call's arguments and context; gives `{"happened": bool, "result": ...}`, or `None` where it cannot tell."""


EffectWhen = Callable[[Mapping[str, Any]], "Effect"]
"""Gives the effect of a call by its arguments."""

GoesOn = Callable[[ToolContext], bool]
"""Says by a call's context whether the call is under way."""
Check = Callable[[dict[str, Any]], Iterable[PlanProblem]]
"""Gives the problems of a call's arguments, in which references of a plan are `Unresolved`."""

Unavailable = Callable[[Settings], str | None]
"""Says in one line why a tool is not offered on this machine, and the cure; `None` if it is."""

SiteOf = Callable[[Mapping[str, Any], ToolContext], Awaitable[str | None]]
"""Gives scheme, host and port on which a call with these arguments would have its effect; `None` where that is none."""

Source = str | Callable[[Mapping[str, Any], Any], Iterable[str]]
"""The argument that holds the address or addresses that a call reads, or what tells them by arguments and output."""


@dataclass(frozen=True)
class ToolSpec:
    """Facts about a tool that its schema does not hold, from its LangChain `metadata`."""

    effect: Effect = "external"
    """`read`: none; `write`: the workspace only; `external`: anything else. Unstated means `external`."""
    idempotent: bool = False
    """Whether calling twice with the same arguments does no more than calling once."""
    resource: str | None = None
    """The named resource a call occupies, limited by `settings.resources`."""
    timeout_s: float | None = None
    """Seconds a call may take when the subtask does not say; `None` means no limit."""
    cache_s: float | None = None
    """Seconds for which what a call that only reads returned is reused by calls with the same arguments, in all runs of
    an owner; `None` means that each call is made. For tools whose output depends on their arguments and on nothing of
    the workspace."""
    reads_when: tuple[str, tuple[str, ...]] | None = None
    """An argument, and its values (in small letters) with which a call only reads, whatever `effect` says."""
    effect_when: EffectWhen | None = None
    """Gives the effect of one call by its arguments alone, so that a later process finds the same; `None` means that
    `effect` and `reads_when` say it."""
    unavailable: Unavailable | None = None
    """Why this machine cannot have the tool, by the settings; such a tool is not offered. `None` means that it can."""
    alias_of: str | None = None
    """The tool that this one is another name of; a policy for either holds for both."""
    ledger: bool = False
    """Whether its calls are kept in the ledger of effects although their effect is not `external`."""
    verify: Verify | None = None
    """Finds out whether a call that nobody knows the outcome of has happened."""
    goes_on: GoesOn | None = None
    """Whether a call that has asked a person in its middle still goes on in this process: if not, what it has done is
    unknown. `None` for a tool that does nothing before it has asked."""
    returns: Shape | None = None
    """Shape of the output, which a plan's references to it must fit; `None` means unknown, and nothing is checked."""
    free_text: tuple[str, ...] = ()
    """Fields of the output with words of pages, files or people, whose content nobody knows before the call."""
    newest: tuple[str, ...] = ()
    """Fields of the output that an agent is sent of the newest call only, such as what a page shows."""
    shows: str | None = None
    """The field of the output with the path of a picture in the workspace, which a model that sees is shown with the
    result; `None` means that none is shown."""
    planned: bool = True
    """Whether the planner is shown it; `False` for a tool that is of use inside an agent's subtask only."""
    on_request: bool = False
    """Whether an agent whose subtask names no tools is offered it only once it asks for it by name."""
    takes_code: bool = False
    """Whether its arguments are code with `$` and braces of its own, which are no references gone wrong."""
    code_argument: str | None = None
    """The argument that is run as code, into which a model's plan must not paste text from elsewhere."""
    runs_commands: bool = False
    """Whether a call runs a command or program, whose failure counts where a subtask must end without an error."""
    checks_arguments: bool = False
    """Whether the tool itself checks arguments that a JSON Schema describes; then it is called with what is given."""
    keeps: bool = False
    """Whether it keeps something of each call beside the checkpoints, which name it: see `ToolContext.kept_as`."""
    site: SiteOf | None = None
    """Gives the site on which a call has its effect, such as the page's, so that a person may allow it as a whole until
    the request is over; `None`, or that it gives `None`, means that each call is asked about."""
    check: Check | None = None
    """Finds what does not fit of a call's arguments, in plans and before a call, in place of a check against the schema
    that models are shown; for tools whose arguments depend on one another. `None` means that the schema says it all."""
    source: Source | None = None
    """Where the addresses are that a call reads: an argument, or a function of arguments and output that gives them.
    Of calls without an error they are the sources of an answer; `None` means that the tool reads nothing of the Web."""

    @property
    def repeatable(self) -> bool:
        """Whether a call whose outcome is unknown may be made again."""
        return self.idempotent or self.effect == "read"

    @property
    def changes_nothing(self) -> bool:
        """Whether no call changes anything: then only a result that is new is progress, not a new call."""
        return self.effect == "read"

    @property
    def effects(self) -> frozenset[Effect]:
        """The effects that calls of it may have."""
        if self.effect_when is not None:
            return frozenset({"read", "write", "external"})
        return frozenset({self.effect} if self.reads_when is None else {self.effect, "read"})

    @property
    def metadata(self) -> dict[str, Any]:
        """The spec as a tool carries it in its `metadata`, where `spec_of` reads it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def spec_of(tool: BaseTool) -> ToolSpec:
    """The spec stated in `tool.metadata`, unknown keys ignored.

    Raises:
        SettingsError: If `effect` is not one of `read`, `write`, `external`, `verify` is no function, `source` neither
            a name nor a function, `cache_s` no number above 0, or `returns` is no shape.
    """
    metadata: dict[str, Any] = dict(tool.metadata or {})
    effect = metadata.get("effect", "external")
    if effect not in ("read", "write", "external"):
        raise SettingsError(
            f"The tool {tool.name!r} declares the effect {effect!r}.",
            hint="Use 'read', 'write' (the workspace) or 'external' in its metadata.",
        )
    resource = metadata.get("resource")
    timeout_s = metadata.get("timeout_s")
    return ToolSpec(
        effect=effect,
        idempotent=bool(metadata.get("idempotent", False)),
        resource=None if resource is None else str(resource),
        timeout_s=None if timeout_s is None else float(timeout_s),
        cache_s=_cache_s(tool, metadata.get("cache_s")),
        reads_when=_reads_when(tool, metadata.get("reads_when")),
        effect_when=_function(tool, "effect_when", metadata.get("effect_when")),
        unavailable=_function(tool, "unavailable", metadata.get("unavailable")),
        alias_of=None if metadata.get("alias_of") is None else str(metadata["alias_of"]),
        ledger=bool(metadata.get("ledger", False)),
        keeps=bool(metadata.get("keeps", False)),
        site=_function(tool, "site", metadata.get("site")),
        verify=_verify(tool, metadata.get("verify")),
        goes_on=_function(tool, "goes_on", metadata.get("goes_on")),
        returns=shape_of(tool),
        free_text=tuple(str(name) for name in metadata.get("free_text") or ()),
        newest=tuple(str(name) for name in metadata.get("newest") or ()),
        shows=None if metadata.get("shows") is None else str(metadata["shows"]),
        planned=bool(metadata.get("planned", True)),
        on_request=bool(metadata.get("on_request", False)),
        takes_code=bool(metadata.get("takes_code", False)),
        code_argument=None if metadata.get("code_argument") is None else str(metadata["code_argument"]),
        runs_commands=bool(metadata.get("runs_commands", False)),
        checks_arguments=bool(metadata.get("checks_arguments", False)),
        check=_function(tool, "check", metadata.get("check")),
        source=_source(tool, metadata.get("source")),
    )


def code_arguments(tools: Mapping[str, BaseTool]) -> dict[str, str]:
    """The argument of each tool that is run as code, by the name of the tool; those that have none are left out."""
    return {name: argument for name, tool in tools.items() if (argument := spec_of(tool).code_argument)}


def sources_of(tool: BaseTool, args: Mapping[str, Any], output: Any) -> list[str]:
    """The addresses of the Web that a call without an error has read, secrets left out.

    Args:
        tool: The tool.
        args: The arguments that it was called with.
        output: What it returned.
    """
    source = spec_of(tool).source
    if source is None:
        return []
    try:
        given: Any = args.get(source) if isinstance(source, str) else list(source(args, output))
    except Exception:  # a user's function may raise anything, and the call is made
        logger.warning("The 'source' of the tool %r failed.", tool.name, exc_info=True)
        return []
    found = [given] if isinstance(given, str) else cast("list[Any]", given) if isinstance(given, list) else []
    return [
        redact_log(text.strip())
        for text in found
        if isinstance(text, str) and _ADDRESS.match(text) and len(text) <= LONGEST_ADDRESS
    ]


def _cache_s(tool: BaseTool, stated: Any) -> float | None:
    if stated is None:
        return None
    if isinstance(stated, int | float) and not isinstance(stated, bool) and 0 < stated < float("inf"):
        return float(stated)
    raise SettingsError(
        f"The tool {tool.name!r} declares {stated!r} as 'cache_s'.", hint="Give seconds, more than 0, or leave it out."
    )


def _function(tool: BaseTool, name: str, stated: Any) -> Any:
    if stated is None or callable(stated):
        return stated
    raise SettingsError(f"The tool {tool.name!r} declares {stated!r} as {name!r}.", hint="Give a function.")


def _verify(tool: BaseTool, stated: Any) -> Verify | None:
    if stated is None or callable(stated):
        return stated
    raise SettingsError(
        f"The tool {tool.name!r} declares {stated!r} as 'verify'.",
        hint="Give a function of the call's arguments and its context, async or not.",
    )


def _source(tool: BaseTool, stated: Any) -> Source | None:
    if stated is None or isinstance(stated, str) or callable(stated):
        return cast("Source | None", stated)
    raise SettingsError(
        f"The tool {tool.name!r} declares {stated!r} as 'source'.",
        hint="Give the name of an argument, or a function of the call's arguments and its output.",
    )


def _reads_when(tool: BaseTool, stated: Any) -> tuple[str, tuple[str, ...]] | None:
    if stated is None:
        return None
    try:
        name, values = stated
        return str(name), tuple(str(value).lower() for value in values)
    except (TypeError, ValueError):
        raise SettingsError(
            f"The tool {tool.name!r} declares {stated!r} as 'reads_when'.",
            hint="Use an argument's name and a list of its values, such as ('method', ['get', 'head']).",
        ) from None


def effect_of(tool: BaseTool, args: Mapping[str, Any]) -> Effect:
    """The effect of one call: the tool's, unless its arguments say that it is another."""
    spec = spec_of(tool)
    if spec.effect_when is not None:
        return spec.effect_when(args)
    if spec.reads_when is not None:
        name, values = spec.reads_when
        given = args.get(name)
        if isinstance(given, str) and given.strip().lower() in values:
            return "read"
    return spec.effect


def in_ledger(tool: BaseTool, args: Mapping[str, Any]) -> bool:
    """Whether one call is kept in the ledger of effects."""
    effect, spec = effect_of(tool, args), spec_of(tool)
    return effect == "external" or (spec.ledger and effect == spec.effect)


def schema_of(tool: BaseTool) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, as models see it: without what the engine injects."""
    shown: Any = tool.tool_call_schema
    if isinstance(shown, dict):
        return cast("dict[str, Any]", shown)
    return shown.model_json_schema() if issubclass(shown, BaseModel) else shown.schema()


def use_of(tool: BaseTool) -> str:
    """The use of a tool in a few words: the first sentence of its description, up to a semicolon."""
    words = " ".join(tool.description.partition("\n\n")[0].split())
    first = _SENTENCE.split(words, maxsplit=1)[0].removesuffix(".")
    return first if len(first) <= USE_CHARACTERS else f"{first[:USE_CHARACTERS].rsplit(' ', 1)[0]} ..."


def names_of(tool: BaseTool) -> tuple[str, ...]:
    """The tool's name, and the name of the tool that it is an alias of."""
    alias_of = spec_of(tool).alias_of
    return (tool.name,) if alias_of is None else (tool.name, alias_of)


def builtin_tool(
    name: str,
    arguments: type[BaseModel] | dict[str, Any],
    spec: ToolSpec,
) -> Callable[[Callable[..., Awaitable[Any]]], StructuredTool]:
    """Make an async function a built-in tool; its docstring is what a model reads.

    Args:
        name: The tool's name, as in plans and prompts.
        arguments: The schema of its arguments, a model or JSON Schema; with the latter the function checks them.
        spec: What the engine must know about it; `returns` is not left out.

    Raises:
        SettingsError: If `spec` does not say what the tool returns.
    """
    if spec.returns is None:
        raise SettingsError(
            f"The built-in tool {name!r} does not say what it returns.",
            hint="Give its ToolSpec `returns`, such as {'text': TEXT}, or ANY where no field is fixed.",
        )

    def decorate(function: Callable[..., Awaitable[Any]]) -> StructuredTool:
        return StructuredTool.from_function(
            coroutine=function,
            name=name,
            description=inspect.getdoc(function) or "",
            args_schema=arguments,
            metadata=spec.metadata,
        )

    return decorate

"""Tools: the operations of services as tools, each call a node with policy, ledger and time limit like any other.

A service of up to `MOST_TOOLS` operations has a tool for each; a larger one has a tool that finds operations and one
that calls them, so that a thousand of them cost a prompt no more than ten.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from langchain_core.tools import BaseTool
from pydantic import PrivateAttr

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import running_context, tool_context
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.files.safe_paths import locate, open_parent, write_file
from openmanus_graph.plans.arguments import schema_problems
from openmanus_graph.plans.json_values import shown
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.plans.references import Unresolved
from openmanus_graph.plans.validation import Names, PlanProblem
from openmanus_graph.tools.foreign_tool import ForeignTool
from openmanus_graph.tools.openapi.operation import ALL_PAGES, Operation
from openmanus_graph.tools.openapi.search import group_of
from openmanus_graph.tools.openapi.service import LIST_RETURNS, Service, services_of
from openmanus_graph.tools.openapi.view import first_words, is_large, line_of, shown_arguments, text_of, whole_arguments
from openmanus_graph.tools.registry import BUILTIN_TOOLS
from openmanus_graph.tools.spec import Effect, ToolSpec
from openmanus_graph.tools.web.request import FREE_TEXT, RETURNS

MOST_TOOLS = 25
"""Operations up to which each is a tool of its own."""
LONGEST_NAME = 64
"""Characters of a tool's name, as providers take them."""
LINES, DETAILED = 8, 3
"""Operations that a search lists, and those of them whose arguments it shows."""
DETAILED_CHARACTERS = 10_000
"""Characters of arguments that a search shows, unless those of the best operation alone are more."""
GROUPS_CHARACTERS = 900
"""Characters of the groups that the description of a search names."""
SPARE_S = 10.0
"""Seconds that a call may take beside its requests."""

_ODD = re.compile(r"[^A-Za-z0-9_-]")
_ALL_PAGES = {"type": "boolean", "description": "Follow all pages of the list."}

Run = Callable[[Mapping[str, Any]], Any]


class ServiceTool(ForeignTool):
    """A tool of a service."""

    _make: Run = PrivateAttr()

    @classmethod
    def of(cls, name: str, description: str, schema: dict[str, Any], spec: ToolSpec, run: Run) -> ServiceTool:
        """Make it.

        Args:
            name: Its name.
            description: What models read.
            schema: JSON Schema of its arguments, as models see it.
            spec: What the engine knows of it.
            run: Makes a call; takes the arguments.
        """
        tool = cls(name=name, description=description, args_schema=schema, metadata=spec.metadata)
        tool._make = run
        return tool

    async def _arun(self, arguments: Mapping[str, Any]) -> Any:
        return await self._make(arguments)


def openapi_tools(settings: Settings) -> tuple[dict[str, BaseTool], list[str]]:
    """The tools of all services by name, and what cannot be used in sentences."""
    tools: dict[str, BaseTool] = {}
    problems: list[str] = []
    for name, service in services_of(settings).items():
        if isinstance(service, ToolError):
            problems.append(service.message)
            continue
        problems += [f"The API {name!r}: {problem}" for problem in service.problems]
        tools |= {tool.name: tool for tool in tools_of(service, tools)}
    return tools, problems


def tools_of(service: Service, taken: Iterable[str] = ()) -> list[ServiceTool]:
    """The tools of a service.

    Args:
        service: The service.
        taken: Names that others have.
    """
    names = {*taken, *BUILTIN_TOOLS}
    tools: list[ServiceTool] = []
    if len(service.operations) > MOST_TOOLS:
        tools = [_search_tool(service, names), _call_tool(service, names)]
    for operation in service.operations.values() if not tools else ():
        tools.append(_operation_tool(service, operation, names))
    return tools


def name_of(service: str, what: str, taken: Iterable[str] = ()) -> str:
    """The name of a tool: `SERVICE_WHAT`, with a digest where that is no name, too long, or another tool's.

    Args:
        service: The service's name.
        what: What the tool does.
        taken: Names that others have.
    """
    whole = f"{service}_{what}"
    plain = _ODD.sub("_", whole)
    if plain == whole and len(plain) <= LONGEST_NAME and plain not in taken:
        return plain
    digest = hashlib.sha256(f"{service}\0{what}".encode()).hexdigest()[:8]
    return f"{plain[: LONGEST_NAME - 9]}_{digest}"


def _named(service: Service, what: str, names: set[str]) -> str:
    name = name_of(service.name, what, names)
    names.add(name)
    return name


def _operation_tool(service: Service, operation: Operation, names: set[str]) -> ServiceTool:
    """The tool of one operation."""

    async def run(arguments: Mapping[str, Any]) -> Any:
        given = {name: value for name, value in arguments.items() if name != ALL_PAGES}
        asked = arguments.get(ALL_PAGES) is True
        return await service.call(operation, given, tool_context(), all_pages=asked)

    def check(args: dict[str, Any]) -> Iterable[PlanProblem]:
        schema = service.schema_of(operation)
        if operation.is_list:
            schema = {**schema, "properties": {**schema["properties"], ALL_PAGES: _ALL_PAGES}}
        return schema_problems(name, schema, args)

    name = _named(service, operation.name, names)
    schema = shown_arguments(operation, service.index.defs)
    if operation.is_list:
        schema["properties"] = {**schema["properties"], ALL_PAGES: _ALL_PAGES}
    spec = ToolSpec(
        effect="read" if operation.reads else "external",
        timeout_s=_limit(service, operation),
        on_request=not service.stated.offered,
        returns=LIST_RETURNS if operation.is_list else RETURNS,
        free_text=FREE_TEXT,
        check=check,
    )
    said = operation.summary or operation.description or f"{operation.method} {operation.path}"
    more = first_words(operation.description, 300)
    description = first_words(said, 200) + (f". {more}" if more and more != first_words(said, 300) else "")
    return ServiceTool.of(name, f"{description} ({operation.method} {operation.path})", schema, spec, run)


def _limit(service: Service, operation: Operation | None) -> float:
    pages = service.stated.most_pages if operation is None or operation.is_list else 1
    return service.stated.timeout_s * pages + SPARE_S


def _search_tool(service: Service, names: set[str]) -> ServiceTool:
    """The tool that finds operations of a large service."""
    groups = Counter(group_of(one) for one in service.operations.values())
    groups.pop("", None)

    async def run(arguments: Mapping[str, Any]) -> Any:
        query, group = str(arguments["query"]), None if arguments.get("tag") is None else str(arguments["tag"])
        context = running_context()
        if context is None or context.embed is None:
            found = service.search.find(query, group, LINES)
        else:
            found = await service.search.find_by_meaning(query, context.embed, group, LINES)
        files = [] if context is None else await asyncio.to_thread(_whole_ones, service, found, context.workspace)
        return {"text": "\n\n".join([told(service, found), *files])}

    title = f" {service.index.title}," if service.index.title else ""
    listed = ", ".join(group for group, _ in groups.most_common())
    if len(listed) > GROUPS_CHARACTERS:
        listed = f"{listed[:GROUPS_CHARACTERS].rpartition(', ')[0]}, …"
    schema = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to do, in words, or the name of an operation."},
            "tag": {"type": "string", "description": "Only operations of this group."},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    description = (
        f"Find operations of the web service {service.name},{title} and what they take. "
        f"It has {len(service.operations):,} of them{', in the groups ' + listed if listed else ''}."
    )
    spec = ToolSpec(effect="read", timeout_s=60.0, on_request=not service.stated.offered, returns={"text": TEXT})
    return ServiceTool.of(_named(service, "search", names), description, schema, spec, run)


def _whole_ones(service: Service, found: list[Operation], workspace: Path) -> list[str]:
    """Puts what the first operations take into files where it is too large to be shown; lines that say so."""
    lines: list[str] = []
    for operation in found[:DETAILED]:
        whole = whole_arguments(operation, service.index.defs)
        if is_large(whole):
            place = locate(workspace, f"openapi/{_ODD.sub('_', service.name)[:40]}/{operation.name}.json")
            with open_parent(place, make=True):
                write_file(place, json.dumps(whole, indent=1).encode())
            lines.append(f"Not all that {operation.name} takes is shown: see {place.path}.")
    return lines


def told(service: Service, found: list[Operation], most: int = DETAILED) -> str:
    """Operations in lines, the first of them with their arguments.

    Args:
        service: The service.
        found: The operations, the best first.
        most: How many are shown with their arguments.
    """
    if not found:
        return "No operation fits. Say it in other words."
    detailed: list[str] = []
    for operation in found[:most]:
        text = text_of(operation, service.index.defs)
        if detailed and sum(map(len, detailed)) + len(text) > DETAILED_CHARACTERS:
            break
        detailed.append(text)
    rest = "\n".join(line_of(operation) for operation in found[len(detailed) :])
    return "\n\n".join([*detailed, *([f"Others:\n{rest}"] if rest else [])])


def _call_tool(service: Service, names: set[str]) -> ServiceTool:
    """The tool that calls operations of a large service."""
    known = service.operations

    async def run(arguments: Mapping[str, Any]) -> Any:
        operation = known.get(str(arguments["operation"]))
        if operation is None:
            raise ToolArgumentsError(f"There is no operation {arguments['operation']!r}.")
        given: Any = arguments.get("arguments") or {}
        return await service.call(operation, given, tool_context(), all_pages=arguments.get(ALL_PAGES) is True)

    def effect(args: Mapping[str, Any]) -> Effect:
        operation = known.get(args["operation"]) if isinstance(args.get("operation"), str) else None
        return "read" if operation is not None and operation.reads else "external"

    def check(args: dict[str, Any]) -> Iterable[PlanProblem]:
        yield from schema_problems(name, schema, args)
        called, given = args.get("operation"), args.get("arguments", {})
        if not isinstance(called, str) or isinstance(called, Unresolved):
            return
        if called not in known:
            cure = Names(known).cure(called, f"find it with {search}")
            yield PlanProblem(("operation",), f"gives tool {name!r} the unknown operation {shown(called)}; {cure}")
        elif isinstance(given, dict):
            for problem in service.problems_of(known[called], cast("dict[str, Any]", given)):
                yield PlanProblem(("arguments", *problem.path), problem.text)

    search = name_of(service.name, "search", BUILTIN_TOOLS)
    name = _named(service, "call", names)
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "operation": {"type": "string", "description": "Name of the operation, exactly."},
            "arguments": {"type": "object", "description": "Its arguments."},
            ALL_PAGES: _ALL_PAGES,
        },
        "required": ["operation"],
        "additionalProperties": False,
    }
    spec = ToolSpec(
        effect="external",
        effect_when=effect,
        timeout_s=_limit(service, None),
        on_request=not service.stated.offered,
        returns=LIST_RETURNS,
        free_text=FREE_TEXT,
        check=check,
    )
    description = f"Call an operation of the web service {service.name}, which {search} finds with its arguments."
    return ServiceTool.of(name, description, schema, spec, run)


def operation_as_json(service: Service, operation: Operation) -> dict[str, Any]:
    """An operation for programs."""
    return {
        "name": operation.name,
        "method": operation.method,
        "path": operation.path,
        "effect": "read" if operation.reads else "external",
        "summary": operation.summary,
        "arguments": json.loads(json.dumps(service.schema_of(operation))),
    }

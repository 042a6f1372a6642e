"""OpenAPI: the commands openapi list, check, search and call."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import click

from openmanus_graph import shell_commands
from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext
from openmanus_graph.display_text import counted
from openmanus_graph.errors import OpenManusGraphError, ToolArgumentsError, ToolError, UsageError
from openmanus_graph.memory.embedding.choice import embed_of
from openmanus_graph.tools.openapi.service import Service, services_of
from openmanus_graph.tools.openapi.tools import LINES, operation_as_json, told
from openmanus_graph.tools.rebuild import nearest

EXAMPLE = """As in '{"id": 3}'."""
NONE = "No web service is set. Name one in [openapi.NAME]."


def _services(api: str | None, *, anew: bool) -> dict[str, Service | ToolError]:
    """The services, or one of them.

    Raises:
        UsageError: If there is none of that name.
    """
    settings = Settings.load()
    names = [name for name, stated in settings.openapi.items() if not stated.disabled]
    if api is not None and api not in names:
        raise UsageError(
            f"There is no API {api!r}.",
            hint=nearest(api, names) or f"There are: {', '.join(names) or 'none'}.",
        )
    found = services_of(settings, None if api is None else {api}, anew=anew)
    if not found:
        click.echo(NONE)
    return found


def _service(api: str) -> Service:
    service = _services(api, anew=False)[api]
    if isinstance(service, ToolError):
        raise service
    return service


def _code(found: dict[str, Service | ToolError]) -> int:
    return 1 if any(isinstance(one, ToolError) or one.problems for one in found.values()) else 0


def _as_json(one: Service | ToolError) -> dict[str, Any]:
    if isinstance(one, ToolError):
        return {"error": one.message}
    operations = [operation_as_json(one, operation) for operation in one.operations.values()]
    return {"title": one.index.title, "operations": operations, "problems": one.problems}


def list_operations(api: str | None, as_json: bool) -> int:
    """List the operations; the exit code."""
    found = _services(api, anew=True)
    if as_json:
        print_json({name: _as_json(one) for name, one in found.items()})
        return _code(found)
    rows: list[list[str]] = []
    for name, one in found.items():
        if isinstance(one, ToolError):
            click.echo(str(one), err=True)
            continue
        for operation in one.operations.values():
            effect = "read" if operation.reads else "external"
            rows.append([name, operation.name, effect, f"{operation.method} {operation.path}", operation.summary])
    if rows:
        print_table(["API", "OPERATION", "EFFECT", "REQUEST", "WHAT IT DOES"], rows)
    return _code(found)


def check(api: str | None, as_json: bool) -> int:
    """Say what of the documents cannot be used; the exit code."""
    found = _services(api, anew=True)
    if as_json:
        print_json({name: _as_json(one) for name, one in found.items()})
        return _code(found)
    for name, one in found.items():
        if isinstance(one, ToolError):
            click.echo(f"{name}: cannot be used\n  {one}")
            continue
        title = f" ({one.index.title})" if one.index.title else ""
        click.echo(f"{name}{title}: {counted(len(one.operations), 'operation')}")
        for problem in one.problems:
            click.echo(f"  {problem}")
    return _code(found)


def search(api: str, words: tuple[str, ...], tag: str | None, as_json: bool) -> None:
    """Find operations."""
    service = _service(api)
    embed = embed_of(Settings.load())
    found = asyncio.run(service.search.find_by_meaning(" ".join(words), embed, tag, LINES))
    if as_json:
        print_json([operation_as_json(service, operation) for operation in found])
        return
    click.echo(told(service, found))


def call(api: str, operation: str, arguments: str, all_pages: bool, as_json: bool) -> int:
    """Call an operation once, in the current folder; the exit code."""
    service = _service(api)
    try:
        given: Any = json.loads(arguments)
    except ValueError as error:
        raise UsageError(f"The arguments {arguments!r} are no JSON: {error}.", hint=EXAMPLE) from None
    if not isinstance(given, dict):
        raise UsageError(f"The arguments {arguments!r} are no object.", hint=EXAMPLE)
    if operation not in service.operations:
        raise UsageError(
            f"The API {api!r} has no operation {operation!r}.",
            hint=nearest(operation, list(service.operations))
            or f"Find it with: {shell_commands.openapi_search(api, 'WORDS')}",
        )
    fields = cast("dict[str, Any]", given)
    problems = list(service.problems_of(service.operations[operation], fields))
    if problems:
        raise ToolArgumentsError(f"The call {'; it '.join(problem.text for problem in problems)}.")
    output = asyncio.run(_called(service, operation, fields, all_pages))
    if as_json or output["json"] is None:
        print_json(output)
    else:
        print_json(output["json"])
    if output["error"] is not None:
        click.echo(output["error"], err=True)
    return 0 if output["error"] is None else 1


async def _called(service: Service, operation: str, arguments: dict[str, Any], all_pages: bool) -> dict[str, Any]:
    def report(text: str) -> None:
        click.echo(text, err=True)

    context = ToolContext("openapi", "openapi", Path.cwd(), Settings.load(), report=report)
    try:
        return await service.call(service.operations[operation], arguments, context, all_pages=all_pages)
    except OpenManusGraphError:
        raise
    except Exception as error:
        raise ToolError(f"The service gave no answer, so nobody knows whether the call happened: {error}.") from error

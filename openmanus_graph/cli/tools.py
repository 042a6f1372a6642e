"""Tools: tools list and show."""

from __future__ import annotations

from typing import Any

import click
from langchain_core.tools import BaseTool

from openmanus_graph.cli.terminal import print_json, print_table
from openmanus_graph.errors import UsageError
from openmanus_graph.tools.rebuild import available_tools, nearest
from openmanus_graph.tools.spec import schema_of, spec_of

_PLACES = click.option("--tools", "places", multiple=True, metavar="MODULE_OR_FILE.py", help="Your own tools too.")
_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def _described(tool: BaseTool) -> dict[str, Any]:
    spec = spec_of(tool)
    return {
        "name": tool.name,
        "effect": spec.effect,
        "idempotent": spec.idempotent,
        "resource": spec.resource,
        "timeout_s": spec.timeout_s,
        "description": tool.description,
        "arguments": schema_of(tool),
    }


def list_tools(places: tuple[str, ...], as_json: bool) -> None:
    """List the tools."""
    described = [_described(tool) for tool in available_tools(places).values()]
    if as_json:
        print_json(described)
        return
    rows = [[item["name"], item["effect"], str(item["description"]).split("\n")[0]] for item in described]
    print_table(["TOOL", "EFFECT", "WHAT IT DOES"], rows)


def show(name: str, places: tuple[str, ...], as_json: bool) -> None:
    """Show a tool's arguments and what the engine knows about it."""
    known = available_tools(places)
    if name not in known:
        raise UsageError(
            f"There is no tool {name!r}.",
            hint=nearest(name, list(known)) or "List them: openmanus-graph tools list",
        )
    described = _described(known[name])
    if as_json:
        print_json(described)
        return
    repeat = "idempotent" if described["idempotent"] else "not idempotent"
    click.echo(f"{name} ({described['effect']}, {repeat})\n\n{described['description']}\n\nArguments:")
    schema = described["arguments"]
    required = set(schema.get("required", []))
    for field, facts in schema.get("properties", {}).items():
        kind = facts.get("type") or "/".join(str(option.get("type", "?")) for option in facts.get("anyOf", [])) or "any"
        mark = "required" if field in required else f"default {facts.get('default')!r}"
        click.echo(f"  {field} ({kind}, {mark})  {facts.get('description', '')}".rstrip())

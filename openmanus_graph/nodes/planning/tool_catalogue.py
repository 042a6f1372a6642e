"""Tool catalogue: tools and agents as prompt text for the roles that plan, in as few characters as can be read.

A tool that agents are offered has a line with its signature, any other only its name: the catalogue is in every
request, and a wrong call of a tool comes back with what the tool takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph.agent_nodes import KNOWLEDGE
from openmanus_graph.nodes.offered_tools import reads_web, usable_tools
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.plans.output_shape import ANY, TEXT, Shape
from openmanus_graph.tools.spec import schema_of, spec_of, use_of

_KINDS = {"string": "text", "integer": "int", "number": "number", "boolean": "bool", "array": "[]", "object": "{}"}


def planned_tools(tools: Mapping[str, BaseTool]) -> dict[str, BaseTool]:
    """The tools that a plan is made with: not those for agents only, and no second names of one."""
    specs = {name: spec_of(tool) for name, tool in tools.items()}
    return {name: tool for name, tool in tools.items() if specs[name].planned and specs[name].alias_of is None}


def tools_text(tools: Mapping[str, BaseTool]) -> str:
    """The tools as a planner is told of them: arguments, output and use of most, the names of the rest."""
    planned = planned_tools(tools)
    lines = [_line(tool) for tool in planned.values() if not spec_of(tool).on_request]
    others = [name for name, tool in planned.items() if spec_of(tool).on_request]
    return "\n".join([*lines, *([f"- others: {', '.join(others)}"] if others else [])])


def _line(tool: BaseTool) -> str:
    schema = schema_of(tool)
    required: list[str] = schema.get("required") or []
    fields: dict[str, dict[str, Any]] = schema.get("properties") or {}
    told = [_argument(name, field, required=name in required) for name, field in fields.items()]
    arguments = ", ".join([*(text for text in told if text), *(() if all(told) else ("...",))])
    returns = spec_of(tool).returns
    shape = f" -> {_shape(returns)}" if returns is not None else ""
    return f"- {tool.name}({arguments}){shape}: {use_of(tool)}"


def _argument(name: str, field: Mapping[str, Any], *, required: bool) -> str:
    """An argument, with its kind if it is no text; empty for a limit or switch that has a default."""
    kind = _kind(field)
    if not required and kind in ("int", "number", "bool") and field.get("default") is not None:
        return ""
    return f"{name}{'*' if required else ''}{'' if kind == 'text' else f': {kind}'}"


def _kind(field: Mapping[str, Any]) -> str:
    options: list[Any] = field.get("enum") or []
    if options:
        return "|".join(str(option) for option in options)
    variants = cast("list[dict[str, Any]]", field.get("anyOf") or [field])
    kinds = [str(variant["type"]) for variant in variants if variant.get("type") not in (None, "null")]
    return "|".join(dict.fromkeys(_KINDS.get(kind, kind) for kind in kinds)) or "any"


def _shape(returned: Shape) -> str:
    """The fields of an output, in a few characters."""
    if isinstance(returned, dict):
        inner = [key if value in (TEXT, ANY) else f"{key}: {_shape(value)}" for key, value in returned.items()]
        return "{" + ", ".join(inner) + "}"
    if isinstance(returned, list):
        return "[]" if returned[0] in (TEXT, ANY) else f"[{_shape(cast('Shape', returned[0]))}]"
    return returned


def told_agents(roles: Roles) -> dict[str, str]:
    """The agents that a model is told of: the one that looks into memory and the Web only where there are both."""
    has_both = roles.settings.memory and any(map(reads_web, usable_tools(roles).values()))
    return {name: text for name, text in roles.agents.items() if name != KNOWLEDGE or has_both}


def agents_text(agents: Mapping[str, str]) -> str:
    """The agents that subtasks may be given to, by name with what they do."""
    return "# Agents\n" + "\n".join(f"- {name}: {text}" for name, text in agents.items())


def catalogue_text(roles: Roles) -> str:
    """The tools and agents that a plan can name, without tools that the policy always refuses."""
    tools = tools_text(usable_tools(roles))
    return f"# Tools: name(arguments, * required) -> output\n{tools}\n\n{agents_text(told_agents(roles))}"

"""Tool catalogue: tools and agents as prompt text for the roles that plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.tools import BaseTool

from openmanus_graph.nodes.roles import Roles
from openmanus_graph.plans.output_shape import TEXT, Shape
from openmanus_graph.tools.spec import schema_of, spec_of


def planned_tools(tools: Mapping[str, BaseTool]) -> dict[str, BaseTool]:
    """The tools that a plan is made with: not those for agents only, and no second names of one."""
    specs = {name: spec_of(tool) for name, tool in tools.items()}
    return {name: tool for name, tool in tools.items() if specs[name].planned and specs[name].alias_of is None}


def tools_text(tools: Mapping[str, BaseTool]) -> str:
    """The tools as a planner is told of them: effect, arguments and output."""
    lines: list[str] = []
    for name, tool in planned_tools(tools).items():
        arguments = json.dumps(_arguments(tool), ensure_ascii=False, separators=(",", ":"))
        what = " ".join(tool.description.split("\n\n")[0].split())
        spec = spec_of(tool)
        returns = f" -> {_shape(spec.returns)}" if spec.returns is not None else ""
        lines.append(f"- {name} ({spec.effect}) {arguments}{returns}: {what}")
    return "\n".join(lines)


def _arguments(tool: BaseTool) -> dict[str, Any]:
    """Arguments by name, each with its kind; required ones have a `*`."""
    schema = schema_of(tool)
    required: list[str] = schema.get("required") or []
    fields: dict[str, dict[str, Any]] = schema.get("properties") or {}
    return {f"{name}*" if name in required else name: _kind(field) for name, field in fields.items()}


def _kind(field: dict[str, Any]) -> Any:
    variants: list[dict[str, Any]] = field.get("anyOf") or []
    options = [str(variant.get("type")) for variant in variants if variant.get("type") != "null"]
    kind: Any = field.get("enum") or field.get("type") or "/".join(options) or "any"
    items: dict[str, Any] = field.get("items") or {}
    return [items.get("type", "any")] if kind == "array" else kind


def _shape(returned: Shape) -> str:
    """The fields of an output, in a few characters."""
    if isinstance(returned, dict):
        inner = [key if value == TEXT else f"{key}: {_shape(value)}" for key, value in returned.items()]
        return "{" + ", ".join(inner) + "}"
    return f"[{_shape(returned[0])}]" if isinstance(returned, list) else "..."


def catalogue_text(roles: Roles) -> str:
    """The tools and agents that a plan can name."""
    agents = "\n".join(f"- {name}: {text}" for name, text in roles.agents.items())
    return f"# Tools\n{tools_text(roles.tools)}\n\n# Agents\n{agents}"

"""Fingerprint: a graph's structure as plain JSON, stored with a thread and compared before each run.

It has the nodes and edges of the graph and of those inside it, what their state can hold, the arguments of the tools,
the format of plans, and of words (prompts, descriptions) only that they have changed.
"""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, cast
from weakref import WeakKeyDictionary

from langchain_core.tools import BaseTool
from langgraph.channels.base import BaseChannel
from langgraph.graph import START
from langgraph.pregel import Pregel

from openmanus_graph._version import __version__
from openmanus_graph.agent_nodes import PROMPTS
from openmanus_graph.graphs.compatibility.value_type import ValueType, of_annotation, of_schema
from openmanus_graph.langgraph_internals import TO_NODE, is_inner
from openmanus_graph.plan import Plan
from openmanus_graph.tools.spec import schema_of, spec_of
from openmanus_graph.values.storable_json import storable

FORMAT = 1
"""Another one is not compared: the thread goes on, and has the new one from then on."""
CLOSURES = 3
"""How many functions around a node's own are looked through for the graph that it runs."""

_made: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def fingerprint_of(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any]:
    """The fingerprint of a compiled graph, made once.

    Args:
        graph: The compiled graph.

    Returns:
        `format`, `program` (versions, which are told and not compared), `graph`, `tools`, `plan` and `prompts`.
    """
    if graph not in _made:
        _made[graph] = _fingerprint(graph)
    return _made[graph]


def _fingerprint(graph: Pregel[Any, Any, Any, Any]) -> dict[str, Any]:
    tools: dict[str, BaseTool] = {}
    structure = _structure(graph, tools, ())
    builder: Any = getattr(graph, "builder", None)
    tools |= cast("Mapping[str, BaseTool]", getattr(builder, "tools", None) or {})
    found: dict[str, Any] = {
        "format": FORMAT,
        "program": {"openmanus-graph": __version__, "langgraph": version("langgraph")},
        "graph": structure,
        "tools": {name: _tool(tool) for name, tool in sorted(tools.items())},
        "prompts": {},
    }
    if hasattr(builder, "tools") and "plan" in structure["channels"]:
        found["plan"] = of_schema(Plan.model_json_schema())
    roles = getattr(builder, "roles", None)
    if roles is not None:
        found["prompts"] = {role: _hash(str(roles.prompt(role).text)) for role in PROMPTS}
    return storable(found)


def _structure(
    graph: Pregel[Any, Any, Any, Any], tools: dict[str, BaseTool], around: tuple[Any, ...]
) -> dict[str, Any]:
    """Nodes, edges and channels of a graph; its tools are added to `tools`."""
    nodes: dict[str, Any] = {}
    for name, node in graph.nodes.items():
        if name == START:
            continue
        nodes[name] = facts = cast("dict[str, Any]", {})
        if TO_NODE + name not in node.triggers:
            facts["triggers"] = sorted(node.triggers)
        tools |= cast("dict[str, BaseTool]", getattr(node.bound, "tools_by_name", None) or {})
        inner = next(iter(node.subgraphs), None) or _graph_behind(node.bound)
        if isinstance(inner, Pregel) and inner not in (*around, graph):
            facts["graph"] = _structure(inner, tools, (*around, graph))
    channels = {
        name: _channel(channel)
        for name, channel in graph.channels.items()
        if isinstance(channel, BaseChannel) and not is_inner(name)
    }
    return {"nodes": nodes, "edges": _edges(graph), "channels": channels}


def _graph_behind(bound: Any) -> Any:
    """The graph that a node's function has in its closure, or in that of a function it wraps."""
    functions = [getattr(bound, "func", None) or getattr(bound, "afunc", None)]
    for _ in range(CLOSURES):
        values: list[Any] = []
        for function in functions:
            for cell in getattr(function, "__closure__", None) or ():
                try:
                    values.append(cell.cell_contents)
                except ValueError:  # not filled yet
                    continue
        found = next((value for value in values if isinstance(value, Pregel)), None)
        if found is not None:
            return found
        functions = [value for value in values if callable(value)]
    return None


def _edges(graph: Pregel[Any, Any, Any, Any]) -> list[str]:
    builder: Any = getattr(graph, "builder", None)
    found = {f"{start} → {end}" for start, end in getattr(builder, "edges", ())}
    found |= {f"{' + '.join(sorted(starts))} → {end}" for starts, end in getattr(builder, "waiting_edges", ())}
    branches = cast("Mapping[str, Mapping[str, Any]]", getattr(builder, "branches", {}))
    for start, choices in branches.items():
        for choice in choices.values():
            ends = cast("Mapping[Any, str] | None", choice.ends)
            found |= {f"{start} → {end}" for end in (ends.values() if ends else ["any node"])}
    return sorted(found)


def _channel(channel: BaseChannel[Any, Any, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        "kind": type(channel).__name__,
        "holds": of_annotation(getattr(channel, "typ", None) or channel.ValueType),
    }
    merged: Any = getattr(channel, "operator", None) or getattr(channel, "reducer", None)
    if merged is not None:
        kept["merged by"] = str(getattr(merged, "__name__", type(merged).__name__))
    return kept


def _tool(tool: BaseTool) -> dict[str, Any]:
    schema = schema_of(tool)
    members = cast("dict[str, Any]", schema.get("properties") or {})
    args: dict[str, ValueType] = {name: of_schema(member, schema) for name, member in members.items()}
    described = [tool.description, {name: member.get("description") for name, member in members.items()}]
    return {
        "args": args,
        "required": sorted(str(name) for name in schema.get("required") or [] if name in members),
        "open": schema.get("additionalProperties") is True,
        "effect": spec_of(tool).effect,
        "words": _hash(json.dumps(described, sort_keys=True, default=str)),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]

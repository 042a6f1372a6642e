"""Schemas: the types that a compiled graph names, of its state, its nodes and the graphs inside it."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from langgraph.channels.base import BaseChannel
from langgraph.pregel import Pregel


def schemas_of(graph: Pregel[Any, Any, Any, Any]) -> list[Any]:
    """The types that a graph and the graphs inside it name; one that a node calls without being one is not seen."""
    graphs = [graph, *(cast("Pregel[Any, Any, Any, Any]", inner) for _, inner in graph.get_subgraphs(recurse=True))]
    return [schema for one in graphs for schema in _schemas(one)]


def _schemas(graph: Pregel[Any, Any, Any, Any]) -> Iterator[Any]:
    builder: Any = getattr(graph, "builder", None)
    for name in ("state_schema", "input_schema", "output_schema", "context_schema"):
        yield getattr(builder, name, None)
    for node in (getattr(builder, "nodes", None) or {}).values():
        yield getattr(node, "input_schema", None)
    for branches in (getattr(builder, "branches", None) or {}).values():
        for branch in branches.values():
            yield getattr(branch, "input_schema", None)
    for channel in graph.channels.values():
        if isinstance(channel, BaseChannel):
            yield getattr(channel, "typ", None)

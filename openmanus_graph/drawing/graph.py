"""Graph: a compiled graph, subgraphs included, as text or Mermaid, drawn from the code and offline."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from typing import Any

from langgraph.pregel import Pregel


def graph_mermaid(app: Pregel[Any, Any, Any, Any]) -> str:
    """The graph as Mermaid, as LangGraph itself draws it."""
    return app.get_graph(xray=True).draw_mermaid()


def graph_text(app: Pregel[Any, Any, Any, Any]) -> str:
    """One line a node with the nodes it leads to; `?` marks an edge that is taken on a condition."""
    drawn = app.get_graph(xray=True)
    leads: dict[str, list[str]] = {}
    for edge in drawn.edges:
        if edge.source != edge.target:
            leads.setdefault(edge.source, []).append(f"{edge.target}{'?' if edge.conditional else ''}")
    return "\n".join(f"{source} → {', '.join(targets)}" for source, targets in leads.items())

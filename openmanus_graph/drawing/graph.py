"""Graph: a compiled graph, subgraphs included, as text or Mermaid, drawn from the code and offline."""

from __future__ import annotations

from langgraph.pregel import Pregel


def graph_mermaid(app: Pregel) -> str:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] - any graph
    """The graph as Mermaid, as LangGraph itself draws it."""
    return app.get_graph(xray=True).draw_mermaid()


def graph_text(app: Pregel) -> str:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] - any graph
    """One line a node that leads somewhere, with the nodes it leads to; `?` marks an edge that is taken on a condition."""
    drawn = app.get_graph(xray=True)
    leads: dict[str, list[str]] = {}
    for edge in drawn.edges:
        if edge.source != edge.target:
            leads.setdefault(edge.source, []).append(f"{edge.target}{'?' if edge.conditional else ''}")
    return "\n".join(f"{source} → {', '.join(targets)}" for source, targets in leads.items())

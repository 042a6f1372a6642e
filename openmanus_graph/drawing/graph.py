"""Graph: a compiled graph, subgraphs included, as text or Mermaid, drawn from the code and offline."""

from __future__ import annotations

from langgraph.pregel import Pregel


def graph_mermaid(app: Pregel) -> str:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] - any graph
    """The graph as Mermaid, as LangGraph itself draws it."""
    return app.get_graph(xray=True).draw_mermaid()


def graph_text(app: Pregel) -> str:  # pyright: ignore[reportMissingTypeArgument, reportUnknownParameterType] - any graph
    """One line a node, with the nodes it leads to; `?` marks an edge that is taken on a condition."""
    drawn = app.get_graph(xray=True)
    lines: list[str] = []
    for node in drawn.nodes.values():
        following = [
            f"{drawn.nodes[edge.target].name}{'?' if edge.conditional else ''}"
            for edge in drawn.edges
            if edge.source == node.id
        ]
        lines.append(f"{node.name} → {', '.join(following)}" if following else node.name)
    return "\n".join(lines)

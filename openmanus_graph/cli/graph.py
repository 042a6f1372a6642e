"""graph: see the compiled graph that executes plans."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import click


@click.group()
def graph() -> None:
    """Look at the graph that executes plans."""


@graph.command()
@click.option("--format", "form", type=click.Choice(["text", "mermaid"]), default="text", show_default=True)
@click.option("--tools", "places", multiple=True, metavar="MODULE_OR_FILE.py", help="Your own tools.")
def show(form: str, places: tuple[str, ...]) -> None:
    """Draw the plan graph with the subtask graph inside it, from the code."""
    from openmanus_graph.drawing.graph import graph_mermaid, graph_text
    from openmanus_graph.graphs.plan import build_plan_graph
    from openmanus_graph.tools.reference import available_tools

    app = build_plan_graph(list(available_tools(places).values())).compile()
    click.echo(graph_mermaid(app) if form == "mermaid" else graph_text(app))

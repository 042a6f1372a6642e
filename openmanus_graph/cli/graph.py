"""Graph drawing: graph show, for compiled graphs."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from openmanus_graph.cli.picture import format_of, put_out
from openmanus_graph.drawing.graph import graph_mermaid, graph_svg, graph_text
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.graphs.plan import build_plan_graph
from openmanus_graph.loading.graphs import load_graph
from openmanus_graph.tools.rebuild import available_tools


def show(which: str, form: str | None, output: Path | None, flat: bool, places: tuple[str, ...]) -> None:
    """Draw a graph with the graphs inside it, from the code."""
    draw = {"text": graph_text, "mermaid": graph_mermaid, "svg": graph_svg}[format_of(form, output)]
    put_out(draw(_compiled(which, places), xray=not flat), output)


async def _own(which: str) -> Any:
    async with await load_graph(which) as loaded:
        return loaded.graph


def _compiled(which: str, places: tuple[str, ...]) -> Any:
    if which not in ("manus", "plan"):
        loaded = asyncio.run(_own(which))
        return loaded.compile() if hasattr(loaded, "compile") else loaded
    tools = list(available_tools(places).values())
    if which == "plan":
        return build_plan_graph(tools).compile()

    # Drawing calls no model, so any name of one does.
    return build_manus_graph(models="none/drawn-only", tools=tools).compile()

"""Drawing: graphs, plans, runs and histories as SVG, Mermaid and text, always the same and offline."""

# LangGraph ships no types for what is imported here.
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.errors import UsageError

if TYPE_CHECKING:
    from openmanus_graph.drawing.style import Theme


def svg_of(thing: Any, *, theme: Theme = "auto") -> str:
    """A graph, plan, timeline, history, thread record or diagram as SVG.

    Args:
        thing: A graph, compiled or not; a plan, also as a plain dict; a thread, of which the plan is drawn; what
            the store has of one (`Record`); a `Timeline`, a `HistoryTree` or a `Diagram`.
        theme: Its colours; by default those that the reader's system prefers.

    Raises:
        UsageError: If there is no picture of it.
    """
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel

    from openmanus_graph.checkpoints.threads import Thread
    from openmanus_graph.drawing.diagram import Diagram
    from openmanus_graph.drawing.gantt import gantt_svg
    from openmanus_graph.drawing.graph import graph_svg
    from openmanus_graph.drawing.plan import plan_svg
    from openmanus_graph.drawing.record import Record
    from openmanus_graph.drawing.svg import svg
    from openmanus_graph.drawing.timeline import Timeline
    from openmanus_graph.drawing.tree import HistoryTree, tree_svg
    from openmanus_graph.plan import Plan

    kind = type(thing).__name__
    if isinstance(thing, StateGraph):
        thing = thing.compile()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(thing, Pregel):
        return graph_svg(thing, theme=theme)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(thing, Thread):
        thing = thing.plan
    if isinstance(thing, Record) and thing.plan is not None:
        return plan_svg(thing.plan, thing.states, thing.timeline.critical, theme=theme)
    if isinstance(thing, Record):
        return gantt_svg(thing.timeline, theme=theme)
    if isinstance(thing, Plan | dict) and thing:
        return plan_svg(Plan.parse(cast("Plan | dict[str, Any]", thing)), theme=theme)
    if isinstance(thing, Timeline):
        return gantt_svg(thing, theme=theme)
    if isinstance(thing, HistoryTree):
        return tree_svg(thing, theme=theme)
    if isinstance(thing, Diagram):
        return svg(thing, theme=theme)
    raise UsageError(
        f"There is no picture of a {kind!r}.",
        hint="Give a graph, a plan, a thread with a plan, a timeline or a history.",
    )

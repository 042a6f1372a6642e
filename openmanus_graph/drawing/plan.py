"""Plan: the DAG of a plan as SVG, Mermaid or text, with the states of its subtasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise

from openmanus_graph.display_text import counted
from openmanus_graph.drawing.diagram import Box, Diagram, Link, State
from openmanus_graph.drawing.label import plain
from openmanus_graph.drawing.mermaid import mermaid
from openmanus_graph.drawing.style import SIGNS, Theme
from openmanus_graph.drawing.svg import svg
from openmanus_graph.plan import Plan

MOST_TOLD = 100
"""Subtasks that the description names."""


def levels(plan: Plan) -> dict[str, int]:
    """Length of the longest chain of prerequisites of each subtask, by id, in plan order."""
    depth: dict[str, int] = {}
    for subtask in plan.in_order():
        depth[subtask.id] = max((depth[need] + 1 for need in plan.prerequisites(subtask)), default=0)
    return {subtask.id: depth[subtask.id] for subtask in plan.subtasks}


def plan_diagram(plan: Plan, states: Mapping[str, State] | None = None, critical: Collection[str] = ()) -> Diagram:
    """Subtasks of the plan, each with arrows from its prerequisites.

    Args:
        plan: The plan.
        states: What subtasks stand at, by id; those that are not named have no sign.
        critical: Subtasks on the critical path, in order; they and the links between them are marked.
    """
    states = states or {}
    chain = list(critical)
    marked = set(pairwise(chain))
    boxes = [
        Box(
            subtask.id,
            subtask.id,
            str(subtask.tool or subtask.agent),
            subtask.goal,
            states.get(subtask.id, ""),
            marked=subtask.id in chain,
        )
        for subtask in plan.subtasks
    ]
    links = [
        Link(need, subtask.id, marked=(need, subtask.id) in marked)
        for subtask in plan.subtasks
        for need in plan.prerequisites(subtask)
    ]
    return Diagram(boxes, links, plan.name or plan.goal or "Plan", _description(plan, states))


def _description(plan: Plan, states: Mapping[str, State]) -> str:
    parts: list[str] = []
    for subtask in plan.subtasks[:MOST_TOLD]:
        needs = plan.prerequisites(subtask)
        after = f" after {', '.join(needs)}" if needs else ""
        state = states.get(subtask.id)
        parts.append(f"{subtask.id}{f' ({state})' if state else ''}{after}")
    more = len(plan.subtasks) - len(parts)
    return f"{counted(len(plan.subtasks), 'subtask')}: {'; '.join(parts)}{f'; and {more} more' if more else ''}."


def plan_svg(
    plan: Plan,
    states: Mapping[str, State] | None = None,
    critical: Collection[str] = (),
    *,
    theme: Theme = "auto",
    headline: bool = True,
) -> str:
    """The plan as SVG.

    Args:
        plan: The plan.
        states: What subtasks stand at, by id.
        critical: Subtasks on the critical path, in order.
        theme: Its colours; by default those that the reader's system prefers.
        headline: Whether it says above what it is; a page that says so itself needs none.
    """
    return svg(plan_diagram(plan, states, critical), theme=theme, headline=headline)


def plan_text(plan: Plan, states: Mapping[str, State] | None = None) -> str:
    """One line a subtask, indented by its depth, with what it needs and what runs it."""
    depth = levels(plan)
    states = states or {}
    lines = [plain(plan.goal)] if plan.goal else []
    for subtask in sorted(plan.subtasks, key=lambda item: depth[item.id]):
        needs = ", ".join(plan.prerequisites(subtask))
        arrow = f"  ← {needs}" if needs else ""
        sign = SIGNS[states.get(subtask.id, "")] or "●"
        lines.append(f"{'  ' * depth[subtask.id]}{sign} {subtask.id} ({subtask.tool or subtask.agent}){arrow}")
        if subtask.goal:
            lines.append(f"{'  ' * depth[subtask.id]}  {plain(subtask.goal)}")
    return "\n".join(lines)


def plan_mermaid(plan: Plan, states: Mapping[str, State] | None = None) -> str:
    """A Mermaid flowchart, prerequisites pointing at what needs them."""
    return mermaid(plan_diagram(plan, states), down=False)

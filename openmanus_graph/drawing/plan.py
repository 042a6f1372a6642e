"""Plan: the DAG of a plan as text for a terminal, or as Mermaid for a page."""

from __future__ import annotations

from openmanus_graph.plan import Plan


def levels(plan: Plan) -> dict[str, int]:
    """How many prerequisites are one behind the other before each subtask, by id, in plan order."""
    depth: dict[str, int] = {}
    left = {subtask.id: plan.prerequisites(subtask) for subtask in plan.subtasks}
    while left:
        ready = [key for key, needs in left.items() if all(need in depth for need in needs)]
        for key in ready:
            depth[key] = max((depth[need] + 1 for need in left.pop(key)), default=0)
    return {subtask.id: depth[subtask.id] for subtask in plan.subtasks}


def plan_text(plan: Plan) -> str:
    """One line a subtask, indented by its depth, with what it needs and what runs it."""
    depth = levels(plan)
    lines = [plan.goal] if plan.goal else []
    for subtask in sorted(plan.subtasks, key=lambda item: depth[item.id]):
        needs = ", ".join(plan.prerequisites(subtask))
        arrow = f"  ← {needs}" if needs else ""
        lines.append(f"{'  ' * depth[subtask.id]}● {subtask.id} ({subtask.tool or subtask.agent}){arrow}")
        if subtask.goal:
            lines.append(f"{'  ' * depth[subtask.id]}  {subtask.goal}")
    return "\n".join(lines)


def plan_mermaid(plan: Plan) -> str:
    """A Mermaid flowchart, prerequisites pointing at what needs them."""
    numbers = {subtask.id: f"s{index}" for index, subtask in enumerate(plan.subtasks)}
    lines = ["flowchart LR"]
    for subtask in plan.subtasks:
        lines.append(f'    {numbers[subtask.id]}["{subtask.id}<br/>{subtask.tool or subtask.agent}"]')
    for subtask in plan.subtasks:
        lines += [f"    {numbers[need]} --> {numbers[subtask.id]}" for need in plan.prerequisites(subtask)]
    return "\n".join(lines)

"""Tool use: checks that the tools, agents, arguments and output fields of a plan exist."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.plans.arguments import argument_problems
from openmanus_graph.plans.json_values import shown
from openmanus_graph.plans.output_shape import missing_field, shape_of
from openmanus_graph.plans.validation import Names, Outline, PlanProblem, place_of

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def use_problems(
    outlines: list[Outline],
    tools: Mapping[str, BaseTool] | None,
    agents: Collection[str] | None,
) -> Iterator[PlanProblem]:
    """Problems of subtasks with the tools and agents that they name.

    Args:
        outlines: The plan's subtasks.
        tools: The tools by name; `None` means that tools are not checked.
        agents: The names of the agents; `None` means that agents are not checked.
    """
    if tools is not None:
        yield from _tool_problems(outlines, tools)
    if agents is not None:
        known = Names(agents)
        some = f"the agents are {', '.join(sorted(agents)[:20])}" if agents else "there are no agents"
        for subtask in outlines:
            agent = subtask.raw.get("agent")
            if isinstance(agent, str) and agent not in known:
                text = f"names the unknown agent {shown(agent)}; {known.cure(agent, some)}"
                yield PlanProblem((*subtask.path, "agent"), text)


def _tool_problems(outlines: list[Outline], tools: Mapping[str, BaseTool]) -> Iterator[PlanProblem]:
    known = Names(tools)
    some = f"the tools are {', '.join(sorted(tools)[:20])}" if tools else "there are no tools"
    by_id = {subtask.id: subtask for subtask in outlines if subtask.id is not None}
    for subtask in outlines:
        tool = subtask.raw.get("tool")
        args = subtask.raw.get("args", {})
        if isinstance(tool, str):
            if tool not in known:
                text = f"names the unknown tool {shown(tool)}; {known.cure(tool, some)}"
                yield PlanProblem((*subtask.path, "tool"), text)
            elif isinstance(args, dict) and not subtask.malformed:
                yield from argument_problems(tools[tool], cast("dict[str, Any]", args), (*subtask.path, "args"))
        allowed = subtask.raw.get("tools")
        for place, name in enumerate(cast("list[Any]", allowed) if isinstance(allowed, list) else []):
            if isinstance(name, str) and name not in known:
                text = f"allows the unknown tool {shown(name)}; {known.cure(name, some)}"
                yield PlanProblem((*subtask.path, "tools", place), text)
        for path, reference in subtask.references:
            source = by_id.get(reference.subtask_id)
            name = None if source is None else source.raw.get("tool")
            shape = shape_of(tools[name]) if isinstance(name, str) and name in tools else None
            if isinstance(name, str) and shape is not None:
                text = missing_field(reference, name, shape)
                if text is not None:
                    yield PlanProblem(path, f"in {place_of(path)}, {str(reference)!r} {text}")

"""Tool use: whether the tools, agents, arguments and output fields that a plan names exist."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.plans.arguments import argument_problems
from openmanus_graph.plans.output_shape import missing_field, shape_of
from openmanus_graph.plans.plain import shown
from openmanus_graph.plans.validation import Names, Outline, Problem, place_of

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


def use_problems(
    outlines: list[Outline],
    tools: Mapping[str, BaseTool] | None,
    agents: Collection[str] | None,
) -> Iterator[Problem]:
    """What is wrong between the subtasks and the tools and agents there are.

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
        for one in outlines:
            agent = one.raw.get("agent")
            if isinstance(agent, str) and agent not in known:
                text = f"names the unknown agent {shown(agent)}; {known.cure(agent, some)}"
                yield Problem((*one.path, "agent"), text)


def _tool_problems(outlines: list[Outline], tools: Mapping[str, BaseTool]) -> Iterator[Problem]:
    known = Names(tools)
    some = f"the tools are {', '.join(sorted(tools)[:20])}" if tools else "there are no tools"
    by_id = {one.id: one for one in outlines if one.id is not None}
    for one in outlines:
        tool = one.raw.get("tool")
        args = one.raw.get("args", {})
        if isinstance(tool, str):
            if tool not in known:
                text = f"names the unknown tool {shown(tool)}; {known.cure(tool, some)}"
                yield Problem((*one.path, "tool"), text)
            elif isinstance(args, dict) and not one.malformed:
                yield from argument_problems(tools[tool], cast("dict[str, Any]", args), (*one.path, "args"))
        allowed = one.raw.get("tools")
        for place, name in enumerate(cast("list[Any]", allowed) if isinstance(allowed, list) else []):
            if isinstance(name, str) and name not in known:
                text = f"allows the unknown tool {shown(name)}; {known.cure(name, some)}"
                yield Problem((*one.path, "tools", place), text)
        for path, reference in one.references:
            source = by_id.get(reference.subtask_id)
            name = None if source is None else source.raw.get("tool")
            shape = shape_of(tools[name]) if isinstance(name, str) and name in tools else None
            if isinstance(name, str) and shape is not None:
                text = missing_field(reference, name, shape)
                if text is not None:
                    yield Problem(path, f"in {place_of(path)}, {str(reference)!r} {text}")

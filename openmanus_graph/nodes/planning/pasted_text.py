"""Pasted text: finds where a model's plan pastes text of unknown content into code that is run.

Nobody knows what a page, a file, a person or an agent says: one quote or line break of it changes what is run. Plans of
people are not refused for it, since they may know; a model that is told writes it in another way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph.plans.output_shape import Shape
from openmanus_graph.plans.references import Reference, whole_reference
from openmanus_graph.plans.validation import Outline, PlanProblem
from openmanus_graph.tools.spec import ToolSpec, schema_of, spec_of

VARIABLES = "variables"
"""The argument of the built-in tools that run code, by which values reach it."""


def pasted_text_problems(
    outlines: Collection[Outline], tools: Mapping[str, BaseTool], completed: Collection[str] = ()
) -> Iterator[PlanProblem]:
    """Problems of subtasks that paste text of unknown content into code.

    Args:
        outlines: The subtasks.
        tools: The tools by name.
        completed: Ids of subtasks that have run, and are not changed any more.
    """
    by_id = {outline.id: outline for outline in outlines if outline.id is not None}
    for outline in outlines:
        tool = tools.get(str(outline.raw.get("tool")))
        argument = None if tool is None else spec_of(tool).code_argument
        if tool is None or argument is None or outline.id in completed:
            continue
        for path, reference in outline.references:
            source = by_id.get(reference.subtask_id)
            if source is None or path[2:] != ("args", argument) or not _is_unknown(reference, source, tools):
                continue
            args = cast("dict[str, Any]", outline.raw["args"])
            if source.raw.get("agent") is not None and whole_reference(args[argument]) is not None:
                continue  # the code itself is what the agent was asked for
            yield PlanProblem(path, _problem(reference, argument, tool))


def _is_unknown(reference: Reference, source: Outline, tools: Mapping[str, BaseTool]) -> bool:
    """Whether a reference names text whose content nobody knows."""
    if source.raw.get("agent") is not None:
        return True
    tool = tools.get(str(source.raw.get("tool")))
    spec = ToolSpec() if tool is None else spec_of(tool)
    if not spec.free_text:
        return False
    named = {*reference.path, *_fields(_part(spec.returns or "", reference.path))}
    return not named.isdisjoint(spec.free_text)


def _part(shape: Shape, path: Collection[str]) -> Shape:
    """The shape that a path leads to."""
    for part in path:
        if isinstance(shape, dict):
            shape = cast("Shape", shape.get(part, ""))
        elif isinstance(shape, list):
            shape = cast("Shape", shape[0])
    return shape


def _fields(shape: Shape) -> Iterator[str]:
    """The names of all fields in a shape."""
    if isinstance(shape, dict):
        for name, inside in shape.items():
            yield name
            yield from _fields(cast("Shape", inside))
    elif isinstance(shape, list):
        yield from _fields(cast("Shape", shape[0]))


def _problem(reference: Reference, argument: str, tool: BaseTool) -> str:
    pasted = (
        f"pastes {str(reference)!r} into 'args.{argument}', where quotes and line breaks of that text become part of "
        "the code"
    )
    if VARIABLES in (schema_of(tool).get("properties") or {}):
        own = '"$text"' if tool.name == "bash" else "text"
        return (
            f'{pasted}; give it as "{VARIABLES}": {{"text": "{reference}"}} in \'args\', and write {own} in its place'
        )
    return f"{pasted}; write it to a file in a subtask before, and name the file"

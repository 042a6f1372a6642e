"""Tool use: whether the tools, agents, arguments and output fields that a plan names exist."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from openmanus_graph.plans.arguments import argument_problems
from openmanus_graph.plans.plain import shown
from openmanus_graph.plans.references import Reference
from openmanus_graph.plans.validation import Names, Outline, Problem, place_of

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

UNKNOWN = object()
"""Stands in `RETURNS` for a value whose fields are not fixed."""
TEXT = "text"
"""Stands in `RETURNS` for text, a number or a truth value: nothing inside it can be named."""

_RESULT = dict.fromkeys(("position", "title", "url", "description", "text", "engine"), TEXT)
_PAGE = dict.fromkeys(("url", "title", "markdown", "status", "error", "truncated"), TEXT) | {"links": UNKNOWN}

RETURNS: dict[str, Any] = {
    "bash": {"stdout": TEXT, "stderr": TEXT, "exit_code": TEXT, "timed_out": TEXT},
    "python_execute": {"stdout": TEXT, "result": UNKNOWN, "error": UNKNOWN, "files": [TEXT]},
    "str_replace_editor": {"text": TEXT, "path": TEXT},
    "list_files": {"files": [TEXT], "truncated": TEXT},
    "search_files": {"matches": [{"path": TEXT, "line": TEXT, "text": TEXT}], "truncated": TEXT},
    "fetch_page": {"pages": [_PAGE]},
    "crawl4ai": {"pages": [_PAGE]},
    "web_search": {"results": [_RESULT]},
    "http_request": {
        "status": TEXT,
        "headers": UNKNOWN,
        "json": UNKNOWN,
        "text": TEXT,
        "truncated": TEXT,
        "error": TEXT,
    },
    "planning": {"text": TEXT, "plan_id": TEXT, "plan": UNKNOWN, "plans": UNKNOWN},
    "create_chat_completion": UNKNOWN,
    "ask_human": {"answer": UNKNOWN},
    "terminate": {"status": TEXT, "answer": TEXT, "error": TEXT},
}
"""The output of each built-in tool: a mapping of fields, a list of what each item is, or one of the above."""


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
            if isinstance(name, str) and name in RETURNS and name in tools and is_builtin(tools[name]):
                text = missing_field(reference, name)
                if text is not None:
                    yield Problem(path, f"in {place_of(path)}, {str(reference)!r} {text}")


def is_builtin(tool: BaseTool) -> bool:
    """Whether `tool` is the engine's own, and not a tool of the user's with the same name."""
    function: Any = getattr(tool, "coroutine", None)
    module = str(getattr(function, "__module__", ""))
    return module == f"openmanus_graph.tools.{tool.name}"


def missing_field(reference: Reference, tool: str) -> str | None:
    """What is wrong with the path of a reference to the output of a built-in tool, or `None`."""
    shape: Any = RETURNS[tool]
    for part in reference.path:
        if shape is UNKNOWN:
            return None
        if isinstance(shape, dict):
            fields = cast("dict[str, Any]", shape)
            if part not in fields:
                cure = Names(fields).cure(part, f"it has {', '.join(fields)}")
                return f"names {part!r}, which the output of tool {tool!r} does not have; {cure}"
            shape = fields[part]
        elif isinstance(shape, list):
            if not (part.isascii() and part.isdigit()):
                return f"asks for {part!r} of a list in the output of tool {tool!r}; use an index such as 0"
            shape = cast("list[Any]", shape)[0]
        else:
            return f"asks for {part!r} of text in the output of tool {tool!r}; leave it out"
    return None

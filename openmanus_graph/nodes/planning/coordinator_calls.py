"""Coordinator calls: what the coordinator's model may call, in as few tokens as it can be used by.

A built-in tool is declared by its signature: what is wrong with a call comes back with what the tool takes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from langchain_core.tools import BaseTool

from openmanus_graph.agent_nodes import EXECUTOR
from openmanus_graph.nodes.offered_tools import MORE_TOOLS, NAMES, declaration
from openmanus_graph.nodes.planning.direct_calls import DELEGATE
from openmanus_graph.nodes.planning.proposal import SUBMIT
from openmanus_graph.nodes.planning.tool_catalogue import planned_tools
from openmanus_graph.tools.registry import is_builtin
from openmanus_graph.tools.spec import schema_of, use_of

ASK = "ask"
PLAN = "plan"
"""The calls with which a person is asked, and a planner of its own."""
_DELEGATE_WORDS = (
    "Have an agent write, judge or try out what takes several steps; several small items together, not one agent each. "
    "Where all other calls serve it, its answer is the final one."
)
_TAKEN = (ASK, PLAN, DELEGATE, SUBMIT, MORE_TOOLS, "ask_human")
_ASK_WORDS = "Ask the person, only if the task cannot sensibly be begun without the answer."
TEXT: Mapping[str, Any] = {"type": "string"}
PLAN_CALL = declaration(
    PLAN,
    "Have the task planned and carried out.",
    {"why": {**TEXT, "description": "What has to be done, in a few words."}},
)
ASK_CALL = declaration(ASK, _ASK_WORDS, {"question": TEXT}, ["question"])


def delegate_call(agents: Collection[str]) -> BaseTool:
    """The call with which work is given to an agent; with references to other calls it is a DAG of any kind.

    Args:
        agents: Names of the agents that may be given work; where one is not the executor, it may say which.
    """
    fields: dict[str, Any] = {"goal": TEXT, "done_when": TEXT, "tools": {"type": "array", "items": TEXT}}
    if others := [name for name in agents if name != EXECUTOR]:
        fields["agent"] = {"enum": others}
    return declaration(DELEGATE, _DELEGATE_WORDS, fields, ["goal", "done_when"])


def declared(tool: BaseTool) -> BaseTool:
    """A tool as the coordinator's model is told of it: a built-in one without descriptions and what has a default."""
    if not is_builtin(tool):
        return tool
    schema = schema_of(tool)
    required: list[str] = schema.get("required") or []
    fields: Mapping[str, Any] = schema.get("properties") or {}
    kept = {name: _kind(field) for name, field in fields.items() if name in required or not _is_minor(field)}
    return declaration(tool.name, use_of(tool), kept, required)


def more_tools_call(names: Collection[str]) -> BaseTool:
    """The call by which the coordinator gets schemas of more tools.

    Args:
        names: What there is.
    """
    return declaration(MORE_TOOLS, f"Get more tools: {', '.join(names)}", NAMES, ["names"])


def _is_minor(field: Mapping[str, Any]) -> bool:
    """Whether an optional member has a default, or bounds of its own such as a limit or a code has."""
    meant = _meant(field)
    return field.get("default") not in (None, "") or "pattern" in meant or bool(meant.get("minimum"))


def _meant(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first kind of a member that is not nothing."""
    variants = cast("list[dict[str, Any]]", field.get("anyOf") or [])
    options = [variant for variant in variants if variant.get("type") != "null"]
    return options[0] if options else field


def _kind(field: Mapping[str, Any]) -> dict[str, Any]:
    """The type of a member, without words and bounds."""
    meant = _meant(field)
    kind: dict[str, Any] = {key: meant[key] for key in ("type", "enum") if key in meant}
    items = cast("dict[str, Any]", meant.get("items") or {})
    return {**kind, "items": {"type": items["type"]}} if "type" in items else kind


def callable_tools(tools: Mapping[str, BaseTool]) -> dict[str, BaseTool]:
    """The tools that a reply may call: those of plans, but the one that asks, and one that has the name of our calls.

    Agents have them all the same.
    """
    return {name: tool for name, tool in planned_tools(tools).items() if name not in _TAKEN}

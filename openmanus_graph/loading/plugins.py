"""Plug-ins: agents and tools that other installed packages bring, found by their entry points."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph.errors import SettingsError

AGENTS = "openmanus_graph.agents"
"""Entry points of agents: each names a graph, an `Agent`, or a function without arguments that returns one."""
TOOLS = "openmanus_graph.tools"
"""Entry points of tools: each names a LangChain tool, a list of them, or a function that returns either."""

FoundT = TypeVar("FoundT")

_AGENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_log = logging.getLogger(__name__)
_told: set[str] = set()
"""Warnings that were given already: a plug-in is looked for by every command, and complained of once."""


@dataclass(frozen=True)
class Agent:
    """A graph that the planner may give subtasks to."""

    name: str
    """What plans call it: letters, digits, `_` and `-`, at most 64."""
    description: str
    """What it is good at, in a sentence or two; the planner chooses by it."""
    graph: Pregel[Any, Any, Any, Any]
    """The compiled graph; its input takes the goal as `messages`, `task` or its only string field."""


def agent_of(name: str, graph: Any, description: str | None = None) -> Agent:
    """A graph as an agent.

    Args:
        name: Its name in plans.
        graph: A compiled graph, a `StateGraph`, or an `Agent`.
        description: What it is good at; `None` means the graph's `description`, else what its nodes are called.

    Raises:
        SettingsError: If the name does not fit, or it is no graph.
    """
    if not _AGENT_NAME.fullmatch(name):
        raise SettingsError(
            f"An agent cannot be named {name!r}.", hint="Use letters, digits, _ and -, at most 64 of them."
        )
    if isinstance(graph, Agent):
        return Agent(name, description or graph.description, graph.graph)
    if not isinstance(graph, (StateGraph, Pregel)):
        raise SettingsError(
            f"The agent {name!r} is no graph but a {type(graph).__name__}.",
            hint="Give a StateGraph, a compiled graph, or an Agent.",
        )
    from openmanus_graph.loading.graphs import description_of

    described = description or description_of(cast("Any", graph))
    compiled = cast("Any", graph.compile() if isinstance(graph, StateGraph) else graph)
    nodes = ", ".join(node for node in compiled.nodes if not node.startswith("__"))
    return Agent(name, described or f"A graph that does, in steps: {nodes}.", compiled)


def find_agents() -> dict[str, Agent]:
    """The agents of installed plug-ins by name; one that cannot be loaded is left out with a warning."""
    return _find(AGENTS, _agents_in)


def find_tools() -> dict[str, BaseTool]:
    """The tools of installed plug-ins by name; one that cannot be loaded is left out with a warning."""
    return _find(TOOLS, _tools_in)


def _find(group: str, taken: Callable[[EntryPoint], dict[str, FoundT]]) -> dict[str, FoundT]:
    found: dict[str, FoundT] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        try:
            new = taken(point)
            if twice := sorted(found.keys() & new.keys()):
                raise SettingsError(f"another one brings {twice[0]!r} already")
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, the run goes on without it
            _warn(point, error)
            continue
        found |= new
    return found


def _warn(point: EntryPoint, error: Exception) -> None:
    kind = point.group.rpartition(".")[2].removesuffix("s")
    where = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    what = str(error) if isinstance(error, SettingsError) else f"{type(error).__name__}: {error}"
    line = " ".join(f"The {kind} plug-in {point.name!r}{where} is left out: {what}".split())
    if line not in _told:
        _told.add(line)
        _log.warning("%s", line)


def _made(point: EntryPoint, kinds: tuple[type, ...]) -> tuple[Any, str | None]:
    """What an entry point names, or what its function returns; and what the function says of itself."""
    loaded = point.load()
    if isinstance(loaded, kinds) or not callable(loaded):
        return loaded, None
    made = loaded()
    if inspect.isawaitable(made):
        cast("Any", made).close()
        raise SettingsError("its function is async; make it an ordinary one")
    return made, inspect.getdoc(loaded)


def _agents_in(point: EntryPoint) -> dict[str, Agent]:
    from openmanus_graph.loading.graphs import description_of

    made, said = _made(point, (Agent, StateGraph, Pregel))
    described = None
    if said and isinstance(made, (StateGraph, Pregel)) and not description_of(cast("Any", made)):
        described = " ".join(said.split("\n\n")[0].split())
    return {point.name: agent_of(point.name, made, described)}


def _tools_in(point: EntryPoint) -> dict[str, BaseTool]:
    made, _ = _made(point, (BaseTool, list, tuple))
    items = list(cast("Any", made)) if isinstance(made, (list, tuple)) else [made]
    for item in items:
        if not isinstance(item, BaseTool):
            raise SettingsError(f"it is no LangChain tool but a {type(item).__name__}")
    tools = cast("list[BaseTool]", items)
    by_name = {tool.name: tool for tool in tools}
    if len(by_name) < len(tools):
        raise SettingsError("two of its tools have the same name")
    return by_name

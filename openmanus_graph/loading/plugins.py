"""Plug-ins: agents, tools, search engines, stores and more that installed packages bring by entry points."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import inspect
import logging
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import Any, TypeVar, cast

from langchain_core.tools import BaseTool, BaseToolkit
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph.errors import SettingsError
from openmanus_graph.events import EventSink
from openmanus_graph.loading.toolkits import tools_in
from openmanus_graph.plans.arguments import check_schema

AGENTS = "openmanus_graph.agents"
"""Entry points of agents: each names a graph, an `Agent`, or a function without arguments that returns one."""
TOOLS = "openmanus_graph.tools"
"""Entry points of tools: each names a LangChain tool, a list of them, a toolkit, or a function that returns one."""
SEARCH_ENGINES = "openmanus_graph.search_engines"
"""Entry points of engines for `web_search`: each names an `Engine`, or a class or function that makes one."""
EVENT_SINKS = "openmanus_graph.event_sinks"
"""Entry points of event sinks: each names a function of one event, or a class or function that makes one."""
STORES = "openmanus_graph.stores"
"""Entry points of memory stores: each names an `EpisodicMemory`, or a class or function that makes one."""
EMBEDDERS = "openmanus_graph.embedders"
"""Entry points of embedders: each names an `Embedder`, or a class or function that makes one."""
GROUPS = (AGENTS, TOOLS, SEARCH_ENGINES, EVENT_SINKS, STORES, EMBEDDERS)
"""Every group of entry points that is looked at."""

FoundT = TypeVar("FoundT")

_AGENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_log = logging.getLogger(__name__)
_warned: set[str] = set()
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


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry point of an installed distribution, whether it can be loaded or not."""

    kind: str
    """`agent`, `tool`, `search engine`, `event sink`, `store` or `embedder`."""
    name: str
    """Its name."""
    distribution: str
    """Name and version of the distribution that brings it; empty if it says neither."""
    problem: str | None
    """Why it cannot be imported; `None` if it can."""


def installed_plugins() -> list[InstalledPlugin]:
    """The plug-ins of every group; each is imported, to say which cannot be, and none is called."""
    found: list[InstalledPlugin] = []
    for group in GROUPS:
        for point in _points(group):
            try:
                point.load()
                problem = None
            except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, the others are listed
                problem = " ".join(f"{type(error).__name__}: {error}".split())
            found.append(InstalledPlugin(_kind(point), point.name, _distribution(point), problem))
    return found


def find_agents() -> dict[str, Agent]:
    """The agents of installed plug-ins by name; one that cannot be loaded is left out with a warning."""
    return _find(AGENTS, _agents_in)


def find_tools() -> dict[str, BaseTool]:
    """The tools of installed plug-ins by name; one that cannot be loaded is left out with a warning."""
    return _find(TOOLS, _tools_in)


def find_event_sinks() -> dict[str, EventSink]:
    """The event sinks of installed plug-ins by name; one that cannot be loaded is left out with a warning."""
    return _find(EVENT_SINKS, _sink_in)


def find_objects(group: str, kind: type[FoundT]) -> dict[str, FoundT]:
    """The search engines, stores or embedders of installed plug-ins by name; broken ones are left out with a warning.

    Args:
        group: `SEARCH_ENGINES`, `STORES` or `EMBEDDERS`.
        kind: The protocol that they have to follow, one that is checked at run time.
    """

    def taken(point: EntryPoint) -> dict[str, FoundT]:
        made, _ = _made(point, ())
        if not isinstance(made, kind):
            raise SettingsError(f"a {type(made).__name__} is no {kind.__name__}")
        return {point.name: made}

    return _find(group, taken)


def _points(group: str) -> list[EntryPoint]:
    installed = _all_points(tuple((folder, _changed(folder)) for folder in sys.path))
    return sorted(installed.select(group=group), key=lambda point: (point.name, point.value))


@lru_cache(maxsize=1)
def _all_points(folders: tuple[tuple[str, int], ...]) -> EntryPoints:
    """The entry points of every distribution, read again once a folder has changed: reading takes some 50 ms."""
    del folders
    return cast("EntryPoints", entry_points())  # Python 3.11 gives an older class, which has `select`, too


def _changed(folder: str) -> int:
    """When a folder's entries last changed, in nanoseconds; 0 where there is none."""
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:
        return 0


def _kind(point: EntryPoint) -> str:
    return point.group.rpartition(".")[2].removesuffix("s").replace("_", " ")


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


def _find(group: str, taken: Callable[[EntryPoint], dict[str, FoundT]]) -> dict[str, FoundT]:
    found: dict[str, FoundT] = {}
    for point in _points(group):
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
    where = f" of {_distribution(point)}" if point.dist else ""
    what = str(error) if isinstance(error, SettingsError) else f"{type(error).__name__}: {error}"
    line = " ".join(f"The {_kind(point)} plug-in {point.name!r}{where} is left out: {what}".split())
    if line not in _warned:
        _warned.add(line)
        _log.warning("%s", line)


def _made(point: EntryPoint, kinds: tuple[type, ...]) -> tuple[Any, str | None]:
    """The object that an entry point names, or that its function returns; and that function's docstring."""
    loaded = point.load()
    if isinstance(loaded, kinds) or not callable(loaded):
        return loaded, None
    return _called(loaded)


def _called(maker: Callable[[], Any]) -> tuple[Any, str | None]:
    made = maker()
    if inspect.isawaitable(made):
        cast("Any", made).close()
        raise SettingsError("its function is async; make it an ordinary one")
    return made, inspect.getdoc(maker)


def _agents_in(point: EntryPoint) -> dict[str, Agent]:
    from openmanus_graph.loading.graphs import description_of

    made, docstring = _made(point, (Agent, StateGraph, Pregel))
    described = None
    if docstring and isinstance(made, (StateGraph, Pregel)) and not description_of(cast("Any", made)):
        described = " ".join(docstring.split("\n\n")[0].split())
    return {point.name: agent_of(point.name, made, described)}


def _sink_in(point: EntryPoint) -> dict[str, EventSink]:
    loaded: Any = point.load()
    made = _called(loaded)[0] if callable(loaded) and _takes_nothing(loaded) else loaded
    if not callable(made) or _takes_nothing(made):
        raise SettingsError(f"it is no function of one event but a {type(made).__name__}")
    return {point.name: cast("EventSink", made)}


def _takes_nothing(function: Callable[..., Any]) -> bool:
    """Whether a function or class can be called without arguments: then it makes a sink, and is none."""
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):  # ValueError: a function written in C may have no signature
        return False
    return True


def _tools_in(point: EntryPoint) -> dict[str, BaseTool]:
    made, _ = _made(point, (BaseTool, BaseToolkit, list, tuple))
    tools = tools_in(made)
    if not tools and made not in ([], ()):
        items = cast("list[Any]", made) if isinstance(made, list | tuple) else [made]
        other = next((item for item in items if not isinstance(item, BaseTool)), made)
        raise SettingsError(f"it is no LangChain tool but a {type(other).__name__}")
    for tool in tools:
        check_schema(tool)
    by_name = {tool.name: tool for tool in tools}
    if len(by_name) < len(tools):
        raise SettingsError("two of its tools have the same name")
    return by_name

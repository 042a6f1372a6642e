"""Loading: a user's own graph, from a file, a module or a name of `langgraph.json`."""

# LangGraph's own annotations are partly unknown to a strict checker; what crosses them here is cast at once.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, Self, cast

from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from openmanus_graph.errors import GraphNotImportableError, OpenManusGraphError, UsageError
from openmanus_graph.loading.langgraph_json import Project, find_project, project_folders
from openmanus_graph.loading.user_modules import described, import_file, import_named, imports_from

AnyGraph = StateGraph[Any, Any, Any, Any] | Pregel[Any, Any, Any, Any]

BUILT_IN = {"deep_research": "openmanus_graph.graphs.deep_research:graph"}
"""Graphs that come with the program, by the names that they have where no `langgraph.json` gives these away."""
DEFAULT_ATTRIBUTE = "graph"
"""The attribute that is taken when none is named; else the only graph of the module."""


@dataclass(frozen=True)
class LoadedGraph:
    """A graph, and where it was found."""

    graph: AnyGraph
    """A `StateGraph`, or a compiled graph."""
    name: str
    """Its name in `langgraph.json`, else the attribute's."""
    reference: Mapping[str, str]
    """How another process loads it: `file` (absolute) or `module`, and `attribute`."""
    description: str
    """What it is for; empty if nobody said."""
    closing: AsyncExitStack = field(default_factory=AsyncExitStack, repr=False, compare=False)
    """What the graph needs open as long as it is used, where its function is a context manager."""

    async def aclose(self) -> None:
        """Close what the graph needed open."""
        await self.closing.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def load_graph(place: str, *, folder: Path | None = None) -> LoadedGraph:
    """Load a graph.

    Args:
        place: `path/to/file.py:attribute`, `package.module:attribute`, a name of the folder's `langgraph.json`, or one
            of `BUILT_IN`. Without an attribute it is `graph`, else the only graph there is.
        folder: Where paths begin and `langgraph.json` is looked for; `None` means the current folder.

    Returns:
        The graph. The attribute may be a `StateGraph`, a compiled graph, or a function without required
        arguments (but a config) that returns one, sync or async, also as a context manager; that is left when what is
        returned is closed (`async with await load_graph(...) as loaded`).

    Raises:
        UsageError: If there is no such file, module or attribute, or it is no graph, or its function failed.
    """
    folder = (folder or Path.cwd()).absolute()
    project = find_project(folder)
    named = project is not None and place in project.graphs
    is_built_in = not named and place in BUILT_IN and not _is_importable(place, folder)
    target = project.graphs[place] if project is not None and named else BUILT_IN[place] if is_built_in else place
    base = project.folder if project is not None and named else folder
    where, attribute = _split(target)
    if where.endswith(".py"):
        reference = {"file": _absolute(base, where), "attribute": attribute}
    else:
        if not named and ":" not in place and not _is_importable(where, base):
            raise _unknown_name(place, project)
        reference = {"module": where, "attribute": attribute, "folder": str(base)}
    closing = AsyncExitStack()
    found, attribute = await _load(reference, closing)
    description = project.descriptions.get(place, "") if project is not None and named else ""
    return LoadedGraph(
        graph=found,
        name=place if named or is_built_in else attribute,
        reference={**reference, "attribute": attribute},
        description=description or description_of(found),
        closing=closing,
    )


async def reload_graph(reference: Mapping[str, Any], thread_id: str, closing: AsyncExitStack | None = None) -> AnyGraph:
    """The graph of a thread, by the `reference` that `load_graph` gave.

    Args:
        reference: How it is loaded.
        thread_id: The thread.
        closing: Receives what the graph needs open as long as it is used; `None` leaves that open.

    Raises:
        GraphNotImportableError: If it cannot be loaded here any more.
    """
    try:
        return (await _load(reference, closing or AsyncExitStack()))[0]
    except UsageError as error:
        place = reference.get("file") or reference.get("module")
        raise GraphNotImportableError(
            f"The thread {thread_id!r} runs {reference.get('attribute')!r} of {place!r}, "
            f"which cannot be loaded: {error.message}",
            hint="Put it back where it was, then resume the thread.",
        ) from error


async def _load(reference: Mapping[str, Any], closing: AsyncExitStack) -> tuple[AnyGraph, str]:
    file = reference.get("file")
    start = Path(str(file)).parent if file else Path(str(reference.get("folder") or Path.cwd()))
    project = find_project(start) if start.is_dir() else None
    if project is not None:
        project.set_environment()
    with imports_from(project_folders(start) or ([start] if start.is_dir() else [])):
        module = import_file(Path(str(file))) if file else import_named(str(reference["module"]))
        place = str(file or reference["module"])
        attribute = str(reference.get("attribute") or "") or _only_graph(module, place)
        found = await _made(_attribute(module, attribute, place), attribute, place, closing)
    return found, attribute


def _split(place: str) -> tuple[str, str]:
    where, separator, attribute = place.rpartition(":")
    if not separator:
        return place, ""
    if not where or not all(part.isidentifier() for part in attribute.split(".")):
        raise UsageError(
            f"{place!r} names no graph.", hint="It looks like path/to/file.py:attribute or package.module:attribute."
        )
    return where, attribute


def _absolute(base: Path, where: str) -> str:
    return str((base / Path(where).expanduser()).resolve())


def _is_importable(name: str, folder: Path) -> bool:
    try:
        with imports_from([folder]):
            return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _unknown_name(name: str, project: Project | None) -> UsageError:
    near = get_close_matches(name, [*(() if project is None else project.graphs), *BUILT_IN], 1)
    if project is None:
        return UsageError(
            f"There is no graph {name!r}: this folder has no langgraph.json, and no module has that name.",
            hint=f"Did you mean {near[0]!r}?"
            if near
            else "Give path/to/file.py:attribute or package.module:attribute.",
        )
    known = ", ".join(project.graphs)
    return UsageError(
        f"There is no graph {name!r}; {str(project.folder / 'langgraph.json')!r} has: {known}.",
        hint=f"Did you mean {near[0]!r}?" if near else "Name one of them, or path/to/file.py:attribute.",
    )


def _graphs_in(module: ModuleType) -> list[str]:
    return [key for key, value in vars(module).items() if isinstance(value, (StateGraph, Pregel))]


def _only_graph(module: ModuleType, place: str) -> str:
    if hasattr(module, DEFAULT_ATTRIBUTE):
        return DEFAULT_ATTRIBUTE
    found = _graphs_in(module)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"{place!r} has no graph at its top level.",
            hint="Define `graph = StateGraph(...)...compile()`, or name a function that returns one.",
        )
    raise UsageError(f"{place!r} has {len(found)} graphs: {', '.join(found)}.", hint=f"Name one: {place}:{found[0]}")


def _attribute(module: ModuleType, attribute: str, place: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [key for key in vars(module) if not key.startswith("_")]
            near = get_close_matches(attribute, known, 1) or _graphs_in(module)[:1]
            raise UsageError(
                f"{place!r} has no {attribute!r}.",
                hint=f"Did you mean {place}:{near[0]}?" if near else "It has no graph at its top level.",
            )
        found = getattr(found, part)
    return found


async def _made(found: Any, attribute: str, place: str, closing: AsyncExitStack) -> AnyGraph:
    """The graph that an attribute is, or that its function returns or holds open."""
    if isinstance(found, (StateGraph, Pregel)):
        return cast("AnyGraph", found)
    if not callable(found):
        raise UsageError(
            f"{attribute!r} of {place!r} is no graph but a {type(found).__name__}.",
            hint="It may be a StateGraph, a compiled graph, or a function that returns one.",
        )
    required = _required(found)
    if len(required) > 1 or (required and required[0] not in ("config", "runtime")):
        raise UsageError(
            f"The function {attribute!r} of {place!r} needs arguments: {', '.join(required)}.",
            hint="Give them defaults, or name a function without any.",
        )
    entered = AsyncExitStack()
    try:
        made = await _entered(found({"configurable": {}}) if required else found(), entered)
    except OpenManusGraphError:
        raise
    except Exception as error:
        raise UsageError(f"The function {attribute!r} of {place!r} failed: {described(error)}.") from error
    closing.push_async_callback(entered.aclose)
    if not isinstance(made, (StateGraph, Pregel)):
        await closing.aclose()
        raise UsageError(
            f"The function {attribute!r} of {place!r} returned no graph but a {type(made).__name__}.",
            hint="It may return a StateGraph or a compiled graph, or be a context manager that yields one.",
        )
    if not description_of(made) and (description := _first_paragraph(inspect.getdoc(found))):
        cast("Any", made).description = description
    return cast("AnyGraph", made)


async def _entered(made: Any, closing: AsyncExitStack) -> Any:
    """What a function has made, awaited or entered where it wants that."""
    if inspect.isawaitable(made):
        return await made
    if isinstance(made, (StateGraph, Pregel)):
        return made
    if isinstance(made, AbstractAsyncContextManager):
        return await closing.enter_async_context(cast("AbstractAsyncContextManager[Any]", made))
    if isinstance(made, AbstractContextManager):
        return closing.enter_context(cast("AbstractContextManager[Any]", made))
    return made


def _required(function: Any) -> Sequence[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is inspect.Parameter.empty and one.kind not in kinds]


def description_of(graph: AnyGraph) -> str:
    """A graph's `description` attribute as one line; empty if it has none."""
    description = getattr(graph, "description", None) or getattr(getattr(graph, "builder", None), "description", None)
    return _first_paragraph(description) if isinstance(description, str) else ""


def _first_paragraph(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split())

"""Rebuild: references to tools, and their import by reference, so that a thread resumes by its id alone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.tools import BaseTool, BaseToolkit

from openmanus_graph.config.settings import Settings, config_file
from openmanus_graph.errors import GraphNotImportableError, SettingsError, UsageError
from openmanus_graph.loading.langgraph_json import project_folders
from openmanus_graph.loading.plugins import find_tools
from openmanus_graph.loading.toolkits import tools_in
from openmanus_graph.loading.user_modules import import_file, import_named, imports_from
from openmanus_graph.plans.arguments import check_schema
from openmanus_graph.tools.registry import BUILTIN_TOOLS, builtin, builtin_tools
from openmanus_graph.tools.spec import spec_of

logger = logging.getLogger(__name__)

_found: dict[int, tuple[BaseTool, dict[str, Any]]] = {}
"""Where `load_tools` found each tool, by its identity; the tool is kept, so that no other one takes its place."""


def tool_references(tools: Sequence[BaseTool]) -> list[dict[str, Any]]:
    """References that `rebuild_tools` imports tools by: `builtin`, or `module`, `file` and `attribute`.

    A tool defined in a notebook cell, in a script or inside a function has neither; its `where` says what it is.
    """
    return [_reference(tool) for tool in tools]


def _reference(tool: BaseTool) -> dict[str, Any]:
    if tool.name in BUILTIN_TOOLS and builtin(tool.name) is tool:
        return {"name": tool.name, "builtin": True}
    if id(tool) in _found:
        return dict(_found[id(tool)][1])
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None) or type(tool)
    name = str(getattr(function, "__module__", "") or "")
    module = sys.modules.get(name)
    attribute = _attribute(module, tool)
    if module is None or name == "__main__" or attribute is None:
        return {"name": tool.name, "where": _where(module, name)}
    file = getattr(module, "__file__", None)
    return {"name": tool.name, "module": name, "file": file and str(file), "attribute": attribute}


def _attribute(module: ModuleType | None, tool: BaseTool) -> str | None:
    """The variable of a module that is a tool, or a list with it."""
    for key, value in vars(module or object).items():
        if value is tool or (isinstance(value, list | tuple) and any(item is tool for item in tools_in(value))):
            return key
    return None


def _where(module: ModuleType | None, name: str) -> str:
    file = getattr(module, "__file__", None)
    if name == "__main__":
        return f"the script {file}" if file else "a notebook cell or an interactive session"
    return f"a function of the module {name}" if name else "an unknown place"


def load_tools(place: str) -> list[BaseTool]:
    """Every tool that a module or a Python file has at its top level, by itself, in a list or in a toolkit.

    Args:
        place: `package.module`, or the path of a `.py` file.

    Raises:
        UsageError: If it cannot be imported.
        SettingsError: If it has no tools.
    """
    tools = _tools_of(place)
    if not tools:
        raise SettingsError(
            f"{place!r} has no LangChain tools at its top level.",
            hint="Define them with `@tool` from langchain_core.tools; lists of tools and toolkits are taken, too.",
        )
    return tools


def _tools_of(place: str) -> list[BaseTool]:
    module = _module(place)
    origin: dict[str, Any] = {"file": module.__file__} if place.endswith(".py") else {"module": place}
    found: dict[int, BaseTool] = {}
    # A toolkit makes its tools anew each time, so those of a list that it filled are not taken twice.
    kinds: tuple[Any, ...] = (BaseTool, (list, tuple), BaseToolkit)
    for kind in kinds:
        names = {tool.name for tool in found.values()} if kind is BaseToolkit else ()
        for key, value in vars(module).items():
            for tool in tools_in(value) if isinstance(value, kind) else ():
                if id(tool) not in found and tool.name not in names:
                    check_schema(tool)
                    found[id(tool)] = tool
                    _found[id(tool)] = (tool, {"name": tool.name, **origin, "attribute": key})
    return list(found.values())


def available_tools(places: Sequence[str], settings: Settings | None = None) -> dict[str, BaseTool]:
    """All tools by name: those of ours that this machine can have, of plug-ins, the settings, and the given places.

    Later ones replace earlier ones of the same name.

    Args:
        places: As `load_tools` takes them.
        settings: The settings to use instead of those of the environment.

    Raises:
        UsageError: If one cannot be imported.
        SettingsError: If two of one's own have the same name.
    """
    chosen = settings or Settings.load()
    plugged = find_tools()
    for tool in plugged.values():
        _found[id(tool)] = (tool, {"name": tool.name, "plugin": True})
    configured = _by_name(configured_tools(chosen))
    named = _by_name([tool for place in places for tool in load_tools(place)])
    ours = {tool.name: tool for tool in builtin_tools() if not why_missing(tool, chosen)}
    return ours | plugged | _of_services(chosen) | _of_servers(chosen) | configured | named


def _of_servers(settings: Settings) -> dict[str, BaseTool]:
    """The tools of MCP servers."""
    if not settings.mcp_servers and settings.mcp_file is None:
        return {}
    from openmanus_graph.tools.mcp.server_tools import mcp_tools

    return _of_others("mcp", *mcp_tools(settings))


def _of_services(settings: Settings) -> dict[str, BaseTool]:
    """The tools of web services with an OpenAPI document."""
    if not settings.openapi:
        return {}
    from openmanus_graph.tools.openapi.tools import openapi_tools

    return _of_others("openapi", *openapi_tools(settings))


def _of_others(kind: str, tools: dict[str, BaseTool], problems: list[str]) -> dict[str, BaseTool]:
    """Tools that come from elsewhere by their settings; what cannot be used costs a line."""
    for problem in problems:
        logger.warning(problem)
    for tool in tools.values():
        _found[id(tool)] = (tool, {"name": tool.name, kind: True})
    return tools


def why_missing(tool: BaseTool, settings: Settings) -> str | None:
    """Why this machine cannot have a tool, with the cure; `None` if it can."""
    why = spec_of(tool).unavailable
    return None if why is None else why(settings)


def _by_name(own: Sequence[BaseTool]) -> dict[str, BaseTool]:
    by_name = {tool.name: tool for tool in own}
    for tool in own:
        if by_name[tool.name] is not tool:
            raise SettingsError(f"Two of your tools are named {tool.name!r}.", hint="Rename one of them.")
    return by_name


def configured_tools(settings: Settings) -> list[BaseTool]:
    """The tools of the modules, files and folders that the setting `tools` names.

    A folder stands for those of its Python files that have tools.

    Raises:
        UsageError: If a file is not there, or cannot be imported.
        SettingsError: If a folder is not there.
    """
    base = config_file().parent
    found: list[BaseTool] = []
    for place in settings.tools:
        path = base / Path(place).expanduser()
        if path.is_dir():
            files = [file for file in sorted(path.glob("*.py")) if not file.name.startswith("_")]
            # A tool that a file imports from another one of the folder is that other one's.
            found += [tool for file in files for tool in _tools_of(str(file)) if _source(tool) not in {*files} - {file}]
        elif "/" in place and not place.endswith(".py"):
            raise SettingsError(f"There is no folder {str(path)!r}.", hint="Correct the setting `tools`.")
        else:
            found += load_tools(str(path) if place.endswith(".py") else place)
    return list({id(tool): tool for tool in found}.values())


def _source(tool: BaseTool) -> Path | None:
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None)
    code = getattr(function, "__code__", None)
    return None if code is None else Path(code.co_filename)


def _module(place: str) -> ModuleType:
    """The module of a name, or of a Python file's path.

    Raises:
        UsageError: If it cannot be imported.
    """
    if not place.endswith(".py"):
        return import_named(place)
    path = Path(place).expanduser().absolute()
    with imports_from(project_folders(path.parent)):
        return import_file(path)


def rebuild_tools(references: Sequence[Mapping[str, Any]], thread_id: str) -> list[BaseTool]:
    """Import the tools that `tool_references` described, without those that are no longer where they were.

    Whether the thread can do without them is for the comparison of its graph to say.

    Raises:
        GraphNotImportableError: If one lives where it cannot be imported; the message has the lines that resume.
    """
    tools: list[BaseTool] = []
    served: dict[str, dict[str, BaseTool]] = {}
    modules: dict[str, ModuleType] = {}
    for reference in references:
        name = str(reference["name"])
        if reference.get("builtin"):
            tools += [builtin(name)] if name in BUILTIN_TOOLS else []
            continue
        if (kind := next((key for key in _SERVED if reference.get(key)), None)) is not None:
            if kind not in served:
                served[kind] = _SERVED[kind](Settings.load())
            tools += [served[kind][name]] if name in served[kind] else []
            continue
        if reference.get("plugin") and (plugged := find_tools().get(name)) is not None:
            _found[id(plugged)] = (plugged, dict(reference))
            tools.append(plugged)
            continue
        try:
            value = getattr(_module_of(reference, modules), str(reference["attribute"]), None)
            # A variable that is one tool may have another name for it by now, which the comparison speaks of.
            found = tools_in(value)
            tools += found if isinstance(value, BaseTool) else [tool for tool in found if tool.name == name]
        except (KeyError, UsageError) as error:
            where = reference.get("where") or reference.get("module") or reference.get("file") or "a plug-in"
            raise GraphNotImportableError(
                f"The thread {thread_id!r} uses the tool {name!r} of {where}, which cannot be imported here.",
                hint=python_lines(thread_id, name),
            ) from error
    return tools


_SERVED = {"mcp": _of_servers, "openapi": _of_services}
"""Tools that are made of the settings, by what their references are known by."""


def _module_of(reference: Mapping[str, Any], modules: dict[str, ModuleType]) -> ModuleType:
    if "module" not in reference:
        file = str(reference["file"])
        if file not in modules:
            modules[file] = _module(file)
        return modules[file]
    try:
        return import_named(str(reference["module"]))
    except UsageError:
        if not reference.get("file"):
            raise
        return _module(str(reference["file"]))


def python_lines(thread_id: str, tool: str) -> str:
    """The Python lines that resume a thread whose tools only its author's session has."""
    return (
        "Resume it where the tool is defined:\n"
        f"    graph = build_plan_graph(tools=[{tool}, ...])\n"
        "    async with open_checkpointer() as saver:\n"
        "        app = graph.compile(checkpointer=saver)\n"
        f'        await app.ainvoke(None, {{"configurable": {{"thread_id": "{thread_id}"}}}})'
    )


def nearest(name: str, known: Sequence[str]) -> str:
    """`Did you mean …?` for a mistyped name, or an empty string."""
    found = get_close_matches(name, known, 1)
    return f"Did you mean {found[0]!r}?" if found else ""

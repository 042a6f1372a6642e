"""Registry: the built-in tools by name, imported when they are first asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from langchain_core.tools import BaseTool

BUILTIN_TOOLS: tuple[str, ...] = (
    "bash",
    "python_execute",
    "str_replace_editor",
    "list_files",
    "search_files",
    "view_image",
    "fetch_page",
    "crawl4ai",
    "web_search",
    "http_request",
    "browser_use",
    "serve",
    "reach_hosts",
    "deep_research",
    "transcribe_audio",
    "speak",
    "generate_image",
    "data_query",
    "chart",
    "data_visualization",
    "use_skill",
    "planning",
    "create_chat_completion",
    "ask_human",
    "terminate",
)
"""Each name is also the attribute, and, but for those that stand elsewhere, the module in this package."""
_ELSEWHERE = {
    "crawl4ai": "openmanus_graph.tools.fetch_page",
    "data_query": "openmanus_graph.tools.data.data_query",
    **dict.fromkeys(("chart", "data_visualization"), "openmanus_graph.tools.data.chart"),
    "deep_research": "openmanus_graph.graphs.deep_research",
    **dict.fromkeys(("transcribe_audio", "speak", "generate_image"), "openmanus_graph.models.media_tools"),
}
"""Tools that run a graph or ask a model stand beside it, second names beside the first, others in a package."""


def builtin(name: str) -> BaseTool:
    """The built-in tool called `name`."""
    module = import_module(_ELSEWHERE.get(name, f"openmanus_graph.tools.{name}"))
    tool: BaseTool = getattr(module, name)
    return tool


def is_builtin(tool: BaseTool) -> bool:
    """Whether it is one of the built-in tools, and not another one of its name."""
    return tool.name in BUILTIN_TOOLS and tool is builtin(tool.name)


def builtin_tools(names: Sequence[str] = BUILTIN_TOOLS) -> list[BaseTool]:
    """The built-in tools called `names`, by default all of them."""
    return [builtin(name) for name in names]

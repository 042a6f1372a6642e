"""Foreign tool: a tool that somebody else describes, such as an MCP server or the document of a web service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool


class ForeignTool(BaseTool):
    """A tool whose `_arun` gets its arguments as they are, whatever they are called.

    A `StructuredTool` drops or refuses some names.
    """

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Make a call; of the engine's `ToolCall` only the arguments are meant."""
        del config, kwargs
        given = cast("dict[str, Any]", input)
        return await self._arun(dict(given["args"] if given.get("type") == "tool_call" else given))

    def _run(self, arguments: Mapping[str, Any]) -> Any:
        # LangChain wants the method; the engine calls tools with `ainvoke` only.
        raise NotImplementedError(f"The tool {self.name!r} is called with `ainvoke`.")

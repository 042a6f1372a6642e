"""Toolkits: the tools that a value of a user's module stands for: one, a list of them, or a toolkit."""

from __future__ import annotations

from typing import Any, cast

from langchain_core.tools import BaseTool, BaseToolkit

from openmanus_graph.errors import UsageError
from openmanus_graph.loading.user_modules import described


def tools_in(value: Any) -> list[BaseTool]:
    """The tools that a value stands for, in their order; none if it is anything else, such as a mixed list.

    Raises:
        UsageError: If it is a toolkit that does not give its tools.
    """
    if isinstance(value, BaseTool):
        return [value]
    if isinstance(value, BaseToolkit):
        try:
            return list(value.get_tools())
        except Exception as error:
            raise UsageError(
                f"The toolkit {type(value).__name__!r} does not give its tools: {described(error)}.",
                hint="Make it so that `get_tools()` works when its module is imported.",
            ) from error
    items = list(cast("list[Any]", value)) if isinstance(value, list | tuple) else []
    return items if all(isinstance(item, BaseTool) for item in items) else []

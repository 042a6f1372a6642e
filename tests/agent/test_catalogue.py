"""The tools as a planner is told of them."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import StructuredTool

from openmanus_graph.nodes.planning.tool_catalogue import tools_text
from openmanus_graph.tools.registry import builtin_tools


def test_every_built_in_tool_is_told_with_its_arguments() -> None:
    text = tools_text({tool.name: tool for tool in builtin_tools()})
    assert '- http_request (external) {"method*":' in text
    assert "{} ->" not in text


def test_a_tool_with_a_json_schema_is_told_with_its_arguments() -> None:
    async def call(**arguments: Any) -> str:
        return str(arguments)

    schema = {
        "type": "object",
        "properties": {"day": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["day"],
    }
    tool = StructuredTool.from_function(
        coroutine=call, name="weather", description="Tell the weather.\n\nMore about it.", args_schema=schema
    )
    assert tools_text({"weather": tool}) == '- weather (external) {"day*":"string","n":"integer"}: Tell the weather.'

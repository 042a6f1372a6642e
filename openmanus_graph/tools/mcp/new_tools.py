"""New tools: what a server lists only since a run began, called through one tool that its graph has all along."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import PrivateAttr

from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.plans.arguments import check_call
from openmanus_graph.tools.foreign_tool import ForeignTool
from openmanus_graph.tools.mcp.listing import ListedTool, Listing, name_of
from openmanus_graph.tools.mcp.mcp_tool import McpTool, listing_now

LONGEST_TEXT = 6_000
"""Characters of the new tools' descriptions and schemas."""
_FIELDS: dict[str, Any] = {"tool": {"type": "string"}, "arguments": {"type": "object"}}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": _FIELDS,
    "required": ["tool", "arguments"],
    "additionalProperties": False,
}


class McpNewTools(ForeignTool):
    """The new tools of a server; there are none before the server has said so."""

    _server_name: str = PrivateAttr()
    _server: McpServerSettings = PrivateAttr()
    _known: frozenset[str] = PrivateAttr()
    _new: tuple[ListedTool, ...] = PrivateAttr(default=())

    @classmethod
    def of(cls, name: str, server: McpServerSettings, listing: Listing) -> McpNewTools:
        """Make the tool, which knows what the server lists already."""
        return cls._made(name, server, frozenset(tool.name for tool in listing.tools), ())

    @classmethod
    def _made(
        cls, name: str, server: McpServerSettings, known: frozenset[str], new: Sequence[ListedTool]
    ) -> McpNewTools:
        told = [f"- {one.name}: {one.description}\n  {json.dumps(one.schema)}" for one in new]
        names = ", ".join(one.name for one in new)
        head = f"Call a tool that the MCP server {name} lists only since the run began{f': {names}' if new else ''}."
        metadata = McpTool.of(name, server, ListedTool("any", "", {})).metadata or {}
        tool = cls(
            name=name_of(name, "").rstrip("_"),
            description="\n".join([head, *told])[:LONGEST_TEXT],
            args_schema=_SCHEMA,
            metadata={**metadata, "planned": False},
        )
        tool._server_name, tool._server, tool._known, tool._new = name, server, known, tuple(new)
        return tool

    @property
    def is_there(self) -> bool:
        """Whether there is any new tool."""
        return bool(self._new)

    async def as_of_now(self, context: ToolContext) -> McpNewTools | None:
        """The tool with what is new now; `None` if nothing is."""
        listing = await listing_now(self._server_name, context)
        new = [] if listing is None else [one for one in listing.tools if one.name not in self._known]
        return self._made(self._server_name, self._server, self._known, new) if new else None

    async def _arun(self, arguments: Mapping[str, Any]) -> Any:
        context, wanted, given = tool_context(), str(arguments["tool"]), dict(arguments["arguments"])
        listed = next((one for one in self._new if wanted in (one.name, name_of(self._server_name, one.name))), None)
        if listed is None:
            names = ", ".join(one.name for one in self._new) or "none"
            raise ToolError(f"The MCP server {self._server_name!r} has no new tool {wanted!r}; there are: {names}.")
        tool = McpTool.of(self._server_name, self._server, listed)
        if context.policy is not None:
            # What the policy says of that tool by its own name holds, too: this one's name is no way around it.
            verdict = context.policy.decide(tool, given, workspace=context.workspace).verdict
            outer = context.policy.decide(self, dict(arguments), workspace=context.workspace).verdict
            if verdict == "deny" or (verdict == "ask" and outer == "allow"):
                raise ToolError(f"The policy does not let {tool.name!r} be called before a person is asked.")
        check_call(tool, given)
        return await tool.ainvoke(given)

"""Browsing: calls of the tool `browser_use`, as those of one subtask."""

from __future__ import annotations

import re
from typing import Any

from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.tools.browser.session import BrowserSession
from openmanus_graph.tools.browser_use import browser_use
from tests.chromium.site import Site


class Browsing:
    """Calls of one subtask."""

    def __init__(self, context: ToolContext, site: Site) -> None:
        self.context = context
        self.site = site

    async def __call__(self, action: str, **arguments: Any) -> dict[str, Any]:
        with using_tool_context(self.context):
            result: dict[str, Any] = await browser_use.ainvoke({"action": action, **arguments})
        return result

    async def open(self, path: str) -> dict[str, Any]:
        return await self("go_to_url", url=f"{self.site.url}{path}")


def ref(result: dict[str, Any], name: str) -> str:
    """The ref of the element of this name."""
    found = re.search(rf"\[([ex]\d+(?:-\d+)?)\] [^\[\n]*{re.escape(name)}", f"{result['snapshot']}\n{result['text']}")
    assert found, f"{name} is not in:\n{result['snapshot']}"
    return found[1]


async def session_of(browse: Browsing) -> BrowserSession:
    async def none() -> BrowserSession:
        raise AssertionError

    return await browse.context.sessions.get("browser", none)

"""Crawl4ai: another name of `fetch_page`, which plans and prompts from elsewhere may use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openmanus_graph.tools.fetch_page import SPEC, FetchArguments, fetch_in_call
from openmanus_graph.tools.spec import builtin_tool


@builtin_tool("crawl4ai", FetchArguments, replace(SPEC, alias_of="fetch_page"))
async def crawl4ai(
    *,
    urls: list[str] | str,
    timeout: float = 30,  # noqa: ASYNC109 - the tool's own parameter, applied to each page by itself
    max_chars: int | None = None,
) -> dict[str, Any]:
    """Read pages of the Web as Markdown. The same as `fetch_page`."""
    return await fetch_in_call(urls, timeout, max_chars)

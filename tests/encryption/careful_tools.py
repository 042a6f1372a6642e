"""Tools that ask, fail, pay and remember, with words of their own."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import tool


@tool
async def say(text: str) -> dict[str, Any]:
    """Return the text."""
    return {"text": text}


@tool
async def look_up(text: str) -> dict[str, Any]:
    """Return the text, and keep it for a while."""
    return {"text": f"found {text}"}


@tool
async def pay(whom: str) -> dict[str, Any]:
    """Pay somebody."""
    return {"receipt": f"paid {whom}"}


@tool
async def breaks(why: str) -> dict[str, Any]:
    """Fail in an unknown way."""
    raise RuntimeError(why)


say.metadata = {"effect": "read"}
look_up.metadata = {"effect": "read", "cache_s": 3600}
pay.metadata = {"effect": "external"}
breaks.metadata = {"effect": "external"}

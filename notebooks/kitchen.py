"""Kitchen: the tool of the plan in `dinner.yaml`."""

from __future__ import annotations

import asyncio

from langchain_core.tools import tool


@tool
async def cook(dish: str, seconds: float = 0.1) -> dict[str, str]:
    """Prepare a dish, which takes a while."""
    await asyncio.sleep(seconds)
    return {"dish": dish}


# What a call does to the world, which is nothing: a call that was cut short may be made again.
cook.metadata = {"effect": "read"}

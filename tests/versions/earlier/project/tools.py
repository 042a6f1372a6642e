"""Tools that write each call down in the file `log`, so that a test can count what ran."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from langchain_core.tools import tool


def note(name: str) -> None:
    """Append a line to the log of the folder that the program runs in."""
    with Path("log").open("a") as file:
        file.write(f"{name}\n")


async def until_released() -> None:
    """Wait as long as the file `hold` is there."""
    while Path("hold").exists():
        await asyncio.sleep(0.02)


@tool
async def step(name: str) -> dict[str, Any]:
    """Note that it ran."""
    note(name)
    return {"name": name}


@tool
async def hold(name: str) -> dict[str, Any]:
    """Note that it began, and end once it is let go."""
    note(name)
    await until_released()
    return {"name": name}


@tool
async def order(item: str) -> dict[str, Any]:
    """Order something outside."""
    note(item)
    return {"ordered": item}


@tool
async def send(item: str) -> dict[str, Any]:
    """Send something outside; while it is held, nobody knows whether that happened."""
    note(item)
    await until_released()
    return {"sent": item}


step.metadata = {"effect": "write"}
hold.metadata = {"effect": "write"}
order.metadata = {"effect": "external"}
send.metadata = {"effect": "external"}

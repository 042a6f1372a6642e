"""Tools for tests: they wait, fail, ask and leave a log of their side effects."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, tool

from openmanus_graph.tools.ask_human import ask_human
from openmanus_graph.tools.spec import Effect


def log(path: str, line: str) -> None:
    """Append a line that survives a kill."""
    with Path(path).open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


@tool
async def nap(seconds: float = 0.0, text: str = "") -> dict[str, Any]:
    """Wait, then return the text."""
    await asyncio.sleep(seconds)
    return {"text": text}


@tool
async def work(name: str, seconds: float, logfile: str) -> dict[str, Any]:
    """Log a start, wait, log an end."""
    log(logfile, f"start {name}")
    await asyncio.sleep(seconds)
    log(logfile, f"end {name}")
    return {"name": name, "number": len(name)}


@tool
async def wait_for(file: str) -> dict[str, Any]:
    """Wait until a file is there."""
    while not Path(file).exists():
        await asyncio.sleep(0.02)
    return {"file": file}


@tool
def block(seconds: float = 0.0) -> dict[str, Any]:
    """Block a thread for a while."""
    time.sleep(seconds)
    return {"blocked": seconds}


@tool
async def echo(value: Any) -> Any:
    """Return what is given."""
    return value


@tool
async def fail(message: str = "no luck") -> Any:
    """Fail for an unknown reason."""
    raise RuntimeError(message)


def with_effect(made: BaseTool, effect: Effect, **facts: Any) -> BaseTool:
    """State what a tool does to the world."""
    made.metadata = {"effect": effect, **facts}
    return made


for made in (nap, block, echo):
    with_effect(made, "read")
with_effect(work, "write")
with_effect(fail, "external")

TOOLS: list[BaseTool] = [nap, work, wait_for, block, echo, fail, ask_human]

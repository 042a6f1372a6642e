"""Tools with effects outside: each pays by a line in the file `paid` of the current folder, with its key."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool

from openmanus_graph import ToolContext, ToolError, tool_context
from openmanus_graph.questions import ask

PAID = "paid"
CALLED = "called"


def note(path: str, line: str) -> None:
    """Append a line that survives a kill."""
    with Path(path).open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def lines(path: str = PAID) -> list[str]:
    """The lines of a log."""
    return Path(path).read_text().splitlines() if Path(path).exists() else []


async def nothing(moment: str) -> None:
    """What a calm run does at a moment."""


At = Callable[[str], Awaitable[None]]


def verified(args: dict[str, Any], context: ToolContext) -> dict[str, Any]:
    """Look into the log whether the call was made."""
    del args
    done = [line for line in lines() if line.startswith(f"checked {context.idempotency_key}")]
    return {"happened": bool(done), "result": {"paid": "found out"}}


def paying(name: str, at: At = nothing, **facts: Any) -> BaseTool:
    """A tool that pays; `once` is idempotent by its key, as a service that keeps keys is."""

    async def pay(amount: int, config: RunnableConfig) -> dict[str, Any]:
        """Pay."""
        key = tool_context().idempotency_key
        assert key == config.get("configurable", {}).get("idempotency_key")
        await at("begun")
        note(CALLED, f"{name} {key}")
        line = f"{name} {key} {amount}"
        if not (facts.get("idempotent") and line in lines()):
            note(PAID, line)
        await at("paid")
        return {"paid": amount}

    return StructuredTool.from_function(coroutine=pay, name=name, metadata={"effect": "external", **facts})


def three(at: At = nothing) -> list[BaseTool]:
    """One that is idempotent, one that can find out, and one about which only a person knows."""
    return [paying("once", at, idempotent=True), paying("checked", at, verify=verified), paying("asked", at)]


async def _hang(amount: int) -> None:
    note(CALLED, f"hang {amount}")
    await asyncio.sleep(60)


async def _breaks(times: int) -> str:
    """Raise, until it was called often enough; nobody knows what a call that raises has done."""
    note(CALLED, "breaks")
    if len(lines(CALLED)) <= times:
        raise RuntimeError("the line is dead")
    return "well"


async def _refuses(times: int) -> str:
    """Fail, saying so, until it was called often enough."""
    note(CALLED, f"refuses {tool_context().idempotency_key}")
    if len(lines(CALLED)) <= times:
        raise ToolError("not now")
    return "well"


async def _large() -> str:
    note(CALLED, "large")
    return "x" * 50_000


async def _asks() -> str:
    """Ask a person from inside the tool, then have the effect."""
    said = ask("How much?", subtask=tool_context().subtask_id)
    note(PAID, f"asks {said}")
    return said


def made(function: Callable[..., Awaitable[Any]], **facts: Any) -> BaseTool:
    """A tool of a function, named like it."""
    name = function.__name__.strip("_")
    return StructuredTool.from_function(coroutine=function, name=name, description=name, metadata=facts)


hang, breaks, refuses, large, asks = map(made, (_hang, _breaks, _refuses, _large, _asks))

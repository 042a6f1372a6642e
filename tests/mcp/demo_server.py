"""Demo server: an MCP server by the SDK, over standard input and output, or over HTTP at the port that is named."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import Context, Elicit, Image, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("demo")
LOG = Path(os.environ.get("DEMO_LOG", "/dev/null"))
PNG = b"\x89PNG\r\n\x1a\n" + b"picture"


class Sum(BaseModel):
    total: int


@server.tool(annotations={"readOnlyHint": True, "idempotentHint": True})  # type: ignore[arg-type]
def add(a: int, b: int) -> Sum:
    """Add two numbers."""
    return Sum(total=a + b)


@server.tool()
def note(text: str, config: str = "", run_manager: str = "") -> str:
    """Write a line into the log."""
    with LOG.open("a") as log:
        log.write(f"{text}{config}{run_manager}\n")
    return f"noted {text}"


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(f"it failed: {why}")


@server.tool()
async def slow(seconds: float, context: Context) -> str:  # type: ignore[type-arg]
    """Take a while."""
    await context.report_progress(1, 2, "half-way")
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def die(text: str) -> str:
    """Write a line into the log, and end without an answer."""
    note(text)
    os._exit(3)


@server.tool()
def draw() -> Image:
    """Draw a picture."""
    return Image(data=PNG, format="png")


class Sure(BaseModel):
    sure: bool


async def consent(amount: int) -> Elicit[Sure]:
    return Elicit(f"Pay {amount}?", Sure)


@server.tool()
def pay(amount: int, answer: Annotated[Sure, Resolve(consent)]) -> str:
    """Pay, once a person has agreed."""
    note(f"paid {amount}" if answer.sure else "not paid")
    return f"paid {amount}"


@server.tool()
def environment() -> str:
    """The names of variables, and the token."""
    return f"{sorted(os.environ)} {os.environ.get('TOKEN')}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run(sys.argv[2], port=int(sys.argv[1]))  # type: ignore[call-overload]
    else:
        server.run("stdio")

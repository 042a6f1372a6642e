"""MCP calls: what a call of a server's tool that reads costs in a plan, beside the SDK's own client."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool

from benchmarks import tool
from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.overhead import engine, independent
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph import build_plan_graph
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.tools.mcp.server_tools import mcp_tools

TARGET_MS = 3.0
TOGETHER = 8
"""Calls at the same time, in both."""
SERVER = '''
from mcp.server.mcpserver import MCPServer

server = MCPServer("bench")


@server.tool(annotations={"readOnlyHint": True})
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"total": a + b}


server.run("stdio")
'''


def _plan(count: int) -> dict[str, Any]:
    return {"subtasks": [{"id": f"s{n}", "tool": "mcp_bench_add", "args": {"a": n, "b": 1}} for n in range(count)]}


async def _by_the_sdk(server: McpServerSettings, count: int) -> tuple[float, float]:
    """Milliseconds of a call by the SDK's client, and of this process' own CPU time."""
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(command=str(server.command), args=list(server.args))
    async with Client(stdio_client(parameters)) as client:
        await client.list_tools()
        left = iter(range(count))

        async def calls() -> None:
            for number in left:
                await client.call_tool("add", {"a": number, "b": 1})

        await client.call_tool("add", {"a": 1, "b": 1})
        began, busy = time.perf_counter(), time.process_time()
        await asyncio.gather(*(calls() for _ in range(TOGETHER)))
        took, cpu = time.perf_counter() - began, time.process_time() - busy
        return took * 1000 / count, cpu * 1000 / count


async def measure(count: int, home: Path, url: str | None, repeats: int) -> list[Figure]:
    """Plans of few and of many calls and the SDK's own, in turns; the start of the server is in neither."""
    (home / "server.py").write_text(SERVER)
    server = McpServerSettings(
        command=sys.executable, args=(str(home / "server.py"),), trust_annotations=True, start_timeout_s=60
    )
    settings = Settings.load(home=home, mcp_servers={"bench": server}, max_subtasks=100_000, max_parallel=TOGETHER)
    tools: dict[str, BaseTool] = (await asyncio.to_thread(mcp_tools, settings))[0]
    few = max(count // 10, 10)
    found: dict[str, list[float]] = {"plan": [], "CPU": [], "no-op's CPU": [], "SDK": [], "SDK's CPU": []}
    async with our_saver(home, url) as saver:

        async def plan(chosen: list[BaseTool], given: dict[str, Any]) -> tuple[float, float]:
            """Milliseconds of a whole plan, and of this process' own CPU time."""
            gc.collect()
            cpu: list[float] = []
            each = await engine(build_plan_graph(chosen, settings=settings), given, saver, home, cpu)
            return each * len(given["subtasks"]), cpu[0] * len(given["subtasks"])

        served = list(tools.values())
        await plan(served, _plan(few))
        for _ in range(repeats):
            many, little = await plan(served, _plan(count)), await plan(served, _plan(few))
            found["plan"].append((many[0] - little[0]) / (count - few))
            found["CPU"].append((many[1] - little[1]) / (count - few))
            found["no-op's CPU"].append((await plan([tool.noop], independent(count)))[1] / count)
            wall, cpu = await _by_the_sdk(server, count)
            found["SDK"].append(wall)
            found["SDK's CPU"].append(cpu)
            say(f"{count} calls: " + ", ".join(f"{name} {times[-1]:.2f} ms" for name, times in found.items()))
    best = {name: middle(times) for name, times in found.items()}
    more = middle([mine - other for mine, other in zip(found["plan"], found["SDK"], strict=True)])
    return [
        Figure("MCP call that reads, in a plan", best["plan"], "ms", None, best["SDK"], "the SDK's client"),
        Figure("MCP call that reads, over the SDK's own", more, "ms", TARGET_MS),
        Figure("the same, CPU time of this process", best["CPU"] - best["SDK's CPU"], "ms"),
        Figure("the same, of a subtask that does nothing", best["no-op's CPU"], "ms"),
    ]


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mcp_calls", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="200 calls, three times")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        counts = (200, 3) if given.quick else (500, 5)
        return asyncio.run(measure(counts[0], home, given.url, counts[1]))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

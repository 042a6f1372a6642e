"""Travel: how long a fork in the middle of a thread takes, and what recording a step's files costs."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from pathlib import Path

from langchain_core.tools import BaseTool, StructuredTool

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph import ThreadSaver, build_plan_graph, fork_thread, thread_history
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import tool_context

FORK_S = 1.0
SUBTASKS = 200


def _tools() -> list[BaseTool]:
    async def noop() -> str:
        """Do nothing."""
        return "done"

    async def write(name: str) -> str:
        """Write a small file."""
        (tool_context().workspace / name).write_text(name * 100)
        return "done"

    return [
        StructuredTool.from_function(coroutine=noop, name="noop", metadata={"effect": "read"}),
        StructuredTool.from_function(coroutine=write, name="write", metadata={"effect": "write"}),
    ]


async def _forks(saver: ThreadSaver, home: Path, repeats: int) -> list[Figure]:
    """Ten chains of subtasks side by side, gone back to in the middle."""
    app = build_plan_graph(_tools(), settings=Settings.load()).compile(checkpointer=saver)
    subtasks = [
        {"id": f"s{number}", "tool": "noop", "needs": [f"s{number - 10}"] if number >= 10 else []}
        for number in range(SUBTASKS)
    ]
    config = {"thread_id": "forked", "workspace": str(home / "forked")}
    await app.ainvoke({"plan": {"goal": "fork", "subtasks": subtasks}}, {"configurable": config})
    times: list[float] = []
    for number in range(repeats):
        began = time.perf_counter()
        folder = home / f"fork-{number}"
        await fork_thread(saver, f"forked@s{SUBTASKS // 2}:0", new_id=f"fork-{number}", workspace=folder)
        times.append(time.perf_counter() - began)
    began = time.perf_counter()
    points = len(await thread_history(saver, "forked"))
    took = time.perf_counter() - began
    return [
        Figure(f"fork in the middle of {SUBTASKS} subtasks", middle(times), "s", FORK_S),
        Figure(f"history of {points} points", took, "s"),
    ]


async def _recording(saver: ThreadSaver, home: Path, count: int, repeats: int) -> list[Figure]:
    """A chain of writing calls, in a folder of some files, with and without their changes kept."""
    subtasks = [
        {"id": f"s{number}", "tool": "write", "args": {"name": f"{number}.txt"}, "needs": [f"s{number - 1}"][:number]}
        for number in range(count)
    ]
    figures: list[Figure] = []
    for files in (0, 1000):
        times: dict[int, list[float]] = {0: [], 10 * 2**20: []}
        for number in range(repeats):
            for limit, found in times.items():
                folder = home / "files"
                folder.mkdir()
                for name in range(files):
                    (folder / f"given-{name}").write_text(str(name))
                settings = Settings.load(snapshot_bytes=limit)
                app = build_plan_graph(_tools(), settings=settings).compile(checkpointer=saver)
                config = {"thread_id": f"files-{files}-{limit}-{number}", "workspace": str(folder)}
                warm = {"goal": "look once", "subtasks": subtasks[:1]}
                await app.ainvoke({"plan": warm}, {"configurable": config})
                began = time.perf_counter()
                await app.ainvoke({"plan": {"goal": "write", "subtasks": subtasks}}, {"configurable": config})
                found.append((time.perf_counter() - began) * 1000 / count)
                shutil.rmtree(folder)
        without, kept = (middle(found) for found in times.values())
        say(f"{files} files there: {without:.2f} ms a call, {kept:.2f} ms with its changes kept")
        figures.append(Figure(f"keeping a call's file, {files} there before", kept - without, "ms"))
    return figures


async def measure(home: Path, url: str | None, *, quick: bool) -> list[Figure]:
    """Both."""
    async with our_saver(home, url) as saver:
        forks = await _forks(saver, home, 3 if quick else 7)
        return forks + await _recording(saver, home, 20 if quick else 50, 2 if quick else 5)


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.travel", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="fewer forks and calls")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return asyncio.run(measure(home, given.url, quick=given.quick))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

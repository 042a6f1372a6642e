"""Browser: how many tasks `browser_use` can do on local sites, what its calls take, and what its snapshots cost."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from benchmarks.browsing import forms, pages, widgets
from benchmarks.browsing.hand import TASKS, Hand, Task, new_hand
from benchmarks.browsing.large_pages import LARGE
from benchmarks.browsing.local_site import LocalSite, local_site
from benchmarks.figure import Figure, machine, middle, say, table
from openmanus_graph.context import Sessions
from openmanus_graph.sandbox.tree import tree_below
from openmanus_graph.tools.browser import actions
from openmanus_graph.tools.browser.rendering import tokens
from openmanus_graph.tools.browser.session import BrowserSession

SHARE, OVERHEAD_MS, FIRST_S, CONTEXT_MB = 0.1, 15.0, 1.5, 70.0
REST_S = 0.1
"""Seconds before each click, so that none waits for what the one before has set off."""
_BUTTON = '<!doctype html><title>Press</title><button onclick="this.dataset.n = 1">Press</button>'
_ALL = {
    **{f"/task/{place}": task.page for place, task in enumerate(TASKS)},
    **widgets.PARTS,
    **pages.PARTS,
    **LARGE,
    "/press": _BUTTON,
}
assert forms is not None  # imported for its tasks


async def _do(hand: Hand, task: Task, path: str) -> str:
    """Why a task was not done; empty if it was."""
    hand.site.sent.clear()
    try:
        await hand.open(path)
        return "" if await task.work(hand) else f"not as it should be: {json.dumps(hand.shown)[:400]}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the task is not done
        return f"{type(error).__name__}: {error}"


async def _tasks(site: LocalSite, folder: Path) -> list[Figure]:
    """Do all tasks, each as a subtask of its own in one Chromium."""
    thread = Sessions()
    times: dict[str, list[float]] = {}
    done = 0
    try:
        for place, task in enumerate(TASKS):
            hand = new_hand(site, folder, thread, f"task-{place}")
            why = await _do(hand, task, f"/task/{place}")
            await hand.context.sessions.aclose()
            done += not why
            if why:
                say(f"NOT DONE: {task.name}: {why}")
            for action, taken in hand.times.items():
                times.setdefault(action, []).extend(taken[1:] if action == "go_to_url" and place == 0 else taken)
    finally:
        await thread.aclose()
    say(f"{done} of {len(TASKS)} tasks done")
    figures = [Figure(f"tasks done, of {len(TASKS)}", done, "tasks", len(TASKS), at_least=True)]
    for action, taken in sorted(times.items()):
        if len(taken) > 2:
            late = sorted(taken)[max(0, -(-len(taken) * 95 // 100) - 1)]
            say(f"{action}: median {middle(taken):.0f} ms, p95 {late:.0f} ms ({len(taken)} calls)")
            figures.append(Figure(f"`{action}`, median", middle(taken), "ms"))
            figures.append(Figure(f"`{action}`, p95", late, "ms"))
    return figures


@contextmanager
def _apart() -> Iterator[dict[str, list[float]]]:
    """Count the milliseconds of settling, of the snapshot and of saving, each call by itself."""
    parts: dict[str, list[float]] = {"settling": [], "snapshot": [], "saving": []}
    before = (BrowserSession.settle, actions._snapshot, BrowserSession.save)  # pyright: ignore[reportPrivateUsage]

    def timed(name: str, work: Callable[..., Awaitable[Any]]) -> Any:
        async def measured(*given: Any) -> Any:
            began = time.perf_counter()
            try:
                return await work(*given)
            finally:
                parts[name].append((time.perf_counter() - began) * 1000)

        return measured

    changed: Any = BrowserSession
    changed.settle, changed.save = timed("settling", before[0]), timed("saving", before[2])
    cast("Any", actions)._snapshot = timed("snapshot", before[1])
    try:
        yield parts
    finally:
        changed.settle, changed.save = before[0], before[2]
        cast("Any", actions)._snapshot = before[1]


async def _overhead(site: LocalSite, folder: Path, count: int) -> list[Figure]:
    """What a click costs besides what it waits for, beside the same click of Playwright in the same page."""
    thread = Sessions()
    hand = new_hand(site, folder, thread, "overhead")
    try:
        await hand.open("/press")
        button = await hand.ref("button", "Press")
        session = await hand.context.sessions.get("browser", _never)
        ours: list[float] = []
        plain: list[float] = []
        worked: list[float] = []
        with _apart() as parts:
            for _ in range(count):
                await asyncio.sleep(REST_S)
                before = {name: len(taken) for name, taken in parts.items()}
                spent = time.process_time()
                await hand.act("click_element", ref=button)
                worked.append((time.process_time() - spent) * 1000)
                apart = sum(sum(taken[before[name] :]) for name, taken in parts.items())
                ours.append(hand.times["click_element"][-1] - apart)
                await asyncio.sleep(REST_S)
                began = time.perf_counter()
                await session.tab.page.get_by_role("button", name="Press").click()
                plain.append((time.perf_counter() - began) * 1000)
    finally:
        await hand.context.sessions.aclose()
        await thread.aclose()
    for name, taken in parts.items():
        say(f"{name}: median {middle(taken):.0f} ms")
    say(f"the rest of a click {middle(ours):.1f} ms, Playwright's {middle(plain):.1f} ms")
    say(f"the fastest of each: {min(ours):.1f} ms, {min(plain):.1f} ms")
    over = middle([one - other for one, other in zip(ours, plain, strict=True)])
    return [
        Figure("a click over Playwright's, without settling, snapshot and saving", over, "ms", OVERHEAD_MS),
        Figure("CPU time of this process for a click, all of it", middle(worked), "ms"),
        *(Figure(f"of it apart: {name}", middle(taken), "ms") for name, taken in parts.items()),
    ]


async def _never() -> BrowserSession:
    raise AssertionError("there is one")


async def _first(site: LocalSite, folder: Path, count: int) -> list[Figure]:
    """Seconds to the first page, the start of the browser included; how it is confined is known, as in any run."""
    taken: list[float] = []
    for number in range(count):
        thread = Sessions()
        hand = new_hand(site, folder, thread, f"first-{number}")
        try:
            await hand.open("/press")
        finally:
            await hand.context.sessions.aclose()
            await thread.aclose()
        taken.append(hand.times["go_to_url"][0] / 1000)
    say(f"first page: {', '.join(f'{one:.2f}' for one in taken)} s")
    return [Figure("first page, with the start of the browser, after the import", middle(taken), "s", FIRST_S)]


def _megabytes() -> float:
    """What all processes below this one take, shared memory divided among those that share it."""
    total = 0
    for process in tree_below(os.getpid()):
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


async def _memory(site: LocalSite, folder: Path, count: int) -> list[Figure]:
    """What each subtask with a page costs beside the first."""
    thread = Sessions()
    hands = [new_hand(site, folder, thread, f"memory-{number}") for number in range(count + 1)]
    try:
        await hands[0].open("/shop")
        await asyncio.sleep(1)
        before = _megabytes()
        for hand in hands[1:]:
            await hand.open("/shop")
        await asyncio.sleep(1)
        each = (_megabytes() - before) / count
    finally:
        for hand in hands:
            await hand.context.sessions.aclose()
        await thread.aclose()
    say(f"a browser with a page takes {before:.0f} MB, each further subtask {each:.0f} MB")
    return [Figure("memory of each further subtask with a page", each, "MB", CONTEXT_MB)]


async def _costs(site: LocalSite, folder: Path, rival: dict[str, str]) -> list[Figure]:
    """Tokens of a page as a snapshot, beside its HTML and the rival's snapshot."""
    thread = Sessions()
    hand = new_hand(site, folder, thread, "costs")
    figures: list[Figure] = []
    try:
        for path, html in LARGE.items():
            await hand.open(path)
            ours, theirs = tokens(hand.snapshot), tokens(html)
            other = tokens(rival[path]) if path in rival else None
            beside = "" if other is None else f", {other:,} as Playwright's MCP server gives it"
            say(f"{path}: {ours:,} tokens, {theirs:,} as HTML{beside}")
            name = f"snapshot of {path[1:]}: its share of the tokens of the HTML"
            share = None if other is None else other / theirs
            figures.append(Figure(name, ours / theirs, "×", SHARE, share, "Playwright MCP" if share else ""))
    finally:
        await hand.context.sessions.aclose()
        await thread.aclose()
    return figures


async def _of_rival(site: LocalSite, installed: Path) -> dict[str, str]:
    """What Playwright's own MCP server gives of the large pages."""
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    from tests.browser import chromium

    program = installed / "node_modules" / "@playwright" / "mcp" / "cli.js"
    options = ["--headless", "--isolated", "--no-sandbox", "--executable-path", str(chromium())]
    server = StdioServerParameters(command="node", args=[str(program), *options], cwd=str(installed))
    given: dict[str, str] = {}
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for path in LARGE:
            await session.call_tool("browser_navigate", {"url": f"{site.url}{path}"})
            result = await session.call_tool("browser_snapshot", {})
            given[path] = "\n".join(str(getattr(part, "text", "")) for part in result.content)
    return given


def _import_seconds() -> float:
    """Seconds that importing what drives a browser takes, in a new process."""
    code = "import time; began = time.perf_counter(); import playwright.async_api; print(time.perf_counter() - began)"
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True) for _ in range(3)]
    return statistics.median(float(run.stdout) for run in runs)


async def _measure(site: LocalSite, folder: Path, given: argparse.Namespace) -> list[Figure]:
    few = bool(given.quick)
    rival = await _of_rival(site, Path(given.mcp)) if given.mcp else {}
    figures = await _tasks(site, folder)
    figures += await _overhead(site, folder, 8 if few else 30)
    figures += await _first(site, folder, 1 if few else 5)
    figures += await _memory(site, folder, 2 if few else 5)
    return figures + await _costs(site, folder, rival)


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.browser", description=__doc__)
    parser.add_argument("--mcp", help="folder in which npm has installed @playwright/mcp, for a look at its snapshots")
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    given = parser.parse_args(arguments)
    say(f"import of what drives a browser: {_import_seconds():.2f} s")
    with local_site(_ALL) as site, tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(site, Path(folder), given))


if __name__ == "__main__":
    figures = main()
    say(machine())
    print(table(figures))

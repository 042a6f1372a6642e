"""Widget: how soon the page of a notebook shows a step, in JupyterLab and Chromium, beside the bare stepper.

It needs a checkout, with the tests' JupyterLab, and the system's Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.store import our_saver, temporary_folder

SUBTASKS = 50
WIDTH = 5
UPDATE_MS = 100.0
"""Milliseconds from the kernel's drawing of a stop to the page that shows it."""
KITCHEN = '''
from langchain_core.tools import tool


@tool
async def nothing(number: int) -> int:
    """Do nothing."""
    return number
'''
PREPARE = """
from nothing import nothing
from openmanus_graph import Stepper, build_plan_graph, open_checkpointer
%load_ext openmanus_graph
saver = await open_checkpointer()
app = build_plan_graph(tools=[nothing]).compile(checkpointer=saver)
"""
# Clicks a verb and waits until another stop is painted; milliseconds of each click, and of the drawing alone.
CLICKS = """
async ([verb, times]) => {
  const root = document.querySelector(".omgw"), told = root.querySelector(".told"), found = [];
  for (let count = 0; count < times; count++) {
    const before = told.textContent, began = performance.now();
    const painted = new Promise((resolve) => {
      const watch = new MutationObserver(() => {
        const now = told.textContent;
        if (now === before || now.startsWith("Running")) return;
        watch.disconnect();
        const took = () => [performance.now() - began, Number(root.dataset.latencyMs)];
        requestAnimationFrame(() => setTimeout(() => resolve(took()), 0));
      });
      watch.observe(told, { childList: true, subtree: true, characterData: true });
    });
    root.querySelector(`.bar [data-do=${verb}]`).click();
    found.push(await painted);
  }
  return found;
}
"""


def plan() -> dict[str, Any]:
    """Fifty subtasks in ranks of five, each after two of the rank before."""
    subtasks: list[dict[str, Any]] = []
    for number in range(SUBTASKS):
        rank, place = divmod(number, WIDTH)
        before = [(rank - 1) * WIDTH + (place + shift) % WIDTH for shift in (0, 1)] if rank else []
        one = {
            "id": f"s{number}",
            "tool": "nothing",
            "args": {"number": number},
            "needs": [f"s{one}" for one in before],
        }
        subtasks.append(one)
    return {"goal": "Fifty", "subtasks": subtasks}


async def _bare(home: Path, url: str | None, steps: int) -> float:
    """Milliseconds of a step without a page."""
    from langchain_core.tools import tool

    from openmanus_graph import Stepper, build_plan_graph

    @tool
    async def nothing(number: int) -> int:
        """Do nothing."""
        return number

    async with our_saver(home, url) as saver:
        app = build_plan_graph(tools=[nothing]).compile(checkpointer=saver)
        async with Stepper(app, input={"plan": plan()}, thread_id=f"bare-{os.getpid()}") as stepper:
            await stepper.step()
            times: list[float] = []
            for _ in range(steps):
                began = time.perf_counter()
                await stepper.step()
                times.append((time.perf_counter() - began) * 1000)
    return middle(times)


def _shown(folder: Path, home: Path, url: str | None, steps: int) -> tuple[float, float]:
    """Milliseconds from a click to the page that shows the step, and of the update alone."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    from tests.browser import browser_page
    from tests.notebooks.lab import running_lab

    notebooks, people = folder / "notebooks", folder / "people"
    notebooks.mkdir()
    people.mkdir()
    (notebooks / "nothing.py").write_text(KITCHEN, encoding="utf-8")
    opening = f"stepper = await Stepper(app, input={{'plan': {plan()!r}}}, thread_id='shown-{os.getpid()}')\nstepper"
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    made = new_notebook(cells=[new_code_cell(PREPARE.strip()), new_code_cell(opening)], metadata=kernel)
    nbformat.write(made, notebooks / "fifty.ipynb")
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG")}
    environment = (
        kept | {"HOME": str(people), "OPENMANUS_GRAPH_HOME": str(home)} | ({"DATABASE_URL": url} if url else {})
    )
    with (
        running_lab(notebooks, environment, folder / "log") as lab,
        browser_page(folder / "profile", viewport={"width": 1280, "height": 1300}) as tab,
    ):
        page = tab.page
        page.goto(f"{lab.url}/lab/tree/fifty.ipynb?token={lab.token}&reset")
        state = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        page.wait_for_function(f"{state} === 'idle'", timeout=60_000)
        page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_selector(".omgw")
        page.evaluate(CLICKS, ["step", 1])  # begins the run
        found = page.evaluate(CLICKS, ["step", steps])
    return middle([one[0] for one in found]), middle([one[1] for one in found])


def measure(steps: int, url: str | None) -> list[Figure]:
    """Both, on one server."""
    from tests.browser import chromium

    if chromium() is None:
        say("  there is no Chromium; install it with: apt-get install chromium")
        return []
    with temporary_folder() as folder:
        bare = asyncio.run(_bare(folder / "home", url, steps))
        clicked, update = _shown(folder, folder / "home", url, steps)
    return [
        Figure(f"a stop's way to the page, {SUBTASKS} subtasks", update, "ms", UPDATE_MS),
        Figure("click to the page that shows the step", clicked, "ms", None, bare, "the step alone, in Python"),
    ]


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.widget", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps")
    parser.add_argument("--url", help="a Postgres to use; an embedded one in a temporary folder by default")
    given = parser.parse_args(arguments)
    return measure(10 if given.quick else 40, given.url)


if __name__ == "__main__":
    say(machine())
    print(table(main()))

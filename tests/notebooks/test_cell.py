"""Cells: `%%graph_step` opens a stepper on what the code of a cell ends with, and the cell stays the user's."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from openmanus_graph import get_thread, open_checkpointer
from tests.notebooks.conftest import script

pytestmark = pytest.mark.postgres

GRAPH = """
import asyncio
from typing_extensions import TypedDict
from langgraph.graph import END, START, StateGraph

class State(TypedDict, total=False):
    text: str

def read(state):
    return {"text": state["text"] + " read"}

def write(state):
    return {"text": state["text"] + " written"}

graph = StateGraph(State)
graph.add_node("read", read)
graph.add_node("write", write)
graph.add_edge(START, "read")
graph.add_edge("read", "write")
graph.add_edge("write", END)
"""
PLAN = """
from openmanus_graph import Plan
plan = Plan.from_dict({
    "goal": "Two lists",
    "subtasks": [
        {"id": "all", "tool": "list_files", "args": {"pattern": "*"}},
        {"id": "python", "tool": "list_files", "args": {"pattern": "*.py"}},
    ],
})
"""
WRONG = {
    "nothing": ("%%graph_step", "nothing to step through. End the cell with a graph"),
    "blank": ("%%graph_step\n\n# later\n", "nothing to step through. End the cell with a graph"),
    "no expression": ("%%graph_step\ntouched = graph", "nothing to step through. End the cell with a graph"),
    "something else": ("%%graph_step\n[graph]", "a value of the type 'list'"),
    "None": ("%%graph_step\nprint()", "ends with None"),
    "not awaited": ("%%graph_step\nasyncio.sleep(0)", "Put `await` before it"),
    "no checkpointer": ("%%graph_step\ngraph.compile(), {}", "Leave it uncompiled"),
    "no input": ("%%graph_step unknown\ngraph", "'unknown' is new, and there is no input"),
    "not whole": ("%%graph_step\nStateGraph(State), {}", "Graph must have an entrypoint"),
    "wrong plan": ("%%graph_step\nPlan.from_dict({'subtasks': [{'id': 'a', 'tool': 'x'}]})", "'x'"),
    "an option": ("%%graph_step --into s\ntouched = 1\ngraph", "no option '--into'. It is %%graph_step [THREAD]"),
    "no name": ("%%graph_step --as\ntouched = 1\ngraph", "'' cannot be a variable"),
    "a keyword": ("%%graph_step --as=for\ntouched = 1\ngraph", "'for' cannot be a variable"),
    "two threads": ("%%graph_step a b\ntouched = 1\ngraph", "'a' and 'b' are two threads"),
    "no thread": ("%%graph_step a/b\ntouched = 1\ngraph", "'a/b' cannot be a thread's id"),
    "a quote": ("%%graph_step 'a\ntouched = 1\ngraph", "a quote is not closed"),
    "another magic": ("%%graph_step\n%%capture\ngraph", "ends with None"),
    "no cell": ("x = get_ipython().run_cell_magic('graph_step', '', 'graph')", "only as the first line of a cell"),
}
"""Cells from which nothing can be opened, with what is said of them."""
FAILING = {
    "in between": ("%%graph_step\n\nx = 1\n1 / 0\ngraph", "----> 4 1 / 0"),
    "at the end": ("%%graph_step\n\n\n[graph,\n 1 / 0]  # ends here", "----> 5  1 / 0]"),
    "after an await": ("%%graph_step\nawait asyncio.sleep(0)\n1 / 0", "----> 3 1 / 0"),
    "in a function": ("%%graph_step\ndef f():\n    return 1 / 0\nf()", "----> 3     return 1 / 0"),
    "IPython's own": ("%%graph_step\n%time 1 / 0\ngraph", "ZeroDivisionError"),
    "no Python": ("%%graph_step\n\nx = = 1\ngraph", "3\n    x = = 1"),
    "no place": ("%%graph_step\nreturn 1\ngraph", "2\n    return 1"),
}
"""Cells of which a line fails, with how the line is shown."""
Cell = Callable[[str], Any]


@pytest.fixture
def cell(shell: InteractiveShell, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """Runs a cell, and gives what it shows; the graph and the plan are there."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.chdir(tmp_path)

    def run(text: str) -> Any:
        return shell.run_cell(text, store_history=True).result

    run(GRAPH + PLAN)
    yield run
    shell.run_line_magic("unload_ext", "openmanus_graph")


def test_is_listed_and_explained(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    assert "%%graph_step" in str(cell("%lsmagic"))
    cell("%%graph_step?")

    assert "%%graph_step [THREAD] [--as NAME]" in capsys.readouterr().out


def test_steps_through_a_graph_of_the_cell(cell: Cell, shell: InteractiveShell) -> None:
    shown = cell("%%graph_step\nawait asyncio.sleep(0)\ngreeting = 'A letter'\ngraph, {'text': greeting}  # both")

    assert shown is shell.user_ns["stepper"]
    assert shown.thread_id.startswith("a-letter-")
    assert shown.status == "new"
    assert shell.user_ns["greeting"] == "A letter"
    stop = cell("await stepper.step()")
    assert (stop["node"], stop["standing"]) == ("read", ["write"])
    assert cell("stepper.state") == {"text": "A letter read"}


def test_takes_up_a_thread_where_it_stands(cell: Cell) -> None:
    cell("%%graph_step letter\ngraph, {'text': 'A'}")
    cell("await stepper.step()")

    # The stepper of the cell before still has the thread; no input is needed, and one that is given begins nothing.
    cell("thread = 'letter'")
    again = cell("%%graph_step {thread} --as again\ngraph, {'text': 'B'}")

    assert again.thread_id == "letter"
    assert again.state == {"text": "A read"}
    assert cell("await again.step()")["reason"] == "finished"
    assert cell("again.state") == {"text": "A read written"}
    assert cell("%%graph_step letter\ngraph").status == "completed"
    assert cell("%%graph_step letter\ngraph, {'text': 'C'}").input == {"text": "C"}


def test_steps_through_a_plan(cell: Cell) -> None:
    cell("%%graph_step lists --as lists\n(plan)")
    cell("await lists.step()")
    cell("await lists.step('python')")

    assert cell("lists.subtasks") == {"all": "next", "python": "completed"}


def test_steps_through_a_graph_with_a_checkpointer_of_its_own(cell: Cell) -> None:
    cell("from langgraph.checkpoint.memory import InMemorySaver\napp = graph.compile(checkpointer=InMemorySaver())")

    cell("%%graph_step own\napp, {'text': 'A'}")

    assert cell("await stepper.run()")["reason"] == "finished"
    assert cell("stepper.state")["text"] == "A read written"


@pytest.mark.parametrize("name", WRONG)
def test_says_in_a_sentence_what_is_wrong(
    name: str, cell: Cell, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = WRONG[name]

    cell(text)

    told = capsys.readouterr()
    assert told.err.startswith("UsageError: ")
    assert said in told.err
    assert "Traceback" not in told.out + told.err
    assert not {"stepper", "touched"} & set(shell.user_ns)


@pytest.mark.parametrize("name", FAILING)
def test_tracebacks_show_the_lines_of_the_cell(
    name: str, cell: Cell, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = FAILING[name]

    cell(text)

    told = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
    assert said in told
    assert "notebook/cell.py" not in told
    assert "stepper" not in shell.user_ns


def test_ends_silently_on_a_semicolon(cell: Cell, shell: InteractiveShell) -> None:
    assert cell("%%graph_step quiet\ngraph, {'text': 'ü'};  # ö") is None
    assert shell.user_ns["stepper"].thread_id == "quiet"


def test_says_that_await_is_off(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    cell("%autoawait off")
    cell("%%graph_step\ngraph, {'text': 'A'}")
    cell("%autoawait asyncio")

    assert "%autoawait asyncio" in capsys.readouterr().err
    assert cell("%%graph_step\ngraph, {'text': 'A'}").status == "new"


def test_a_server_that_is_down_is_asked_again_by_the_next_cell(
    cell: Cell, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    cell("%%graph_step\ngraph, {'text': 'A'}")
    assert "127.0.0.1:1" in capsys.readouterr().err.removeprefix("UsageError: ")

    monkeypatch.setenv("DATABASE_URL", database)

    assert cell("%%graph_step\ngraph, {'text': 'A'}").status == "new"


def test_unloading_lets_threads_go(cell: Cell, database: str, capsys: pytest.CaptureFixture[str]) -> None:
    cell("%%graph_step lists\nplan")
    cell("await stepper.step()")

    cell("%unload_ext openmanus_graph")
    cell("%%graph_step lists\nplan")

    assert "not found" in capsys.readouterr().err
    assert asyncio.run(status_of(database, "lists")) == "paused"
    cell("%load_ext openmanus_graph")
    assert cell("%%graph_step lists\nplan").subtasks == {"all": "next", "python": "next"}


async def status_of(database: str, name: str) -> str | None:
    async with open_checkpointer(database) as saver:
        found = await get_thread(saver, name)
    return found and found.status


@asynccontextmanager
async def kernel(folder: Path, database: str) -> AsyncIterator[Callable[[str], Any]]:
    """A kernel of its own; gives what runs a cell there and returns the text that it prints and shows."""
    notebook = nbformat.v4.new_notebook()
    client = NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    variables = script().environment(folder / "home") | {"DATABASE_URL": database}

    async def run(text: str) -> str:
        made = nbformat.v4.new_code_cell(text)
        notebook.cells.append(made)
        done = await client.async_execute_cell(made, len(notebook.cells) - 1)
        return "".join(one.get("text") or one.get("data", {}).get("text/plain", "") for one in done.outputs)

    async with client.async_setup_kernel(env=variables):
        await run("import os\n%load_ext openmanus_graph")
        yield run


async def test_goes_on_in_another_kernel_when_one_is_killed(tmp_path: Path, database: str) -> None:
    async with kernel(tmp_path, database) as first, kernel(tmp_path, database) as second:
        await first(f"%%graph_step letter\n{GRAPH}\nawait asyncio.sleep(0)\ngraph, {{'text': 'A'}};")
        assert "Next: write" in await first("(await stepper.step())['text']")

        with pytest.raises(CellExecutionError, match="letter") as busy:
            await second(f"%%graph_step letter\n{GRAPH}\ngraph;")
        pid = int(await first("os.getpid()"))
        assert str(pid) in str(busy.value)
        with pytest.raises(DeadKernelError):
            await first(f"os.kill(os.getpid(), {int(signal.SIGKILL)})")

        await second(f"%%graph_step letter\n{GRAPH}\ngraph;")
        assert "A read" in await second("stepper.state")
        assert "finished" in await second("(await stepper.step())['reason']")
        assert "A read written" in await second("stepper.state")


async def test_unloading_in_a_kernel_lets_threads_go(tmp_path: Path, database: str) -> None:
    async with kernel(tmp_path, database) as run, asyncio.timeout(30):
        await run(f"%%graph_step lists\n{PLAN}\nplan;")
        await run("await stepper.step();")
        assert await status_of(database, "lists") == "running"

        await run("%unload_ext openmanus_graph")

        while await status_of(database, "lists") != "paused":  # it is closed in the background
            await asyncio.sleep(0.05)

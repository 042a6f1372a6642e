"""The widget as people meet it: a real JupyterLab in a real Chromium, clicked through; nothing leaves the machine."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, expect

from tests.browser import Tab, browser_page, chromium
from tests.conftest import Require, new_database
from tests.notebooks.conftest import TOP, WATCH, script
from tests.notebooks.lab import Lab, running_lab

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

PICTURES = TOP / "build" / "lab"
"""Where the screenshots are kept."""
LONG_MS = 20_000
STEP_AND_BREAK = "03_step_and_break.ipynb"
# Cells of that notebook: what every kernel needs, what begins anew, and the stepper.
PREPARE, FORGET, OPEN, AGAIN = (1, 2), 3, 5, 24

GREETING = """
%%graph_step greeting
from typing import TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    name: str
    greeting: str


def ask_name(state):
    return {"name": interrupt("What is your\\u202e name?")}


def greet(state):
    if state["name"] == "Nobody":
        raise ValueError("Nobody is greeted.")
    return {"greeting": f"Hello, {state['name']}."}


graph = StateGraph(State)
graph.add_node(ask_name)
graph.add_node(greet)
graph.add_edge(START, "ask_name")
graph.add_edge("ask_name", "greet")
graph.add_edge("greet", END)
graph, {}
"""


@pytest.fixture(scope="module")
def lab(server: str) -> Iterator[tuple[Lab, Path]]:
    """A JupyterLab on a copy of the notebooks, with the file in which its processes note whom they want to reach."""
    base = Path(tempfile.mkdtemp(prefix="omg-lab-"))
    base.chmod(0o755)
    shutil.copytree(TOP / "notebooks", base / "notebooks", ignore=shutil.ignore_patterns("openmanus-work"))
    # JupyterLab shows no pictures of a notebook whose stored outputs somebody else made.
    notebook = nbformat.read(base / "notebooks" / STEP_AND_BREAK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, base / "notebooks" / STEP_AND_BREAK)
    (base / "people").mkdir()
    log = base / "reached"
    (base / "sitecustomize.py").write_text(WATCH.replace("{log!r}", repr(str(log))))
    with new_database(server) as url:
        environment = script().environment(base / "home") | {
            "DATABASE_URL": url,
            "PYTHONPATH": str(base),
            "HOME": str(base / "people"),
        }
        with running_lab(base / "notebooks", environment, base / "log") as running:
            yield running, log
    shutil.rmtree(base)


class Notebook:
    """A notebook in a page."""

    def __init__(self, lab: Lab, tab: Tab) -> None:
        self.lab, self.tab, self.page = lab, tab, tab.page
        self.page.set_default_timeout(LONG_MS)

    def open(self, name: str) -> None:
        self.page.goto(f"{self.lab.url}/lab/tree/{name}?token={self.lab.token}&reset")
        self.ready()

    def ready(self) -> None:
        """Wait for the page and its kernel."""
        kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        self.page.wait_for_function(f"{kernel} === 'idle'", timeout=3 * LONG_MS)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell")

    def run(self, *cells: int) -> None:
        """Run cells by their place, and wait for their end."""
        for cell in cells:
            self.page.evaluate(
                "async cell => { const app = window.jupyterapp; app.shell.currentWidget.content.activeCellIndex = cell;"
                " await app.commands.execute('notebook:run-cell'); }",
                cell,
            )

    def look_at(self, cell: int) -> None:
        """Scroll to a cell: JupyterLab draws only what is near the visible part."""
        self.page.evaluate("cell => window.jupyterapp.shell.currentWidget.content.scrollToItem(cell)", cell)

    @property
    def widget(self) -> Locator:
        """The newest view of a stepper."""
        return self.page.locator(".omgw").last

    def do(self, verb: str) -> None:
        self.widget.locator(f".bar [data-do={verb}]").click()

    def box(self, picture: str, key: str) -> Locator:
        return self.widget.locator(f'[data-picture={picture}] [data-key="{key}"]')

    def states(self, picture: str = "plan") -> dict[str, str]:
        """What the page shows that each box stands at."""
        boxes = self.widget.locator(f"[data-picture={picture}] .b[role=button]").all()
        states = ("pending", "next", "running", "waiting", "completed", "failed", "blocked", "skipped")
        found = {str(box.get_attribute("data-key")): str(box.get_attribute("class")).split() for box in boxes}
        return {key: next((one for one in classes if one in states), "") for key, classes in found.items()}

    def stands(self, **data: str) -> None:
        """Wait until the page says so."""
        for name, value in data.items():
            expect(self.widget).to_have_attribute(f"data-{name}", value, timeout=LONG_MS)

    def open_tab(self, name: str) -> Locator:
        self.widget.locator(f"[data-tab={name}]").first.click()
        panel = self.widget.locator(f".panel[data-tab={name}]")
        panel.wait_for()
        return panel

    def picture(self, name: str) -> None:
        """Keep a screenshot of the stepper."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.widget.scroll_into_view_if_needed()
        self.widget.screenshot(path=str(PICTURES / f"{name}.png"))

    def kill_kernel(self) -> None:
        [kernel] = self.lab.kernels()
        os.kill(kernel, signal.SIGKILL)


@pytest.fixture
def notebook(lab: tuple[Lab, Path], tmp_path: Path, require: Require) -> Iterator[Notebook]:
    """A page on JupyterLab; afterwards, nothing has left the machine and no script of the page has failed."""
    require(chromium() is not None, "There is no Chromium", "apt-get install chromium")
    running, reached = lab
    with browser_page(tmp_path / "profile", viewport={"width": 1280, "height": 1300}) as tab:
        yield Notebook(running, tab)
        assert tab.left == []
        assert tab.errors == []
    for session in running.ask("sessions"):
        running.ask(f"sessions/{session['id']}", "DELETE")
    assert not reached.exists(), reached.read_text()


@pytest.fixture
def written(notebook: Notebook) -> Callable[..., None]:
    """Opens a new notebook with these cells."""

    def write(name: str, *cells: str) -> None:
        made = new_notebook(
            cells=[new_code_cell(cell.strip()) for cell in cells], metadata={"kernelspec": script().KERNEL}
        )
        folder = Path(f"/proc/{notebook.lab.process.pid}/cwd").resolve()
        nbformat.write(made, folder / name)
        notebook.open(name)

    return write


def test_a_plan_is_stepped_broken_edited_and_finished_with_clicks(notebook: Notebook) -> None:
    notebook.open(STEP_AND_BREAK)
    notebook.run(*PREPARE, FORGET, OPEN)
    notebook.stands(thread="stepped", status="new")

    notebook.do("step")
    notebook.stands(status="standing", reason="step")
    assert notebook.states()["shop"] == notebook.states()["dough"] == "next"
    assert notebook.states("graph") | {"dispatcher": "running", "dispatcher:cook": "next"} == notebook.states("graph")

    notebook.widget.locator("[data-branch=dough]").click()
    expect(notebook.box("plan", "bread")).to_contain_class("next")
    assert notebook.states() | {"dough": "completed", "shop": "next", "soup": "pending"} == notebook.states()

    notebook.box("plan", "soup").click(button="right")
    expect(notebook.box("plan", "soup").locator(".h")).to_be_visible()
    expect(notebook.widget.locator(".stop")).to_contain_text("subtask:soup")
    notebook.do("run")
    notebook.stands(reason="breakpoint")
    assert notebook.states()["soup"] == "next"
    notebook.picture("breakpoint")

    panel = notebook.open_tab("edit")
    panel.locator("[name=what]").select_option("plan")
    text = panel.locator("[name=value]")
    text.fill(text.input_value().replace("dish: soup", "dish: cold soup"))
    panel.locator("[data-do=edit]").click()
    notebook.stands(thread="stepped-2", reason="forked")

    notebook.do("back")
    notebook.stands(reason="moved")
    assert (notebook.widget.get_attribute("data-cursor") or "").isdigit()
    expect(notebook.widget).to_contain_text("looking at point")
    notebook.picture("back")
    notebook.do("head")
    notebook.stands(cursor="head")

    notebook.widget.locator(".stop").click()
    expect(notebook.widget.locator(".stop")).to_have_count(0)
    notebook.do("run")
    notebook.stands(status="completed", reason="finished", thread="stepped-2")
    assert set(notebook.states().values()) == {"completed"}
    expect(notebook.open_tab("calls")).to_contain_text("cold soup")
    expect(notebook.open_tab("timings").locator("tr[data-status=completed]")).to_have_count(6)


def test_a_killed_kernel_loses_nothing_and_the_saved_page_keeps_the_picture(notebook: Notebook) -> None:
    notebook.open(STEP_AND_BREAK)
    notebook.run(*PREPARE, FORGET, OPEN)
    notebook.do("step")
    notebook.stands(reason="step")
    notebook.widget.locator("[data-branch=shop]").click()
    expect(notebook.box("plan", "shop")).to_contain_class("completed")
    still = notebook.page.locator('img[src*="omgw-still"]').first
    expect(still).to_be_attached()
    expect(still).to_be_hidden()

    notebook.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    notebook.kill_kernel()
    notebook.stands(lost="true")
    expect(notebook.widget).to_contain_text("The kernel is gone")
    expect(notebook.widget.locator(".bar [data-do=step]")).to_be_disabled()
    notebook.picture("killed")

    notebook.page.reload()
    notebook.ready()
    notebook.look_at(OPEN)
    expect(still).to_be_visible()
    notebook.run(*PREPARE, AGAIN)
    notebook.stands(thread="stepped", status="standing")
    assert notebook.states() | {"shop": "completed", "dough": "next", "bread": "pending"} == notebook.states()
    notebook.box("plan", "serve").click()
    notebook.stands(reason="reached")
    notebook.do("step")
    notebook.stands(status="completed")
    expect(notebook.open_tab("history").locator("[data-key]").first).to_be_visible()


def test_keys_are_the_steppers_and_not_jupyterlabs(notebook: Notebook) -> None:
    notebook.open(STEP_AND_BREAK)
    notebook.run(*PREPARE, FORGET, OPEN)
    cells = notebook.page.locator(".jp-Notebook .jp-Cell").count()
    notebook.widget.focus()
    for key in ("s", "b", "h"):
        notebook.page.keyboard.press(key)
    notebook.stands(reason="moved", cursor="head")
    notebook.box("plan", "soup").focus()
    notebook.page.keyboard.press("k")
    expect(notebook.box("plan", "soup").locator(".h")).to_be_visible()
    notebook.page.keyboard.press("k")
    expect(notebook.box("plan", "soup").locator(".h")).to_have_count(0)
    notebook.box("plan", "bread").focus()
    notebook.page.keyboard.press("Enter")
    notebook.stands(status="standing", reason="reached")
    assert notebook.states()["dough"] == "completed"
    expect(notebook.box("plan", "bread")).to_be_focused()
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == cells

    notebook.run(OPEN)  # the same cell again: its new stepper takes the thread over from the one that stands there
    notebook.stands(status="standing", reason="ready")
    assert notebook.states()["dough"] == "completed"
    notebook.do("step")
    notebook.stands(reason="step")
    notebook.run(AGAIN)
    expect(notebook.page.locator(".omgw")).to_have_count(2)
    expect(notebook.page.locator(f".jp-Cell:nth-child({AGAIN + 1}) .omgw")).to_be_visible()
    expect(notebook.page.locator('img[src*="omgw-still"]').last).to_be_hidden()


def test_a_run_is_live_beside_other_cells_and_can_be_paused(notebook: Notebook, written: Callable[..., None]) -> None:
    plan = {
        "goal": "Slow cooking",
        "subtasks": [
            {
                "id": f"s{one}",
                "tool": "cook",
                "args": {"dish": str(one), "seconds": 0.5},
                "needs": [f"s{one - 1}"] * (one > 0),
            }
            for one in range(20)
        ],
    }
    written(
        "slow.ipynb",
        "%load_ext openmanus_graph",
        "from kitchen import cook\nfrom openmanus_graph import Stepper, build_plan_graph, open_checkpointer\n"
        "saver = await open_checkpointer()\napp = build_plan_graph(tools=[cook]).compile(checkpointer=saver)",
        f"stepper = await Stepper(app, input={{'plan': {plan!r}}}, thread_id='slow')\nstepper",
        "print('other cells', 40 + 2)",
    )
    notebook.run(0, 1, 2)
    notebook.do("run")
    notebook.stands(status="running")
    expect(notebook.box("plan", "s0")).to_contain_class("completed")
    assert notebook.widget.get_attribute("data-status") == "running"
    notebook.run(3)
    expect(notebook.page.get_by_text("other cells 42", exact=True)).to_be_visible()
    notebook.do("pause")
    notebook.stands(status="standing", reason="paused")
    done = [key for key, state in notebook.states().items() if state == "completed"]
    assert 0 < len(done) < 20


def test_a_graph_of_a_cell_asks_fails_and_is_mended(notebook: Notebook, written: Callable[..., None]) -> None:
    written("greeting.ipynb", "%load_ext openmanus_graph", GREETING)
    notebook.run(0, 1)
    notebook.stands(thread="greeting", status="new")
    expect(notebook.widget).to_contain_text("by super-step")
    notebook.do("step")
    notebook.stands(reason="waiting")
    assert notebook.states("graph")["ask_name"] == "waiting"
    expect(notebook.widget.locator(".question")).to_contain_text("What is your\\u202e name?")  # or it reads otherwise
    notebook.picture("question")
    notebook.widget.get_by_label("Answer").fill("Nobody")
    notebook.widget.get_by_role("button", name="Answer").click()
    notebook.stands(status="standing")
    assert notebook.states("graph") == {"ask_name": "completed", "greet": "next"}

    notebook.do("step")
    notebook.stands(reason="error")
    expect(notebook.widget.locator(".error")).to_contain_text("Nobody is greeted")
    assert notebook.states("graph")["greet"] == "failed"
    notebook.widget.get_by_role("button", name="Edit input and rerun").click()
    panel = notebook.widget.locator(".panel[data-tab=edit]")
    panel.locator("[name=path]").fill("name")
    panel.locator("[name=path]").blur()
    expect(panel.locator("[name=value]")).to_have_value('"Nobody"')
    panel.locator("[name=value]").fill("Ada")
    notebook.picture("edit")
    panel.locator("[data-do=edit-rerun]").click()
    notebook.stands(status="completed", thread="greeting-2")
    expect(notebook.open_tab("state")).to_contain_text("Hello, Ada.")


@pytest.mark.parametrize(("theme", "shown"), [("JupyterLab Dark", "dark"), ("JupyterLab Light", "light")])
def test_it_follows_the_theme(notebook: Notebook, theme: str, shown: str) -> None:
    def set_theme(name: str) -> Any:
        return notebook.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name
        )

    notebook.open(STEP_AND_BREAK)
    notebook.run(*PREPARE, FORGET, OPEN)
    notebook.do("step")
    notebook.stands(reason="step")
    set_theme(theme)
    expect(notebook.widget).to_contain_class(shown)
    paper = notebook.widget.locator("[data-picture=plan] .paper").evaluate("paper => getComputedStyle(paper).fill")
    assert paper == {"dark": "rgb(13, 17, 23)", "light": "rgb(255, 255, 255)"}[shown]
    notebook.picture(shown)

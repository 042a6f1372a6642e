"""Standing, from the shell: what stopped in its last step, or before its first one, goes on with `resume`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openmanus_graph import open_checkpointer
from openmanus_graph.fault_points import watch
from openmanus_graph.graphs.user.user_graph import make_loaded_durable
from openmanus_graph.loading.graphs import load_graph
from tests.cli.conftest import MakeProgram, Program

pytestmark = pytest.mark.postgres

BRANCHES = """
import operator
from pathlib import Path
from typing import Annotated, TypedDict
from langgraph.graph import START, StateGraph

CORRECTED = Path("corrected").exists()

class State(TypedDict, total=False):
    task: str
    found: Annotated[list, operator.add] if CORRECTED else list
    report: str

def log(line):
    with open("log", "a") as file:
        file.write(line + "\\n")

def left(state):
    log("left")
    return {"found": ["left"]}

def right(state):
    log("right")
    return {"found": ["right"]}

def join(state):
    log("join")
    return {"report": ",".join(sorted(state["found"]))}

builder = StateGraph(State)
for node in (left, right, join):
    builder.add_node(node.__name__, node)
builder.add_edge(START, "left")
builder.add_edge(START, "right")
builder.add_edge(["left", "right"], "join")
graph = builder.compile()
"""


class Cut(BaseException):
    """What cuts a run off, as a kill does."""


@pytest.fixture
def program(database: str, program_in: MakeProgram) -> Program:
    made = program_in(DATABASE_URL=database)
    (made.folder / "branches.py").write_text(BRANCHES)
    return made


def run(program: Program, code: int) -> None:
    program("run", "--graph", "branches.py", "--input", '{"task": "x"}', "--thread", "t", "--quiet", code=code)


def test_writes_that_do_not_fit_together_are_said_wherever_one_looks(program: Program) -> None:
    run(program, 1)
    stored = "What left, right did is stored and comes next."
    assert f"stands:    {stored}" in program("threads", "show", "t")[0]
    shown = json.loads(program("threads", "show", "t", "--json")[0])
    assert (shown["standing"], shown["next"][-8:]) == ("has work", "resume t")
    assert f"Now: {stored}" in program("threads", "history", "t")[0]
    out, _ = program("resume", "t", "--dry-run")
    assert out.startswith(f"The thread t is stopped. {stored} Nothing was written or run.")
    preview = json.loads(program("resume", "t", "--dry-run", "--json")[0])
    assert (preview["standing"], preview["nodes"], preview["recorded"]) == ("has work", [], ["left", "right"])
    assert stored in program("step", "t")[0]
    page = program.folder / "t.html"
    program("threads", "report", "t", "--output", str(page))
    assert stored in page.read_text()
    _, err = program("resume", "t", code=1)
    assert "At key 'found'" in err
    assert sorted(program.log()) == ["left", "right"], "what is committed never runs again"


def test_a_corrected_graph_goes_on_with_what_was_stored(program: Program) -> None:
    run(program, 1)
    (program.folder / "corrected").touch()
    out, err = program("resume", "t")
    assert json.loads(out)["report"] == "left,right"
    assert "left started" not in err
    assert sorted(program.log()) == ["join", "left", "right"]
    assert json.loads(program("threads", "show", "t", "--json")[0])["standing"] == "ended"
    assert program("resume", "t")[0] == out


async def test_what_had_not_begun_begins_with_the_input_it_was_given(program: Program, own_folder: Path) -> None:
    (program.folder / "corrected").touch()

    def cut(passed: str) -> None:
        if passed == "before checkpoint ":
            raise Cut

    async with open_checkpointer(program.environment["DATABASE_URL"]) as saver:
        app = make_loaded_durable(await load_graph(str(own_folder / "branches.py")), saver)
        watch(cut)
        with pytest.raises(Cut):
            await app.ainvoke({"task": "kept"}, {"configurable": {"thread_id": "t"}})
        watch(None)
    assert "It has not begun yet; its input is stored." in program("threads", "show", "t")[0]
    out, err = program("resume", "t")
    assert "Nothing of the thread t had begun; it begins now, with the input it was given." in err
    assert json.loads(out)["task"] == "kept"

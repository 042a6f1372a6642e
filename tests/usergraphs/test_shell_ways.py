"""Ways of the shell with LangGraph's ways: prints, processes, context managers, stops and results so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from openmanus_graph import ThreadSaver, build_plan_graph, load_graph, make_durable
from openmanus_graph.errors import UsageError
from openmanus_graph.graphs.user.user_graph import make_loaded_durable
from tests.cli.conftest import MakeProgram, Program

pytestmark = pytest.mark.postgres


@pytest.fixture
def program(database: str, program_in: MakeProgram) -> Program:
    return program_in(DATABASE_URL=database)


HEAD = """
import os, subprocess, sys
from contextlib import asynccontextmanager, contextmanager
from typing import TypedDict
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    task: str
    out: str

def log(line):
    with open("log", "a") as file:
        file.write(line + "\\n")

def one_node(node, **options):
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile(**options)
"""

PRINTS = """
print("from the import")

def node(state):
    print("from the node")
    sys.stdout.write("written\\n")
    os.write(1, b"from below Python\\n")
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    return {"out": interrupt("fine?")}

graph = one_node(node)
"""


def test_prints_stay_out_of_json(program: Program) -> None:
    (program.folder / "prints.py").write_text(HEAD + PRINTS)
    out, err = program("run", "--graph", "prints.py", "x", "--thread", "t", "--json", code=3)
    assert [json.loads(line)["type"] for line in out.splitlines()][-1] == "run_finished"
    for said in ("from the import", "from the node", "written", "from below Python", "from a child"):
        assert said in err
    out, err = program("resume", "t", "--answer", "yes", "--json")
    assert json.loads(out.splitlines()[-1])["output"] == {"task": "x", "out": "yes"}
    assert "from the node" in err
    (program.folder / "langgraph.json").write_text('{"graphs": {"prints": "./prints.py:graph"}, "dependencies": ["."]}')
    out, err = program("graph", "list", "--json")
    assert [graph["name"] for graph in json.loads(out)] == ["prints", "deep_research"]
    assert "from the import" in err


POOL = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

class Square:
    def __init__(self, side):
        self.side = side

def area(square):
    return square.side * square.side

def node(state):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(state["task"])) as pool:
        areas = list(pool.map(area, [Square(1), Square(2), Square(3)]))
    return {"out": f"{interrupt('fine?')} {sum(areas)}"}

graph = one_node(node)

if __name__ == "__main__":
    raise SystemExit("never")
"""


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_processes_of_a_graph_know_its_file(program: Program, start: str) -> None:
    (program.folder / "pool.py").write_text(HEAD + POOL)
    started = program.start("run", "--graph", "pool.py", start, "--thread", "t")
    _, err = started.communicate(timeout=120)
    assert started.returncode == 3, err
    assert "fine?" in err
    resumed = program.start("resume", "t", "--answer", "yes")
    out, err = resumed.communicate(timeout=120)
    assert (resumed.returncode, out.strip()) == (0, json.dumps({"task": start, "out": "yes 14"}, indent=2)), err


OPEN = """
def node(state):
    log("run")
    return {"out": interrupt("fine?")}

@asynccontextmanager
async def graph():
    \"\"\"Has a connection open.\"\"\"
    log("open")
    try:
        yield one_node(node)
    finally:
        log("close")

@contextmanager
def synchronous(config):
    log("open")
    yield one_node(node)
    log("close")

@asynccontextmanager
async def broken():
    raise OSError("no network")
    yield

@contextmanager
def nothing():
    log("open")
    yield "nothing"
    log("close")
"""


@pytest.mark.parametrize("attribute", ["graph", "synchronous"])
def test_a_context_manager_is_open_while_its_graph_runs(program: Program, attribute: str) -> None:
    (program.folder / "opens.py").write_text(HEAD + OPEN)
    listed = {"graphs": {"opens": f"./opens.py:{attribute}"}, "dependencies": ["."]}
    (program.folder / "langgraph.json").write_text(json.dumps(listed))
    program("graph", "list")
    assert program.log() == ["open", "close"]
    program("run", "--graph", "opens", "x", "--thread", "t", code=3)
    assert program.log()[2:] == ["open", "run", "close"]
    program("resume", "t", "--answer", "yes")
    assert program.log()[5:] == ["open", "run", "close"]


async def test_a_loaded_context_manager_is_closed_with_what_it_is_used_in(
    saver: ThreadSaver, own_folder: Path, database: str
) -> None:
    (own_folder / "opens.py").write_text(HEAD + OPEN)

    def log() -> list[str]:
        return (own_folder / "log").read_text().split()

    async with await load_graph("opens.py") as loaded:
        assert loaded.description == "Has a connection open."
        app = make_durable(loaded.graph, saver, reference=loaded.reference)
        await app.ainvoke({"task": "x"}, {"configurable": {"thread_id": "t"}})
        assert log() == ["open", "run"]
    assert log() == ["open", "run", "close"]
    make_loaded_durable(await load_graph("opens.py"), saver)
    await saver.aclose()
    assert log() == ["open", "run", "close", "open", "close"]


@pytest.mark.parametrize(("attribute", "says"), [("broken", "no network"), ("nothing", "no graph but a str")])
async def test_a_context_manager_that_gives_no_graph_is_told(own_folder: Path, attribute: str, says: str) -> None:
    (own_folder / "opens.py").write_text(HEAD + OPEN)
    with pytest.raises(UsageError, match=says):
        await load_graph(f"opens.py:{attribute}")
    if attribute == "nothing":
        assert (own_folder / "log").read_text().split() == ["open", "close"]


def test_a_stop_before_a_node_is_no_signal(program: Program) -> None:
    node = "\ngraph = one_node(lambda state: {'out': 'done'}, interrupt_before=['node'])\n"
    (program.folder / "stops.py").write_text(HEAD + node)
    _, err = program("run", "--graph", "stops.py", "x", "--thread", "t", code=3)
    assert "is paused" in err and "resume t" in err
    out, _ = program("resume", "t")
    assert "done" in out


@tool
def echo(text: str) -> str:
    """Say it."""
    return text


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_run_that_waits_gives_what_is_completed_so_far(
    saver: ThreadSaver, tmp_path: Path, version: Any
) -> None:
    plan = {
        "subtasks": [
            {"id": "said", "tool": "echo", "args": {"text": "one"}},
            {"id": "asked", "tool": "ask_human", "args": {"inquire": "Which?"}},
            {"id": "after", "tool": "echo", "args": {"text": "${asked.answer}"}},
        ]
    }
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "work")}}
    app = build_plan_graph(["ask_human", echo]).compile(checkpointer=saver)
    out: Any = await app.ainvoke({"plan": plan}, config, version=version)
    values = out if version == "v1" else out.value
    assert {key: result["output"] for key, result in values["results"].items()} == {"said": "one"}
    assert len(out["__interrupt__"] if version == "v1" else out.interrupts) == 1


TWICE = """
def node(state):
    return {"out": interrupt("first?") + interrupt("second?")}

graph = one_node(node)
"""


def test_the_answer_to_an_answered_question_is_refused(program: Program) -> None:
    (program.folder / "twice.py").write_text(HEAD + TWICE)
    out, _ = program("run", "--graph", "twice.py", "x", "--thread", "t", "--json", code=3)
    first = json.loads(out.splitlines()[-1])["questions"][0]["id"]
    program("resume", "t", "--answer", f"{first}=one", code=3)
    for late in (f"{first}=one", f"{first[:8]}=one"):
        _, err = program("resume", "t", "--answer", late, code=2)
        assert "names no open question" in err
    out, _ = program("resume", "t", "--answer", "two")
    assert "onetwo" in out
    _, err = program("resume", "t", "--answer", f"{first}=one", code=2)
    assert "asks nothing" in err

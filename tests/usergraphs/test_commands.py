"""Commands: `new`, `graph list`, `run --graph` and `resume` as a user calls them, with kills and exit codes."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.replies import plans, wants_plan
from tests.cli.conftest import MakeProgram, Program

pytestmark = [pytest.mark.postgres, pytest.mark.kill]

STEPS = """
import os, time
from typing import TypedDict
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

class State(TypedDict):
    topic: str
    size: int
    plan: str

def log(line):
    with open("log", "a") as file:
        file.write(line + "\\n")

def first(state):
    log("first")
    return {"size": len(state["topic"]), "plan": "any words"}

def second(state):
    log("second")
    if not os.path.exists("go"):
        time.sleep(60)
    if os.path.exists("fail"):
        raise ValueError("no luck")
    return {"size": state["size"] + 1}

builder = StateGraph(State)
builder.add_node("first", first)
builder.add_node("second", second)
builder.add_edge(START, "first")
builder.add_edge("first", "second")
graph = builder.compile(checkpointer=InMemorySaver())
"""


@pytest.fixture
def program(database: str, program_in: MakeProgram) -> Program:
    return program_in(DATABASE_URL=database)


@pytest.fixture
def project(program: Program) -> Program:
    program("new", "my project")
    return program.within("my project")


def wait_for(program: Program, line: str) -> None:
    deadline = time.monotonic() + 30
    while line not in program.log():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_new_project_runs_asks_and_goes_on(project: Program) -> None:
    out, _ = project("graph", "list", "--json")
    assert [one["name"] for one in json.loads(out)] == ["letter", "deep_research"]
    assert "Writes a letter" in out
    assert "count_words" in project("tools", "list")[0]
    out, err = project("run", "--graph", "letter", "Lunch at noon", "--thread", "lunch", code=3)
    assert out == ""
    assert "Is this right (7 words)?" in err
    project("resume", "lunch", "--answer", "Bring a friend", code=3)
    out, _ = project("resume", "lunch", "--answer", "yes")
    assert out == "Dear friends,\nLunch at noon\nBring a friend\nSee you!\n"
    assert project("resume", "lunch")[0] == out
    out, _ = project("threads", "show", "lunch", "--json")
    assert json.loads(out)["title"] == "Lunch at noon"
    assert project("run", "--plan", "plans/words.yaml")[0] == "7\n"


def test_a_new_projects_own_test_passes(project: Program) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {key: value for key, value in project.environment.items() if key != "DATABASE_URL"}
    done = subprocess.run(
        command, check=False, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


async def test_a_new_projects_notebook_runs(
    project: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", project.environment["DATABASE_URL"])
    monkeypatch.chdir(project.folder / "notebooks")
    notebook = json.loads((project.folder / "notebooks" / "letter.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            code = compile("".join(cell["source"]), cell["id"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            made = eval(code, names)
            if inspect.isawaitable(made):
                await made
    assert capsys.readouterr().out.endswith("Dear friends,\nLunch on Friday at noon.\nSee you!\n")


def test_new_overwrites_nothing(program: Program) -> None:
    (program.folder / "there").mkdir()
    program("new", "there")
    _, err = program("new", "there", code=2)
    assert "not empty" in err
    (program.folder / "file").write_text("")
    assert "is a file" in program("new", "file", code=2)[1]


def test_a_killed_run_goes_on_after_its_last_step_by_its_id_alone(program: Program) -> None:
    (program.folder / "steps.py").write_text(STEPS)
    with program.start("run", "--graph", "steps.py", "--input", '{"topic": "four"}', "--thread", "t") as process:
        wait_for(program, "second")
        process.kill()
    (program.folder / "go").touch()
    elsewhere = program.within("elsewhere")
    out, _ = elsewhere("threads", "show", "t")
    assert "stopped" in out
    assert "resume t" in out
    (program.folder / "elsewhere" / "go").touch()
    out, _ = elsewhere("resume", "t")
    assert json.loads(out) == {"topic": "four", "size": 5, "plan": "any words"}
    assert program.log() == ["first", "second"]
    assert elsewhere.log() == ["second"]


def test_events_of_a_run_are_json_and_its_own_checkpointer_is_named(program: Program) -> None:
    (program.folder / "steps.py").write_text(STEPS)
    (program.folder / "go").touch()
    (program.folder / "given.json").write_text('{"topic": "four"}')
    out, err = program("run", "--graph", "steps.py:graph", "--input", "@given.json", "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert [(event["type"], event.get("node")) for event in events] == [
        ("node_started", "first"),
        ("node_finished", "first"),
        ("node_started", "second"),
        ("node_finished", "second"),
        ("run_finished", None),
    ]
    assert events[-1]["output"] == {"topic": "four", "size": 5, "plan": "any words"}
    assert events[-1]["status"] == "completed"
    assert "InMemorySaver is not used" in err


def test_a_node_that_fails_is_named_with_its_line_and_runs_again(program: Program) -> None:
    (program.folder / "steps.py").write_text(STEPS)
    (program.folder / "go").touch()
    (program.folder / "fail").touch()
    given = ("run", "--graph", "steps.py", "--input", '{"topic": "four"}', "--thread", "t")
    _, err = program(*given, code=1)
    assert "The node 'second' failed: ValueError: no luck (steps.py, line 25)." in err
    assert "resume t" in err
    _, err = program(*given, code=2)
    assert "has not ended" in err
    (program.folder / "fail").unlink()
    program("resume", "t")
    assert program.log() == ["first", "second", "second"]


def test_what_does_not_fit_is_said_before_anything_is_written(program: Program) -> None:
    (program.folder / "steps.py").write_text(STEPS)
    _, err = program("run", "--graph", "steps.py", "four", code=2)
    assert "'topic' (string), 'size' (integer), 'plan' (string)" in err
    assert "--input" in err
    _, err = program("run", "--graph", "steps.py", "--input", "{", code=2)
    assert "no JSON" in err
    _, err = program("run", "--graph", "steps.py:graf", "four", code=2)
    assert "Did you mean" in err
    _, err = program("run", "--graph", "nothing", "four", code=2)
    assert "no langgraph.json" in err
    assert "No threads yet" in program("threads", "list")[0]


AGENT = '''
from openmanus_graph.graphs.manus import build_manus_graph

def graph():
    """The agent, in other words."""
    return build_manus_graph(instructions="Answer in verse.", tools=["ask_human"])
'''


def test_an_agent_that_a_user_built_runs_and_goes_on(program: Program) -> None:
    (program.folder / "agent.py").write_text(AGENT)
    ask = {"id": "ask", "goal": "ask", "tool": "ask_human", "args": {"inquire": "For whom?"}}
    with ScriptedServer([wants_plan(), plans(ask), Reply("It is for Ada.")]) as provider:
        model = {"LLM_MODEL": "openai/scripted", "LLM_BASE_URL": provider.base_url, "LLM_API_KEY": "sk-scripted"}
        program.environment |= model
        program("run", "--graph", "agent.py", "write a line", "--thread", "t", code=3)
        out, _ = program("resume", "t", "--answer", "Ada")
        assert out == "It is for Ada.\n"
        assert "Answer in verse." in str(provider.requests[0].messages)

"""Commands: what a person at the shell is told when a graph or a tool has changed, and when the database is newer."""

from __future__ import annotations

import json

import psycopg
import pytest

from openmanus_graph import open_checkpointer
from openmanus_graph.errors import MigrationNeededError
from tests.cli.conftest import Program

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def no_bytecode(program: Program) -> None:
    """Have files read anew that change twice within a second and keep their size."""
    program.environment["PYTHONDONTWRITEBYTECODE"] = "1"


GRAPH = """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

class State(TypedDict, total=False):
    task: str
    answer: str

graph = StateGraph(State)
graph.add_node("first", lambda state: {})
graph.add_node("ask", lambda state: {"answer": f"so {interrupt('go on?')}"})
graph.add_edge(START, "first")
graph.add_edge("first", "ask")
graph.add_edge("ask", END)
"""

TOOLS = '''
from langchain_core.tools import tool

@tool
def mail(to: str, text: str) -> str:
    """Send."""
    return f"to {to}: {text}"

@tool
def unused() -> str:
    """Nothing."""
    return ""
'''


def test_a_graph_whose_next_node_is_gone_is_refused_or_forced(program: Program) -> None:
    file = program.folder / "mine.py"
    file.write_text(GRAPH)
    program("run", "--graph", "mine.py", "x", "--thread", "t", code=3)
    file.write_text(GRAPH.replace('"ask"', '"inquire"'))
    for command in (["resume", "t"], ["resume", "t", "--answer", "yes"]):
        _, err = program(*command, code=2)
        assert "cannot go on with the graph as it is now: the node 'ask' is gone" in err
        assert "resume t --force" in err
    assert json.loads(program("threads", "show", "t", "--json")[0])["status"] == "waiting"
    _, err = program("resume", "t", "--force")
    assert "note: The thread goes on although its graph no longer fits: the node 'ask' is gone" in err
    file.write_text(GRAPH)
    program("run", "--graph", "mine.py", "x", "--thread", "u", code=3)
    file.write_text(GRAPH.replace('"first"', '"begin"'))
    out, err = program("resume", "u", "--answer", "yes")
    assert out == "so yes\n"
    assert "note: The graph has changed since the thread last ran, which it can bear: the node 'first' is gone" in err


def test_a_tool_that_is_gone_matters_only_to_those_who_use_it(program: Program) -> None:
    file = program.folder / "tools.py"
    file.write_text(TOOLS)
    plan = program.plan(
        {"id": "color", "tool": "ask_human", "args": {"inquire": "Which color?"}},
        {"id": "send", "tool": "mail", "args": {"to": "ada", "text": "${color.answer}"}},
    )
    for name in ("t", "u"):
        program("run", "--plan", plan, "--tools", "tools.py", "--thread", name, code=3)
    file.write_text(TOOLS.replace("def unused", "def other"))
    out, err = program("resume", "t", "--answer", "blue")
    assert out == "to ada: blue\n"
    assert "the tool 'unused' is gone" in err
    file.write_text(TOOLS.replace(", text: str", ', body: str = ""').replace("{text}", "{body}"))
    _, err = program("resume", "u", "--answer", "blue", code=2)
    assert "the tool 'mail' has lost its argument 'text', which the subtask 'send' gives" in err
    file.write_text(TOOLS.replace("def mail", "def post"))
    _, err = program("resume", "u", "--answer", "blue", code=2)
    assert "the tool 'mail' is gone, and the subtask 'send' uses it" in err
    edited = program.plan(
        {"id": "color", "tool": "ask_human", "args": {"inquire": "Which color?"}},
        {"id": "send", "tool": "mail", "args": {"to": "ada", "text": "${color.answer}"}, "retries": 1},
    )
    file.write_text(TOOLS)
    assert program("resume", "u", "--plan", edited, "--answer", "blue")[0] == "to ada: blue\n"


@pytest.mark.parametrize("table", ["migrations (version)", "checkpoint_migrations (v)"])
async def test_a_database_of_a_newer_program_is_refused(database: str, program: Program, table: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"INSERT INTO openmanus_graph.{table} VALUES (900)")  # type: ignore[arg-type]
    for automatic in (True, False):
        with pytest.raises(MigrationNeededError, match="newer than this program"):
            async with open_checkpointer(database, migrate_tables=automatic):
                pass
    for command in (["resume", "t"], ["db", "migrate"]) if "checkpoint" not in table else ():
        _, err = program(*command, code=1)
        assert "900" in err
        assert "Upgrade the program" in err

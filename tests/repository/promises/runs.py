"""Runs: a plan, the agent and a graph of one's own, run by the command line as users run them, on one database."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from tests.repository.promises.program import NAME, PACKAGE
from tests.repository.promises.shape import keys, shape

PLAN, AGENT, OWN, FORK, FAILED = "promised-plan", "promised-agent", "promised-own", "promised-fork", "promised-failure"
KINDS = {PLAN: "plan", AGENT: "agent", OWN: "own graph"}
"""The threads whose rows are looked at closely."""
ARCHIVE, RECORDING = "plan.thread", "recorded.jsonl"
READING = {
    "threads list": "threads list --json",
    "threads show": f"threads show {PLAN} --json",
    "threads history": f"threads history {PLAN} --json",
    "threads events": f"threads events {PLAN} --json",
    "threads effects": f"threads effects {PLAN} --json",
    "threads size": f"threads size {PLAN} --json",
    "tools show": "tools show ask_human --json",
    "plan check": "plan check failing.yaml --json",
}
"""Commands whose output programs read."""

TOOLS = '''
"""Tools of the promised plan."""

from langchain_core.tools import tool


@tool
def promised_text(word: str) -> str:
    """Say a word many times."""
    return " ".join([word] * 100)


@tool
def promised_letter(text: str) -> str:
    """Send a letter."""
    return f"sent: {text}"


promised_text.metadata = {"effect": "read"}
promised_letter.metadata = {"effect": "external"}
'''

GRAPH = '''
"""A graph of one's own that asks."""

from typing import TypedDict

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class Letter(TypedDict, total=False):
    task: str
    answer: str


def draft(state: Letter) -> Letter:
    get_stream_writer()("drafted")
    return {"answer": state["task"].upper()}


def review(state: Letter) -> Letter:
    return {"answer": f"{state['answer']} {interrupt({'question': 'Is it right?'})}"}


graph = StateGraph(Letter).add_node(draft).add_node(review)
graph.add_edge(START, "draft").add_edge("draft", "review").add_edge("review", END)
'''

SUBTASKS: list[dict[str, Any]] = [
    {"id": "make", "tool": "str_replace_editor", "args": {"command": "create", "path": "a.txt", "file_text": "one\n"}},
    {
        "id": "change",
        "tool": "str_replace_editor",
        "needs": ["make"],
        "args": {"command": "str_replace", "path": "a.txt", "old_str": "one", "new_str": "two"},
    },
    {"id": "steps", "tool": "planning", "args": {"command": "create", "title": "Steps", "steps": ["first"]}},
    {"id": "long", "tool": "promised_text", "args": {"word": "word"}},
    {"id": "ask", "tool": "ask_human", "args": {"inquire": "Which one?"}},
    {"id": "send", "tool": "promised_letter", "args": {"text": "${ask.answer}"}, "approval": True},
]

REPLIES: dict[str, Any] = {
    "coordinator/-/1": {"tool_calls": [{"name": "ask", "args": {"question": "Which file?"}}]},
    "coordinator/-/2": {"tool_calls": [{"name": "plan", "args": {"why": "It must be written."}}]},
    "planner/-/1": {
        "tool_calls": [
            {
                "name": "submit_plan",
                "args": {
                    "goal": "b.txt",
                    "subtasks": [
                        {"id": "write", "goal": "Write b.txt", "agent": "executor", "done_when": "b.txt says b"}
                    ],
                },
            }
        ]
    },
    "executor/write/1": {
        "tool_calls": [{"name": "str_replace_editor", "args": {"command": "create", "path": "b.txt", "file_text": "b"}}]
    },
    "executor/write/2": {"tool_calls": [{"name": "terminate", "args": {"status": "success", "answer": "Written."}}]},
    "verifier/write/1": {"tool_calls": [{"name": "verdict", "args": {"verified": True, "why": "It says b."}}]},
    "reporter/-/1": "b.txt is written.",
}


def run_everything(url: str, folder: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Run it all in a folder; the exit codes by command, and the keys of what others print as JSON.

    Args:
        url: A database with our tables.
        folder: An empty folder.
    """
    from langchain_core.language_models import FakeListChatModel

    from openmanus_graph.testing import record_model, write_recording

    plan = {"goal": "Promises", "subtasks": SUBTASKS}
    failing = {"subtasks": [{"id": "no", "tool": "list_files", "args": {"pattern": "*", "path": "nowhere"}}]}
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    (folder / "failing.yaml").write_text(yaml.safe_dump(failing))
    (folder / "promised_tools.py").write_text(TOOLS)
    (folder / "promised_graph.py").write_text(GRAPH)
    write_recording(folder / "agent.jsonl", REPLIES)
    record_model(FakeListChatModel(responses=["Fine."]), folder / RECORDING, role="chat").invoke("How are you?")
    # One at a time: of steps at the same time, each may be the one that a change of a file is noticed after.
    said = "--budget-calls 9 --budget-tokens 99999 --budget-time 5m --budget-usd 9 --review never"
    commands = {
        "plan that asks": f"run --plan plan.yaml --tools promised_tools.py --max-parallel 1 {said} --thread {PLAN}",
        "plan that asks again": f"resume {PLAN} --answer this",
        "plan answered": f"resume {PLAN} --answer send=yes",
        "plan that fails": f"run --plan failing.yaml --thread {FAILED}",
        "agent that asks": f"run task --model replay:agent.jsonl --record kept.jsonl --thread {AGENT}",
        "agent answered": f"resume {AGENT} --answer b.txt",
        "own graph that asks": f"run --graph promised_graph.py:graph hello --thread {OWN}",
        "own graph answered": f"resume {OWN} --answer yes",
        "fork": f"threads rerun {PLAN} --as {FORK}",
        "export": f"threads export {PLAN} {ARCHIVE}",
        "unknown thread": "threads show nothing",
        "unknown option": "threads show --nothing",
    }
    with _surroundings(url, folder):
        codes = {name: _call(words)[0] for name, words in commands.items()}
        return codes, {name: _printed(_call(words)[1]) for name, words in READING.items()}


def _printed(said: str) -> Any:
    """The keys of a command's JSON; of one line an event, those of all."""
    try:
        return shape(json.loads(said))
    except ValueError:
        return keys(key for line in said.splitlines() for key in json.loads(line))


def _call(words: str) -> tuple[int, str]:
    """Run the command line in this process: its exit code, and its standard output."""
    said, beside = io.StringIO(), io.StringIO()
    sys.argv = [NAME, *words.split()]
    code: Any = 0
    with redirect_stdout(said), redirect_stderr(beside):
        try:
            import_module(f"{PACKAGE}.cli").main()
        except SystemExit as done:
            code = done.code
    sys.stderr.write(f"$ {NAME} {words}\n{said.getvalue()}{beside.getvalue()}")  # what a failing test shows
    return int(code or 0), said.getvalue()


@contextmanager
def _surroundings(url: str, folder: Path) -> Generator[None]:
    """The folder, the database and no setting of whoever runs this; all as it was afterwards."""
    environment, arguments, path, modules = dict(os.environ), sys.argv, list(sys.path), set(sys.modules)
    here, pool = Path.cwd(), logging.getLogger("psycopg.pool")
    level = pool.level
    for name in list(os.environ):
        if name.startswith(("OPENMANUS_GRAPH_", "LLM_", "DATABASE_URL")):
            del os.environ[name]
    os.environ |= {"DATABASE_URL": url, "OPENMANUS_GRAPH_HOME": str(folder / "home")}
    os.environ["OPENMANUS_GRAPH_INLINE_OUTPUT"] = "200"
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ |= environment
        sys.argv, sys.path[:] = arguments, path
        pool.setLevel(level)
        for name in set(sys.modules) - modules:
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
                del sys.modules[name]

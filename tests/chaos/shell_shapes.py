"""Runs by the command line that are killed: a graph of one's own, and the agent with a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openmanus_graph.testing import Reply, ToolUse
from tests.agent.replies import plans

GRAPH = '''
"""Branches that join, sends, a question and a last node; each node notes that it ran."""
import operator
from pathlib import Path
from typing import Annotated, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt


class State(TypedDict, total=False):
    task: str
    found: Annotated[list, operator.add]
    colour: str
    answer: str


def ran(name):
    with Path("ran.log").open("a") as log:
        log.write(name + "\\n")


def left(state):
    ran("left")
    return {"found": ["left"]}


def right(state):
    ran("right")
    return {"found": ["right"]}


def join(state):
    ran("join")
    return {"found": ["join"]}


def spread(state):
    return [Send("work", {"task": name}) for name in ("a", "b")]


def work(state):
    ran("work")
    return {"found": [state["task"]]}


def question(state):
    colour = interrupt("Which colour?")
    ran("question")
    return {"colour": colour}


def last(state):
    ran("last")
    return {"answer": " ".join([*sorted(state["found"]), state["colour"]])}


builder = StateGraph(State)
for node in (left, right, join, work, question, last):
    builder.add_node(node.__name__, node)
builder.add_edge(START, "left")
builder.add_edge(START, "right")
builder.add_edge(["left", "right"], "join")
builder.add_conditional_edges("join", spread, ["work"])
builder.add_edge("work", "question")
builder.add_edge("question", "last")
builder.add_edge("last", END)
graph = builder.compile()
'''
WRITES = {"id": "write", "goal": "write it", "tool": "bash", "args": {"command": "echo 42 > n.txt; cat n.txt"}}
READS = {"id": "read", "goal": "read it", "tool": "bash", "args": {"command": "cat n.txt"}, "needs": ["write"]}
FAILS = {"id": "read", "goal": "read it", "tool": "bash", "args": {"command": "cat m.txt"}, "needs": ["write"]}


def _greeting(_: Mapping[str, Any]) -> Reply:
    return Reply("Hello to you.")


def _asking(body: Mapping[str, Any]) -> Reply:
    if "Which city?" in json.dumps(body["messages"]):
        return Reply("It rains in Rome.")
    return Reply(tool_calls=[ToolUse("ask", {"question": "Which city?"})])


def _planning(body: Mapping[str, Any]) -> Reply:
    seen = body["messages"][-1]["role"] == "tool"
    return Reply("It is written: 42.") if seen else plans(WRITES, READS)


def _replanning(body: Mapping[str, Any]) -> Reply:
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    if not results:
        return plans(WRITES, FAILS)
    return plans(READS) if "(failed)" in results[-1] else Reply("It is written: 42.")


@dataclass(frozen=True)
class ShellShape:
    """One of the runs."""

    command: tuple[str, ...]
    """What is typed, without the thread."""
    answers: tuple[str, ...] = ()
    """Answers to its questions, in order."""
    script: Callable[[Mapping[str, Any]], Reply] = _greeting
    """What the model says, from the request alone: the same place always gets the same reply."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Files in its folder."""


SHELL_SHAPES = {
    "own": ShellShape(("run", "--graph", "graph.py", "--input", '{"task": "x"}'), ("blue",), files={"graph.py": GRAPH}),
    "greeting": ShellShape(("run", "hello")),
    "question": ShellShape(("run", "how is the weather?"), ("Rome",), _asking),
    "plan": ShellShape(("run", "write 42 to a file", "--policy", "allow"), (), _planning),
    "replan": ShellShape(("run", "write 42 to a file, and check", "--policy", "allow"), (), _replanning),
}

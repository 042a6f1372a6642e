"""Plug-ins: what an installed distribution brings is found, and what is broken in it stops nothing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langgraph.graph import START, MessagesState, StateGraph

from openmanus_graph import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.loading.plugins import Agent, agent_of, find_agents, find_tools
from openmanus_graph.tools.rebuild import available_tools, rebuild_tools, tool_references
from tests.distributions import install as install_code

CODE = '''
from typing import TypedDict
from langchain_core.tools import BaseToolkit, StructuredTool, tool
from langgraph.graph import START, StateGraph
from openmanus_graph.loading.plugins import Agent

class State(TypedDict):
    task: str

def build():
    """Answers in capitals.

    And more.
    """
    builder = StateGraph(State)
    builder.add_node("shout", lambda state: {"task": state["task"].upper()})
    builder.add_edge(START, "shout")
    return builder

graph = build().compile()
described = Agent("ignored", "Shouts politely.", graph)

@tool
def shout(text: str) -> str:
    """Say it in capitals."""
    return text.upper()

@tool
def whisper(text: str) -> str:
    """Say it in small letters."""
    return text.lower()

def tools():
    return [shout, whisper]

mixed = [shout, 7]

class Kit(BaseToolkit):
    def get_tools(self):
        return [StructuredTool.from_function(lambda text: text, name="growl", description="Growls.")]

def breaks():
    raise RuntimeError("the licence\\nis missing")

async def later():
    return graph
'''


def install(folder: Path, module: str, points: str) -> None:
    install_code(folder, module, points, CODE)


@pytest.mark.usefixtures("site")
def test_agents_and_tools_of_a_distribution_are_found(tmp_path: Path) -> None:
    points = """
[openmanus_graph.agents]
compiled = shouting_a:graph
built = shouting_a:build
polite = shouting_a:described
[openmanus_graph.tools]
one = shouting_a:shout
"""
    install(tmp_path, "shouting_a", points)
    agents = find_agents()
    assert {name: agent.name for name, agent in agents.items()} == {name: name for name in agents}
    assert agents["built"].description == "Answers in capitals."
    assert agents["polite"].description == "Shouts politely."
    assert agents["compiled"].description == "A graph that does, in steps: shout."
    assert agents["built"].graph.invoke({"task": "hello"}) == {"task": "HELLO"}
    assert list(find_tools()) == ["shout"]
    tools = available_tools([], Settings.load())
    assert isinstance(tools["shout"], BaseTool)
    assert "bash" in tools
    assert tool_references([tools["shout"]]) == [{"name": "shout", "plugin": True}]
    assert [tool.name for tool in rebuild_tools(tool_references([tools["shout"]]), "t")] == ["shout"]


@pytest.mark.usefixtures("site")
def test_a_broken_one_is_left_out_with_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    points = """
[openmanus_graph.agents]
gone = not_there_at_all:graph
raises = shouting_b:breaks
async = shouting_b:later
tool = shouting_b:shout
bad name = shouting_b:graph
works = shouting_b:graph
[openmanus_graph.tools]
all = shouting_b:tools
again = shouting_b:whisper
class = shouting_b:State
mixed = shouting_b:mixed
kit = shouting_b:Kit
"""
    install(tmp_path, "shouting_b", points)
    with caplog.at_level(logging.WARNING):
        assert list(find_agents()) == ["works"]
        assert sorted(find_tools()) in (["growl", "shout", "whisper"], ["growl", "whisper"])
        find_agents()
    said = caplog.messages
    assert len(said) == 8
    assert any("'mixed' of shouting_b 1.2 is left out: it is no LangChain tool but a int" in line for line in said)
    assert all("\n" not in line and "plug-in" in line for line in said)
    assert any(
        line == "The agent plug-in 'raises' of shouting_b 1.2 is left out: RuntimeError: the licence is missing"
        for line in said
    )


def test_the_warning_is_one_line_on_stderr_and_the_command_goes_on(tmp_path: Path, site: Path) -> None:
    install(tmp_path, "shouting_c", "[openmanus_graph.tools]\nbroken = shouting_c:breaks\nfine = shouting_c:whisper\n")
    environment = {**os.environ, "PYTHONPATH": str(site), "OPENMANUS_GRAPH_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "openmanus_graph", "tools", "list"]
    done = subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "whisper" in done.stdout
    assert done.stderr == (
        "The tool plug-in 'broken' of shouting_c 1.2 is left out: RuntimeError: the licence is missing\n"
    )


def graph() -> StateGraph[Any, Any, Any, Any]:
    def reply(state: MessagesState) -> dict[str, Any]:
        return {"messages": state["messages"][:0]}

    builder = StateGraph(MessagesState)
    builder.add_node("reply", reply)
    builder.add_edge(START, "reply")
    return builder


def test_an_agent_says_what_it_is_good_at() -> None:
    compiled: Any = graph().compile()
    assert agent_of("a", compiled).description == "A graph that does, in steps: reply."
    compiled.description = "Replies.\n\nMore."
    assert agent_of("a", compiled).description == "Replies."
    assert agent_of("a", compiled, "Something else.").description == "Something else."
    assert agent_of("b", Agent("a", "Known.", compiled)) == Agent("b", "Known.", compiled)


@pytest.mark.parametrize(("name", "given"), [("two words", graph()), ("", graph()), ("a", 7), ("a", graph)])
def test_what_is_no_agent_is_refused(name: str, given: Any) -> None:
    with pytest.raises(SettingsError):
        agent_of(name, given)

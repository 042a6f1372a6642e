"""Servers of settings, and what runs a plan with their tools."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import ScriptedServer
from openmanus_graph.tools.rebuild import available_tools

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def odd(kind: str, **more: Any) -> McpServerSettings:
    """A server that speaks the protocol by hand, so that it starts at once."""
    fields = {"command": sys.executable, "args": [str(HERE / "odd_server.py"), kind], "start_timeout_s": 60, **more}
    return McpServerSettings.model_validate(fields)


def demo(**more: Any) -> McpServerSettings:
    return odd("plain", **more)


def of_the_sdk(**more: Any) -> McpServerSettings:
    """A server by the SDK."""
    return demo(args=[str(HERE / "demo_server.py")], **more)


def rough(log: Path, **more: Any) -> McpServerSettings:
    """A server whose tools flood, lie, ask, and change its list."""
    env = {"DEMO_LOG": str(log), "PYTHONPATH": str(ROOT), **more.pop("env", {})}
    return demo(args=["-m", "tests.mcp.rough_server"], env=env, **more)


COMMAND = [sys.executable, "-m", "openmanus_graph", "mcp", "serve"]

WORK: dict[str, Any] = {"subtasks": [{"id": "a", "tool": "bash", "args": {"command": "echo hello"}}]}
SLOW: dict[str, Any] = {"subtasks": [{"id": "a", "tool": "bash", "args": {"command": "touch begun; sleep 600"}}]}
ASKS: dict[str, Any] = {"subtasks": [{"id": "name", "tool": "ask_human", "args": {"inquire": "Your name?"}}]}
OWN = '''
from typing import TypedDict
from langgraph.graph import START, StateGraph

class State(TypedDict):
    number: int

print("a line on standard output")

def double(state: State) -> State:
    """Double it."""
    print("another")
    return {"number": 2 * state["number"]}

graph = StateGraph(State).add_node(double).add_edge(START, "double")
'''


class HttpServer:
    """The server by the SDK over HTTP, at one port."""

    def __init__(self, kind: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._command = [sys.executable, str(HERE / "demo_server.py"), str(self._port), kind]
        self._environment = {**os.environ, "DEMO_LOG": str(log)}
        place = {"streamable-http": "mcp", "sse": "sse"}[kind]
        fields = {"url": f"http://127.0.0.1:{self._port}/{place}", "type": kind, "start_timeout_s": 60}
        self.settings = McpServerSettings.model_validate(fields)

    def __enter__(self) -> HttpServer:
        self._start()
        return self

    def _start(self) -> None:
        self._program = subprocess.Popen(self._command, stderr=subprocess.DEVNULL, env=self._environment)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def restart(self) -> None:
        """Kill it and start it anew."""
        self._program.kill()
        self._program.wait()
        self._start()

    def __exit__(self, *_: object) -> None:
        self._program.kill()
        self._program.wait()


def call(name: str, tool: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": f"mcp_demo_{tool}", "args": args}


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**servers: McpServerSettings) -> Settings:
        return Settings.load(home=tmp_path / "home", mcp_servers=servers)

    return make


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


Run = Callable[..., Any]
BuildPlan = Callable[..., Any]
BuildAgent = Callable[..., Any]


@pytest.fixture
def build(settings: Callable[..., Settings], saver: ThreadSaver) -> BuildPlan:
    """Builds the graph of plans with the tools of a server called `demo`."""

    async def make(server: McpServerSettings, **options: Any) -> DurableGraph:
        chosen = settings(demo=server)
        tools = await asyncio.to_thread(lambda: list(available_tools((), chosen).values()))
        return build_plan_graph(tools, settings=chosen, **options).compile(checkpointer=saver)

    return make


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    """A scripted provider that each test fills with replies."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def build_agent(provider: ScriptedServer, saver: ThreadSaver, tmp_path: Path) -> BuildAgent:
    """Builds the agent on the provider, with the tools of a server called `demo`."""

    async def make(server: McpServerSettings, **options: Any) -> DurableGraph:
        chosen = Settings.load(
            home=tmp_path / "home",
            mcp_servers={"demo": server},
            llm_model="openai/scripted",
            llm_base_url=provider.base_url,
            llm_api_key="sk-scripted",
        )
        tools = await asyncio.to_thread(lambda: list(available_tools((), chosen).values()))
        return build_manus_graph(tools=tools, settings=chosen, **options).compile(checkpointer=saver)

    return make


@pytest.fixture
def run(build: BuildPlan, tmp_path: Path) -> Run:
    """Runs a plan with the tools of a server called `demo`; the results."""

    async def execute(server: McpServerSettings, *subtasks: dict[str, Any], thread: str = "t") -> Any:
        graph = await build(server)
        config: Any = {"configurable": {"thread_id": thread, "workspace": str(tmp_path / "work")}}
        given = None if not subtasks else {"plan": {"subtasks": list(subtasks)}}
        return (await graph.ainvoke(given, config))["results"]

    return execute


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    home = tmp_path / "home"
    (tmp_path / "own.py").write_text(OWN)
    graphs = {"double": {"path": "./own.py:graph", "description": "Double a number."}}
    (tmp_path / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    return {**kept, "DATABASE_URL": database, "OPENMANUS_GRAPH_HOME": str(home)}

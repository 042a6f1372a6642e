"""Public servers: those of PyPI and npm that many use, in plans, as `make mcp-servers` gets them."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.questions import answers_for
from openmanus_graph.tools.mcp.server_tools import listings_of
from openmanus_graph.tools.rebuild import available_tools
from tests.conftest import Require
from tests.mcp.conftest import ROOT

pytestmark = pytest.mark.public

HOME = ROOT / ".make" / "mcp-servers"
NPM = HOME / "node_modules" / "@modelcontextprotocol"
EVERYTHING = str(NPM / "server-everything" / "dist" / "index.js")

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def has_servers(require: Require) -> None:
    require((HOME / "complete").exists(), "The public MCP servers are not here", "make mcp-servers")


def of_python(module: str, *args: str) -> McpServerSettings:
    env = {"PYTHONPATH": str(HOME / "python")}
    return _server(command=sys.executable, args=["-m", module, *args], env=env)


def of_npm(name: str, *args: str) -> McpServerSettings:
    return _server(command="node", args=[str(NPM / name / "dist" / "index.js"), *args])


def _server(**fields: Any) -> McpServerSettings:
    return McpServerSettings.model_validate({**fields, "trust_annotations": True, "start_timeout_s": 120})


@pytest.fixture
def run(saver: ThreadSaver, tmp_path: Path) -> Run:
    """Runs calls `(tool, args)` of a server called `s` one after another; their results, and the progress told."""

    async def execute(server: McpServerSettings, *calls: tuple[str, dict[str, Any]], answers: Any = ()) -> Any:
        settings = Settings.load(home=tmp_path / "home", mcp_servers={"s": server})
        listed = await listings_of(settings)
        assert getattr(listed["s"], "problems", listed["s"]) == []
        tools = await asyncio.to_thread(lambda: list(available_tools((), settings).values()))
        subtasks = [
            {"id": f"c{place}", "tool": f"mcp_s_{tool}", "args": args, "needs": [f"c{place - 1}"] if place else []}
            for place, (tool, args) in enumerate(calls)
        ]
        graph = build_plan_graph(tools, settings=settings, policy="allow").compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "work")}}
        given: Any = {"plan": {"subtasks": subtasks}}
        told: list[str] = []
        for answer in (None, *answers):
            given = given if answer is None else Command(resume=answers_for(await graph.questions("t"), [answer]))
            async for event in graph.astream(given, config, stream_mode="custom"):
                told += [str(event.get("text"))] if isinstance(event, dict) else []
        assert await graph.questions("t") == []
        return (await graph.aget_state(config)).values["results"], told

    return execute


async def test_time(run: Run) -> None:
    results, _ = await run(
        of_python("mcp_server_time"),
        ("get_current_time", {"timezone": "Europe/Berlin"}),
        ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
        ("get_current_time", {"timezone": "Nowhere/None"}),
    )
    assert results["c0"]["output"]["timezone"] == "Europe/Berlin"
    assert results["c1"]["output"]["time_difference"] == "+9.0h"
    assert results["c2"]["status"] == "failed"
    assert "Nowhere/None" in results["c2"]["error"]


async def test_git(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    for command in (["init", "-q", "-b", "main", str(folder)], ["-C", str(folder), "config", "user.name", "A"]):
        subprocess.run(["git", *command], check=True)
    subprocess.run(["git", "-C", str(folder), "config", "user.email", "a@example.com"], check=True)
    (folder / "a.txt").write_text("one\n")
    place = {"repo_path": str(folder)}
    results, _ = await run(
        of_python("mcp_server_git", "--repository", str(folder)),
        ("git_add", {**place, "files": ["a.txt"]}),
        ("git_commit", {**place, "message": "Add a"}),
        ("git_status", place),
    )
    assert [one["status"] for one in results.values()] == ["completed"] * 3
    assert "nothing to commit" in results["c2"]["output"]["text"]
    subject = subprocess.run(
        ["git", "-C", str(folder), "log", "--format=%s"], check=True, capture_output=True, text=True
    )
    assert subject.stdout == "Add a\n"


async def test_fetch_keeps_to_public_addresses(run: Run) -> None:
    results, _ = await run(of_python("mcp_server_fetch"), ("fetch", {"url": "http://127.0.0.1:9/"}))
    assert results["c0"]["status"] == "failed"
    assert "not a public address" in results["c0"]["error"]


async def test_files(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    file = str(folder / "a.txt")
    results, _ = await run(
        of_npm("server-filesystem", str(folder)),
        ("write_file", {"path": file, "content": "grüße\n"}),
        ("read_text_file", {"path": file}),
        ("list_directory", {"path": str(folder)}),
        ("read_text_file", {"path": "/etc/passwd"}),
    )
    assert results["c1"]["output"] == {"content": "grüße\n"}
    assert results["c2"]["output"] == {"content": "[FILE] a.txt"}
    assert "Access denied" in results["c3"]["error"]


@pytest.fixture(params=["stdio", "streamableHttp", "sse"])
def everything(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[McpServerSettings]:
    """The server that has everything, by each transport."""
    if request.param == "stdio":
        yield _server(command="node", args=[EVERYTHING])
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (tmp_path / "server.log").open("w") as log:
        program = subprocess.Popen(
            ["node", EVERYTHING, request.param],
            stdout=log,
            stderr=log,
            env={"PORT": str(port), "PATH": os.environ["PATH"]},
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert program.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        kind = {"streamableHttp": "http", "sse": "sse"}[request.param]
        yield _server(url=f"http://127.0.0.1:{port}/{'mcp' if kind == 'http' else 'sse'}", type=kind)
    finally:
        program.kill()
        program.wait()


async def test_everything(run: Run, everything: McpServerSettings, tmp_path: Path) -> None:
    form = '{"name": "Ada", "check": true}'
    results, told = await run(
        everything,
        ("echo", {"message": "héllo"}),
        ("get-structured-content", {"location": "Chicago"}),
        ("get-tiny-image", {}),
        ("trigger-long-running-operation", {"duration": 1, "steps": 2}),
        ("trigger-elicitation-request", {}),
        answers=["Ada", form],
    )
    assert "héllo" in results["c0"]["output"]["text"]
    assert "temperature" in results["c1"]["output"]
    (picture,) = results["c2"]["output"]["files"]
    assert (tmp_path / "work" / picture).read_bytes().startswith(b"\x89PNG")
    assert any("2 of 2" in text for text in told)
    assert "Ada" in results["c4"]["output"]["text"]

"""Faults: servers that are killed, flood or lie, and runs that are killed while a server works."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import PlanError
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.sandbox.tree import tree_below
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.mcp.server_tools import mcp_tools
from openmanus_graph.tools.rebuild import available_tools
from tests.agent.replies import calls, done, plans, thread, wants_plan
from tests.cli.conftest import MakeProgram, Program, program, program_in  # noqa: F401 - fixtures
from tests.mcp.conftest import ROOT, Run, call, rough
from tests.mcp.endless_server import endless_server

PATIENCE_S = 60


async def test_a_server_that_is_killed_between_two_calls_costs_none(tmp_path: Path, log: Path) -> None:
    settings = Settings.load(home=tmp_path / "home", mcp_servers={"demo": rough(log)})
    tools, _ = await asyncio.to_thread(mcp_tools, settings)
    context = ToolContext("t", "s", tmp_path, settings, call_id="c")
    with using_tool_context(context):
        pid = (await tools["mcp_demo_pid"].ainvoke({}))["pid"]
        os.kill(pid, signal.SIGKILL)
        await _until(lambda: pid not in {one.pid for one in tree_below(os.getpid())} and not _launchers())
        assert await tools["mcp_demo_note"].ainvoke({"text": "once"}) == {"done": "note"}
        assert (await tools["mcp_demo_pid"].ainvoke({}))["pid"] != pid
    await context.sessions.aclose()
    await context.thread_sessions.aclose()
    assert log.read_text() == "once\n"
    assert not _launchers()


def _launchers() -> list[int]:
    return [one.pid for one in tree_below(os.getpid()) if b"rough_server" in _command(one.pid)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def _until(met: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not met():
            await asyncio.sleep(0.02)


async def test_a_flood_of_notices_costs_time_only(run: Run, log: Path) -> None:
    results = await run(rough(log), call("a", "flood_notices"))
    assert results["a"]["output"] == {"done": "flood_notices"}


async def test_a_message_without_end_costs_the_call_and_its_server(run: Run, log: Path, tmp_path: Path) -> None:
    results = await run(rough(log), call("a", "flood_bytes"))
    assert "It wrote a line of more than" in results["a"]["error"]
    assert "What the call did is unknown, so it is not repeated." in results["a"]["error"]

    settings = Settings.load(home=tmp_path / "home", mcp_servers={"demo": rough(log)})
    tools, _ = await asyncio.to_thread(mcp_tools, settings)
    context = ToolContext("t", "s", tmp_path, settings, call_id="c")
    with using_tool_context(context):
        with pytest.raises(ConnectionError, match="It wrote a line of more than"):
            await tools["mcp_demo_flood_bytes"].ainvoke({})
        assert await tools["mcp_demo_note"].ainvoke({"text": "after"}) == {"done": "note"}
    await context.sessions.aclose()
    await context.thread_sessions.aclose()


async def test_an_answer_without_end_over_http_costs_the_call(run: Run) -> None:
    with endless_server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/mcp"
        results = await run(McpServerSettings(url=url, start_timeout_s=60), call("a", "talk"))
        server.shutdown()
    assert results["a"]["status"] == "failed"
    assert "What the call did is unknown, so it is not repeated." in results["a"]["error"]


@pytest.mark.parametrize(
    ("tool", "why"),
    [("wrong_id", "did not answer within 1 s"), ("list_result", "answered with what is no answer")],
)
async def test_an_answer_that_is_none_leaves_the_call_open(run: Run, log: Path, tool: str, why: str) -> None:
    results = await run(rough(log, timeout_s=1.0 if tool == "wrong_id" else 120.0), call("a", tool))
    assert why in results["a"]["error"]
    assert "What the call did is unknown" in results["a"]["error"]


async def test_a_call_that_the_server_refuses_was_not_made(run: Run, log: Path) -> None:
    lose = {"id": "a", "tool": "mcp_demo_lose", "args": {"name": "note"}}
    results = await run(rough(log), lose, {**call("b", "note", text="x"), "needs": ["a"]})
    assert "has no tool 'note' any more" in results["b"]["error"]
    assert "unknown" not in results["b"]["error"]


async def test_a_schema_that_refers_to_itself_costs_its_call_only(run: Run, log: Path) -> None:
    with pytest.raises(PlanError, match="refers to itself without end"):
        await run(rough(log), call("a", "loops", a=1))
    results = await run(rough(log), call("b", "note", text="x"), thread="u")
    assert results["b"]["status"] == "completed"


async def test_two_threads_use_one_server_at_the_same_time(run: Run, log: Path) -> None:
    server = rough(log)
    await asyncio.to_thread(mcp_tools, Settings.load(mcp_servers={"demo": server}))
    both = await asyncio.gather(
        *(run(server, *(call(f"s{n}", "note", text=f"{name}{n}") for n in range(5)), thread=name) for name in "ab")
    )
    assert all(one["status"] == "completed" for results in both for one in results.values())
    assert sorted(log.read_text().split()) == sorted(f"{name}{n}" for name in "ab" for n in range(5))


async def test_an_agent_without_a_list_of_tools_asks_for_those_of_servers_by_name(
    saver: ThreadSaver, tmp_path: Path, log: Path
) -> None:
    with ScriptedServer() as provider:
        chosen = Settings.load(
            home=tmp_path / "home",
            mcp_servers={"demo": rough(log), "gone": rough(log, command=str(tmp_path / "gone"))},
            llm_model="openai/scripted",
            llm_base_url=provider.base_url,
            llm_api_key="sk-scripted",
        )
        tools = await asyncio.to_thread(lambda: list(available_tools((), chosen).values()))
        app = build_manus_graph(tools=tools, settings=chosen, policy="allow").compile(checkpointer=saver)
        agent = {"id": "w", "goal": "note it", "agent": "executor"}
        more = calls(ToolUse("more_tools", {"names": ["mcp_demo_note"]}))
        uses = calls(ToolUse("mcp_demo_note", {"text": "once"}))
        provider.add(wants_plan(), plans(agent), more, uses, *done("x"), Reply("x"))
        out = await app.ainvoke({"task": "note it"}, thread(workspace=str(tmp_path / "work")))
        offered = [request.tools for request in provider.requests[2:4]]

    assert out["status"] == "completed"
    assert ["mcp_demo_note" in names for names in offered] == [False, True]
    assert log.read_text() == "once\n"


# ---------------------------------------------------------------- programs


@pytest.fixture
def served(program_in: MakeProgram, database: str, tmp_path: Path, log: Path) -> Program:  # noqa: F811
    """The program on the test's database, with a server of tools."""
    _serve(tmp_path, log, sys.executable)
    return program_in(DATABASE_URL=database, OPENMANUS_GRAPH_MCP_FILE=str(tmp_path / "mcp.json"))


def _serve(folder: Path, log: Path, command: str) -> None:
    server = {
        "command": command,
        "args": ["-m", "tests.mcp.rough_server"],
        "env": {"DEMO_LOG": str(log), "PYTHONPATH": str(ROOT)},
        "trust_annotations": True,
        "start_timeout_s": 60,
    }
    (folder / "mcp.json").write_text(json.dumps({"mcpServers": {"demo": server}}))
    (folder / "openmanus-graph.toml").write_text('policy = "allow"\n')


@pytest.mark.kill
@pytest.mark.parametrize("tool", ["hang", "read_hang"])
def test_a_run_that_is_killed_in_a_call_repeats_it_only_if_it_reads(served: Program, log: Path, tool: str) -> None:
    plan = served.plan(call("a", tool))
    process = served.start("run", "--plan", plan, "--thread", "t", "--quiet")
    deadline = time.monotonic() + PATIENCE_S
    while not log.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.communicate()

    if tool == "hang":
        out, said = served("resume", "t", "--quiet", code=3)
        assert "Did the call of mcp_demo_hang that 'a' began" in out + said
        assert log.read_text().split() == ["hang"]
        served("resume", "t", "--quiet", "--answer", "happened")
        assert log.read_text().split() == ["hang"]
    else:
        served("resume", "t", "--quiet")
        assert log.read_text().split() == ["read_hang", "read_hang"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_thread_resumes_while_a_server_is_away(served: Program, tmp_path: Path, log: Path, kept: bool) -> None:
    waits = {**call("a", "note", text="x"), "approval": True}
    plan = served.plan(waits, {"id": "b", "tool": "bash", "args": {"command": "echo there"}})
    served("run", "--plan", plan, "--thread", "t", "--quiet", code=3)
    _serve(tmp_path, log, str(tmp_path / "gone"))
    if not kept:
        for file in (tmp_path / "unused" / "mcp").iterdir():
            file.unlink()

    out, said = served("resume", "t", "--quiet", "--answer", "a=yes", code=1 if kept else 2)

    told = out + said
    assert "There is no program" in told
    assert ("mcp check" if kept else "the tool 'mcp_demo_note' is gone, and the subtask 'a' uses it") in told
    assert not log.exists()

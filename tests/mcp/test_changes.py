"""Changes of a server's list in a run: what agents are offered, and calls that were planned before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from openmanus_graph import Settings
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.mcp.server_tools import mcp_tools
from tests.agent.replies import calls, done, plans, thread, wants_plan
from tests.mcp.conftest import BuildAgent, Run, call, rough


async def test_an_agent_is_offered_the_tools_as_they_are_now(
    provider: ScriptedServer, build_agent: BuildAgent, tmp_path: Path, log: Path
) -> None:
    agent = {"id": "w", "goal": "ask", "agent": "executor"}
    changes = calls(ToolUse("mcp_demo_alter", {}), ToolUse("mcp_demo_lose", {"name": "pid"}))
    uses = calls(ToolUse("mcp_demo_note", {"number": 7}), ToolUse("mcp_demo_pid", {}))
    provider.add(wants_plan(), plans(agent), changes, uses, *done("x"), Reply("x"))
    app = await build_agent(rough(log, offered=True), policy="allow")

    await app.ainvoke({"task": "ask"}, thread(workspace=str(tmp_path / "work")))

    before, after = provider.requests[2], provider.requests[3]
    assert {"mcp_demo_pid", "mcp_demo_note"} <= set(before.tools)
    assert "mcp_demo_pid" not in after.tools
    (note,) = [one["function"] for one in after.body["tools"] if one["function"]["name"] == "mcp_demo_note"]
    assert list(note["parameters"]["properties"]) == ["number"]
    told = [str(one["content"]) for one in provider.requests[4].messages if one["role"] == "tool"][-2:]
    assert "note" in told[0]
    assert "There is no tool 'mcp_demo_pid'" in told[1]


async def test_an_agent_calls_a_tool_that_is_new_within_the_policy(
    provider: ScriptedServer, build_agent: BuildAgent, tmp_path: Path, log: Path
) -> None:
    agent = {"id": "w", "goal": "ask", "agent": "executor"}
    gains = calls(ToolUse("mcp_demo_gain", {"name": "fresh"}), ToolUse("mcp_demo_gain", {"name": "secret"}))
    uses = calls(
        ToolUse("mcp_demo", {"tool": "fresh", "arguments": {"text": "new"}}),
        ToolUse("mcp_demo", {"tool": "fresh", "arguments": {"number": 1}}),
        ToolUse("mcp_demo", {"tool": "secret", "arguments": {"text": "hidden"}}),
        ToolUse("mcp_demo", {"tool": "note", "arguments": {"text": "old"}}),
    )
    provider.add(wants_plan(), plans(agent), gains, uses, *done("x"), Reply("x"))
    rules = {"default": "allow", "rules": [{"tool": "mcp_demo_secret", "action": "deny"}]}
    app = await build_agent(rough(log, offered=True), policy=rules)

    await app.ainvoke({"task": "ask"}, thread(workspace=str(tmp_path / "work")))

    before, after = provider.requests[2], provider.requests[3]
    assert "mcp_demo" not in before.tools
    assert "mcp_demo" in after.tools
    assert '"text"' in str([one for one in after.body["tools"] if one["function"]["name"] == "mcp_demo"])
    assert log.read_text() == "new\n"
    told = [str(one["content"]) for one in provider.requests[4].messages if one["role"] == "tool"][-4:]
    assert "'text'" in told[1]
    assert "The policy does not let 'mcp_demo_secret' be called" in told[2]
    assert "has no new tool 'note'; there are: fresh, secret" in told[3]


async def test_a_planned_call_is_checked_against_the_tool_as_it_is(run: Run, log: Path) -> None:
    results = await run(rough(log), call("a", "alter"), {**call("b", "note", text="x"), "needs": ["a"]})
    assert results["b"]["status"] == "failed"
    assert "'number'" in results["b"]["error"]
    assert not log.exists()


async def test_a_tool_that_is_new_is_there_for_what_begins_after_it(run: Run, log: Path, tmp_path: Path) -> None:
    server: Any = rough(log)
    gain = {"id": "a", "tool": "mcp_demo_gain", "args": {"name": "fresh"}}
    await run(server, gain, {**call("b", "note", text="x"), "needs": ["a"]})
    tools, _ = await asyncio.to_thread(mcp_tools, Settings.load(home=tmp_path / "home", mcp_servers={"demo": server}))
    assert "mcp_demo_fresh" in tools

"""A request from the person's words to the answer."""

from __future__ import annotations

from pathlib import Path

from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, ends, plans, thread, verdict, wants_plan


async def test_small_talk_takes_one_call_and_no_plan(build: Build, provider: ScriptedServer) -> None:
    provider.add(Reply("Hello! What can I do for you?"))
    out = await build().ainvoke({"task": "hi"}, thread())
    assert out["answer"] == "Hello! What can I do for you?"
    assert out["status"] == "completed"
    assert len(provider.requests) == 1


async def test_direct_calls_take_three_calls_of_a_model(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    write = {"id": "write", "goal": "write it", "tool": "bash", "args": {"command": "echo 42 > n.txt; cat n.txt"}}
    provider.add(wants_plan(), plans(write), Reply("The number is 42, see n.txt."))
    out = await build().ainvoke({"task": "write 42 to n.txt"}, thread())
    assert out["status"] == "completed"
    assert out["results"]["write"]["output"]["stdout"] == "42\n"
    assert out["answer"] == "The number is 42, see n.txt."
    assert len(provider.requests) == 3


async def test_an_agent_works_in_parallel_calls_and_is_verified(build: Build, provider: ScriptedServer) -> None:
    work = {
        "id": "work",
        "goal": "make a.txt and b.txt",
        "agent": "executor",
        "done_when": "a.txt exists, b.txt exists",
    }
    provider.add(
        wants_plan(),
        plans(work),
        calls(
            ToolUse("str_replace_editor", {"command": "create", "path": "a.txt", "file_text": "A"}),
            ToolUse("str_replace_editor", {"command": "create", "path": "b.txt", "file_text": "B"}),
        ),
        ends("Both are there."),
        verdict(True, "Both files exist."),
        Reply("Done: a.txt and b.txt."),
    )
    out = await build().ainvoke({"task": "make two files"}, thread())
    result = out["results"]["work"]
    assert (result["status"], result["verified"], result["verified_why"]) == ("completed", True, "Both files exist.")
    assert result["output"] == "Both are there."
    assert result["usage"]["calls"] == 3
    assert out["status"] == "completed"

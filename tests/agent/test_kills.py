"""The agent is killed with -9 after an event of each kind, and resumes by its thread id."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
from collections import Counter
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import ThreadSaver, get_thread
from openmanus_graph.checkpoints.usage import spent_in
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.usage import NO_USAGE, add_usage
from tests.agent.replies import calls, ends, plans, verdict
from tests.agent.shown import chart, colours, pictures
from tests.interpreter import Interpreter, kill

WORKER = Path(__file__).parent / "worker.py"
DIRECT = {"id": "direct", "goal": "log", "tool": "bash", "args": {"command": "echo direct >> log"}}
AGENT = {
    "id": "agent",
    "goal": "write out.txt",
    "agent": "executor",
    "needs": ["direct"],
    "tools": ["bash"],
    "done_when": "the file out.txt exists",
}


def answers(body: dict[str, Any]) -> Reply:
    """What a model would say, from the request alone: the same place always gets the same reply."""
    tools = {tool["function"]["name"] for tool in body.get("tools") or []}
    results = [message for message in body["messages"] if message["role"] == "tool"]
    if "delegate" in tools:
        return plans(DIRECT, AGENT)
    if "verdict" in tools:
        return verdict(True)
    if "terminate" in tools:
        if not results:
            return calls(
                ToolUse("bash", {"command": "echo one >> log"}), ToolUse("bash", {"command": "echo two >> log"})
            )
        if len(results) == 2:
            return calls(ToolUse("bash", {"command": "echo done > out.txt"}))
        return ends("out.txt is written")
    raise AssertionError(f"nobody offers {tools}")


class Run:
    """A thread that is killed and resumed."""

    def __init__(self, python: str, url: str, provider: str, folder: Path) -> None:
        self.arguments = [python, str(WORKER), url, provider, "t", "write out.txt"]
        self.folder = folder

    def start(self) -> subprocess.Popen[str]:
        """A new process on the thread."""
        return subprocess.Popen(
            self.arguments, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def kill_after(self, kind: str) -> bool:
        """Run until an event of the kind comes, then kill; says whether it came."""
        process = self.start()
        assert process.stdout is not None
        try:
            return any(line.strip() == kind for line in process.stdout)
        finally:
            kill(process)
            process.communicate()

    def finish(self) -> dict[str, Any]:
        """Go on to the end."""
        out, err = self.start().communicate(timeout=300)
        assert out.strip(), err
        return json.loads(out.splitlines()[-1])


@pytest.mark.kill
async def test_a_call_that_was_in_flight_at_a_kill_is_counted(
    database: str, saver: ThreadSaver, tmp_path: Path, interpreter: Interpreter
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow(body: dict[str, Any]) -> Reply:
        if not asked.is_set():
            asked.set()
            go_on.wait(60)
        return answers(body)

    with ScriptedServer(slow) as provider:
        run = Run(interpreter.python(), database, provider.base_url, tmp_path)
        process = run.start()
        assert await asyncio.to_thread(asked.wait, 60)
        kill(process)
        process.communicate()
        go_on.set()
        async with asyncio.timeout(60):  # the server notices a moment later that the process is gone
            while (thread := await get_thread(saver, "t")) is None or thread.status != "stopped":
                await asyncio.sleep(0.02)
        before = reduce(add_usage, (spent.usage for spent in await spent_in(saver, thread)), NO_USAGE)
        ended = await asyncio.to_thread(run.finish)
        calls_made = len(provider.requests)
    assert before.get("in_flight") == 1
    assert ended["status"] == "completed"
    thread = await get_thread(saver, "t")
    assert thread is not None
    total = reduce(add_usage, (spent.usage for spent in await spent_in(saver, thread)), NO_USAGE)
    assert (total["calls"], total.get("in_flight")) == (calls_made, 1), "each request that the provider got is counted"


@pytest.mark.kill
async def test_a_resumed_agent_is_shown_the_same_picture(
    database: str, tmp_path: Path, interpreter: Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def looks(body: dict[str, Any]) -> Reply:
        tools = {tool["function"]["name"] for tool in body.get("tools") or []}
        if "delegate" in tools:
            return plans({"id": "agent", "goal": "look", "agent": "executor", "tools": ["view_image"]})
        if "verdict" in tools:
            return verdict(True)
        if not any(message["role"] == "tool" for message in body["messages"]):
            return calls(ToolUse("view_image", {"path": "chart.png"}))
        asked.set()
        assert go_on.wait(60)
        return ends("It is red.")

    monkeypatch.setenv("OPENMANUS_GRAPH_MODELS__EXECUTOR__IMAGES", "true")
    chart(tmp_path / "openmanus-work" / "t" / "chart.png")
    with ScriptedServer(looks) as provider:
        run = Run(interpreter.python(), database, provider.base_url, tmp_path)
        process = run.start()
        assert await asyncio.to_thread(asked.wait, 60)
        kill(process)
        process.communicate()
        go_on.set()
        ended = await asyncio.to_thread(run.finish)
    before, again = [one.messages for one in provider.requests if pictures(one.messages)]
    assert (ended["status"], ended["answer"]) == ("completed", "It is red.")
    assert colours(before) == [(255, 0, 0)]
    assert again == before


KINDS = ("decided", "plan_made", "subtask_started", "tool_returned", "subtask_verified", "answered")


@pytest.mark.kill
@pytest.mark.parametrize("kinds", [KINDS[:3], KINDS[3:]], ids="+".join)
def test_a_killed_agent_resumes_without_losing_or_repeating_what_was_committed(
    kinds: tuple[str, ...], database: str, tmp_path: Path, interpreter: Interpreter
) -> None:
    with ScriptedServer(answers) as provider:
        run = Run(interpreter.python(), database, provider.base_url, tmp_path)
        assert [run.kill_after(kind) for kind in kinds] == [True] * len(kinds)
        ended = run.finish()
    assert (ended["status"], ended["answer"]) == ("completed", "out.txt is written")
    assert ended["results"]["agent"]["verified"] is True
    workspace = tmp_path / "openmanus-work" / "t"
    assert (workspace / "out.txt").read_text() == "done\n"
    lines = Counter((workspace / "log").read_text().split())
    assert set(lines) == {"direct", "one", "two"}
    # Each kill may repeat the one step that was in flight, and nothing else.
    assert sum(lines.values()) <= 3 + len(kinds)
    steps_of_a_calm_run = 5
    assert len(provider.requests) <= steps_of_a_calm_run + len(kinds)

"""The agent from the shell: tasks, conversations, approvals, budgets, recordings, on a scripted provider."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, ends, plans, verdict
from tests.agent.shown import chart, colours

from .conftest import MakeProgram, Program

pytestmark = pytest.mark.postgres

ANSWER = "It is written in n.txt."
DONE = "It is done."
CTRL_C = "\x03"
AT_MOST_S = 120
"""Seconds that a program at a terminal may take."""


def write(command: str = "echo 42 > n.txt; cat n.txt", **more: Any) -> dict[str, Any]:
    return {"id": "write", "goal": "write it", "tool": "bash", "args": {"command": command}, **more}


def script(body: dict[str, Any]) -> Reply:
    """An agent that greets, and has everything else done by one call."""
    names = [tool["function"]["name"] for tool in body.get("tools", [])]
    said = json.dumps(body["messages"])
    if "delegate" in names and body["messages"][-1]["role"] == "tool":
        return Reply(ANSWER)
    if "delegate" in names:
        if body["messages"][-1]["content"] == "hello":
            return Reply("Hello to you.")
        agent = {"id": "work", "goal": "work on it", "agent": "executor"}
        slow = write("sleep 1; echo 42 > n.txt; cat n.txt") if "slowly" in said else write()
        return plans(agent) if "with an agent" in said else plans(slow, write() | {"id": "next", "needs": ["write"]})
    if "terminate" in names:
        done = '"role": "tool"' in said
        return (
            ends(DONE)
            if done
            else calls(ToolUse("bash", {"command": "echo 1 > a"}), ToolUse("bash", {"command": "echo 2 > b"}))
        )
    if "verdict" in names:
        return verdict(True)
    return Reply(ANSWER)


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    with ScriptedServer(script) as server:
        yield server


@pytest.fixture
def agent(program_in: MakeProgram, database: str, provider: ScriptedServer) -> Program:
    return program_in(DATABASE_URL=database, **provider.environment)


def test_a_conversation(agent: Program, provider: ScriptedServer) -> None:
    (agent.folder / "facts.txt").write_text("6 times 7")
    out, err = agent("run", "write", "42", "to a file", "--thread", "talk", "--attach", "facts.txt")
    assert out.startswith(f"{ANSWER}\n")
    assert "[1/2] write completed" in err
    assert re.search(r"Used 2 model calls, [\d,]+ tokens", err)
    assert (agent.folder / "openmanus-work" / "talk" / "facts.txt").read_text() == "6 times 7"
    assert "facts.txt" in json.dumps(provider.requests[0].messages)

    out, _ = agent("run", "--thread", "talk", "--json", "hello")
    events = [json.loads(line) for line in out.splitlines()]
    assert {"model_started", "model_tokens", "model_finished", "decided"} <= {event["type"] for event in events}
    last = events[-1]
    assert (last["type"], last["status"], last["answer"]) == ("run_finished", "completed", "Hello to you.")
    assert last["usage"]["calls"] == 1
    assert ANSWER in json.dumps(provider.requests[-1].messages), "the conversation goes on"

    out, _ = agent("threads", "show", "talk", "--json")
    shown = json.loads(out)
    assert [request["task"] for request in shown["requests"]] == ["write 42 to a file", "hello"]
    assert shown["answer"] == "Hello to you."
    assert shown["usage"]["total"]["calls"] == 3
    assert {one["role"] for one in shown["usage"]["calls"]} == {"coordinator"}
    out, _ = agent("threads", "show", "talk")
    assert re.search(r"coordinator +openai/scripted +3 ", out)
    out, _ = agent("threads", "events", "talk", "--json")
    stored = [json.loads(line)["type"] for line in out.splitlines()]
    assert "answered" in stored
    assert "model_tokens" not in stored
    assert "write completed" in agent("threads", "events", "talk")[0]

    made = len(provider.requests)
    agent.environment.pop("LLM_MODEL")
    assert agent("resume", "talk")[0] == "Hello to you.\n"
    assert len(provider.requests) == made, "what is completed is only said again"


def test_a_picture_is_attached_to_a_request(agent: Program, provider: ScriptedServer) -> None:
    chart(agent.folder / "chart.png")
    agent.environment["OPENMANUS_GRAPH_MODELS__DEFAULT__IMAGES"] = "true"
    agent("run", "hello", "--thread", "talk", "--attach", "chart.png")

    assert colours(provider.requests[0].messages) == [(255, 0, 0)]
    assert "chart.png" in json.dumps(provider.requests[0].messages)


def test_no_model_is_said_with_examples_before_anything_is_written(program_in: MakeProgram, tmp_path: Path) -> None:
    program = program_in()
    for command in (["run", "do something"], ["chat"]):
        _, err = program(*command, code=2)
        assert "LLM_MODEL" in err
        assert len(err.splitlines()) > 1
    assert list(tmp_path.iterdir()) == []
    _, err = program("run", code=2)
    assert 'run "TASK"' in err
    program("run", "x", "--plan", "y", code=2)
    program("run", "  ", code=2)


def test_two_calls_of_one_subtask_are_approved_by_their_ids(agent: Program) -> None:
    _, err = agent("run", "do it with an agent", "--thread", "t", "--policy", "ask", code=3)
    handles = re.findall(r"^  ([0-9a-f]{8}) asks: ", err, re.MULTILINE)
    assert len(handles) == 2
    assert f"resume t --answer {handles[0]}=yes" in err
    _, err = agent("resume", "t", "--answer", "work=yes", code=2)
    assert handles[0] in err
    _, err = agent("run", "--thread", "t", "something else", code=2)
    assert "resume t --answer" in err
    assert "run 'something else' --thread t-" in err
    edit = f'{handles[1]}=edit {{"command": "echo 3 > c"}}'
    out, _ = agent("resume", "t", "--answer", f"{handles[0]}=yes", "--answer", edit)
    assert out.startswith(DONE), "the answer of its one agent"
    made = sorted(path.name for path in (agent.folder / "openmanus-work" / "t").iterdir() if path.suffix == "")
    assert "c" in made
    assert len({"a", "b"} & set(made)) == 1


def test_a_budget_ends_in_a_partial_answer_and_a_larger_one_goes_on(agent: Program) -> None:
    out, err = agent("run", "write 42", "--thread", "t", "--budget-calls", "1", code=4)
    assert "partial answer" in out
    assert "1 model call is" in out
    assert "larger budget" in err
    assert "resume t" in err
    assert re.search(r"t +partial", agent("threads", "list")[0])
    agent("resume", "t", code=4)
    out, _ = agent("resume", "t", "--budget-calls", "9")
    assert out.startswith(ANSWER)


def test_what_was_recorded_is_replayed_without_a_provider(agent: Program, provider: ScriptedServer) -> None:
    agent("run", "write 42", "--thread", "live", "--record", "tape.jsonl", "-q")
    assert "sk-scripted-key" not in (agent.folder / "tape.jsonl").read_text()
    made = len(provider.requests)
    for name in ("LLM_MODEL", "LLM_API_KEY", "LLM_BASE_URL"):
        agent.environment.pop(name)
    out, _ = agent("run", "write 42", "--thread", "again", "--model", "replay:tape.jsonl", "-q")
    assert out.startswith(ANSWER)
    assert len(provider.requests) == made
    assert (agent.folder / "openmanus-work" / "again" / "n.txt").read_text() == "42\n"


def test_lines_of_a_pipe_are_a_conversation(agent: Program) -> None:
    lines = "hello\n/status\n\nwrite 42\ny\n/files\n/nonsense\n"
    command = [sys.executable, "-m", "openmanus_graph", "chat", "--thread", "c", "--review", "always"]
    done = subprocess.run(
        command,
        cwd=agent.folder,
        env=agent.environment,
        input=lines,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Hello to you.\n{ANSWER}\n")
    assert "● write (bash)" in done.stderr, "the plan is shown to be approved"
    assert 'write: bash {"command": "echo 42 > n.txt; cat n.txt"}' in done.stderr, "with what it calls"
    assert "  n.txt" in done.stderr
    assert "no command '/nonsense'" in done.stderr
    assert "chat --thread c" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_with_agents_needs_no_planner_and_its_thread_is_a_conversation(agent: Program) -> None:
    plan = agent.plan({"id": "work", "goal": "work on it", "agent": "executor"})
    out, _ = agent("run", "--plan", plan, "--thread", "p")
    assert out.startswith(DONE)
    out, _ = agent("run", "--thread", "p", "hello")
    assert out == "Hello to you.\n"
    only_calls = agent.plan(write(), name="calls.yaml")
    agent("run", "--plan", only_calls, "--thread", "q")
    _, err = agent("run", "--thread", "q", "hello", code=2)
    assert "no conversation" in err


def at_a_terminal(program: Program, *arguments: str, says: Callable[[str], str | None]) -> tuple[int, str]:
    """Run it on a real terminal of 80 by 24, typing what `says` answers to what was shown so far.

    A Ctrl-C that nothing follows is pressed again, as a person does: Python misses one that comes in the moment
    between showing a prompt and waiting for a line.
    """
    import pty

    process_id, terminal = pty.fork()
    if process_id == 0:
        os.chdir(program.folder)
        environment = {**program.environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", "NO_COLOR": "1"}
        os.execve(sys.executable, [sys.executable, "-m", "openmanus_graph", *arguments], environment)
    shown, last = "", ""
    until = time.monotonic() + AT_MOST_S
    while True:
        if not select.select([terminal], [], [], 2.0)[0]:
            if last == CTRL_C:
                os.write(terminal, CTRL_C.encode())
            if time.monotonic() > until:
                os.kill(process_id, signal.SIGKILL)
                pytest.fail(f"It had not ended after {AT_MOST_S} s; shown was:\n{shown}")
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece.decode(errors="replace")
        last = last if piece == b"^C" else ""  # which the terminal itself shows
        typed = says(shown)
        if typed is not None:
            os.write(terminal, typed.encode())
            last = typed
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1]), shown


def test_a_provider_that_refuses_stops_with_the_cure_and_how_to_go_on(agent: Program, provider: ScriptedServer) -> None:
    with ScriptedServer(lambda _: Fault.wrong_key()) as refusing:
        agent.environment["LLM_BASE_URL"] = refusing.base_url
        out, err = agent("run", "write 42", "--thread", "t", "--json", code=1)
        assert len(refusing.requests) == 1
    last = json.loads(out.splitlines()[-1])
    assert (last["type"], last["status"]) == ("run_finished", "stopped")
    assert "key" in last["error"]
    assert "LLM_API_KEY" in err
    assert "resume t" in err
    agent.environment["LLM_BASE_URL"] = provider.base_url
    assert agent("resume", "t", "-q")[0].startswith(ANSWER)


@pytest.mark.kill
def test_approvals_at_a_terminal_go_on_in_the_same_process(agent: Program) -> None:
    script = iter(["y\r", "n: not that one\r"])
    asked = 0

    def says(shown: str) -> str | None:
        nonlocal asked
        if shown.count("ANSWER in its place") > asked and shown.rstrip().endswith(">"):
            asked += 1
            return next(script)
        return None

    code, shown = at_a_terminal(agent, "run", "do it with an agent", "--thread", "t", "--policy", "ask", says=says)
    assert code == 0, shown
    assert asked == 2
    assert "command: echo 1 > a" in shown
    assert DONE in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown), "NO_COLOR is honoured"
    made = {path.name for path in (agent.folder / "openmanus-work" / "t").iterdir()}
    assert len({"a", "b"} & made) == 1


@pytest.mark.kill
def test_ctrl_c_at_a_terminal_pauses_and_harms_nothing_that_runs(agent: Program) -> None:
    plan = agent.plan(write("sleep 1; echo 42 > n.txt; cat n.txt"), write() | {"id": "next", "needs": ["write"]})
    pressed = False

    def says(shown: str) -> str | None:
        nonlocal pressed
        if not pressed and re.search(r"write .*sleep 1", shown):
            pressed = True
            return CTRL_C
        return None

    code, shown = at_a_terminal(agent, "run", "--plan", plan, "--thread", "t", says=says)
    assert code == 130, shown
    assert "Stopping: what runs ends" in shown
    results = json.loads(agent("threads", "show", "t", "--json")[0])["subtasks"]
    assert [(item["id"], item["status"]) for item in results] == [("write", "completed"), ("next", "pending")]
    agent("resume", "t")


@pytest.mark.kill
def test_ctrl_c_in_a_chat_pauses_the_request_and_comes_back_to_the_prompt(agent: Program) -> None:
    steps = iter(
        [
            (r"you: *$", "write it slowly\r"),
            (r"write .*sleep 1", CTRL_C),
            (r"is paused; /resume goes on with it\.(?s:.*)you: *$", "/resume\r"),
            (re.escape(ANSWER) + r"(?s:.*)you: *$", CTRL_C),
        ]
    )
    step = next(steps)

    def says(shown: str) -> str | None:
        nonlocal step
        wanted, typed = step
        if typed and re.search(wanted, shown):
            step = next(steps, ("", ""))
            return typed
        return None

    code, shown = at_a_terminal(agent, "chat", "--thread", "c", says=says)
    assert step == ("", ""), shown
    assert code == 0
    assert "chat --thread c" in shown
    assert json.loads(agent("threads", "show", "c", "--json")[0])["status"] == "completed"

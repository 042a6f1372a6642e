"""run and resume from the shell: kills, signals, questions, exit codes, what is printed where."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.engine.plans import subtask

from .conftest import Program
from .runs import started, work

pytestmark = [pytest.mark.postgres, pytest.mark.kill]


def test_results_go_to_stdout_and_progress_to_stderr(program: Program) -> None:
    plan = program.plan(subtask("a", args={"text": "x"}), subtask("b", "echo", ["a"], args={"value": "the end"}))
    out, err = program("run", "--plan", plan, "--tools", program.tools, "--thread", "t")
    assert out == "the end\n"
    assert "[2/2] b completed" in err
    assert "Thread t completed" in err
    out, err = program("run", "--plan", plan, "--tools", program.tools, "--quiet")
    assert out == "the end\n"
    assert "started" not in err


def test_a_call_without_a_goal_is_told_by_what_it_calls(program: Program) -> None:
    bare = {"goal": "", "done_when": None}
    plan = program.plan({**subtask("a", "echo", args={"value": ["x" * 50]}), **bare}, {**subtask("b", "fail"), **bare})
    line = f'echo value=["{"x" * 50}"]'
    _, err = program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=1)
    assert f"  a started: {line}\n" in err
    out, _ = program("threads", "show", "t")
    assert re.search(r"^b +failed .* fail$", out, re.MULTILINE), out


def test_json_is_one_event_a_line(program: Program) -> None:
    plan = program.plan(subtask("a"), subtask("b", "fail", ["a"]))
    out, _ = program("run", "--plan", plan, "--tools", program.tools, "--json", "--thread", "t", code=1)
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["type"] for event in events] == [
        "plan_started",
        *("subtask_started", "subtask_finished") * 2,
        "plan_finished",
        "run_finished",
    ]
    assert {event["thread_id"] for event in events} == {"t"}
    assert all(event["time"] and event["id"] for event in events)
    assert events[-1]["status"] == "failed"
    assert events[-1]["results"]["b"]["status"] == "failed"


def test_killed_then_resumed_by_the_printed_beginning_of_its_id(program: Program) -> None:
    plan = program.plan(work(program, "a", 0.1), work(program, "b", 5, ["a"]), work(program, "c", 0.1, ["b"]))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "long-name-1") as process:
        started(program, "b")
        process.kill()
    out, _ = program("threads", "list")
    assert re.search(r"long-name-1 +stopped", out)
    out, _ = program("threads", "show", "long")
    assert re.search(r"a +completed", out)
    assert "resume long-name-1" in out
    _, err = program("resume", "long")
    assert "1 kept" in err
    assert program.log().count("start a") == 1
    assert program.log().count("start b") == 2
    _, err = program("resume", "--last")
    assert "completed" in err
    assert program.log().count("start c") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_and_says_how_to_go_on(program: Program, number: signal.Signals, code: int) -> None:
    plan = program.plan(work(program, "a", 1.5), work(program, "b", 0.1, ["a"]))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "a")
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert program.log() == ["start a", "end a"]
    assert "resume t" in err
    assert re.search(r"t +paused", program("threads", "list")[0])
    program("resume", "t")
    assert program.log() == ["start a", "end a", "start b", "end b"]


def test_a_second_interrupt_stops_at_once_and_can_be_resumed(program: Program) -> None:
    plan = program.plan(work(program, "a", 20), work(program, "b", 0.1))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "a")
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(10)
    assert process.returncode == 130
    assert time.monotonic() - began < 3
    assert re.search(r"t +stopped", program("threads", "list")[0])
    with program.start("resume", "t") as process:
        started(program, "b")
        time.sleep(0.2)
        process.kill()
    assert program.log().count("end b") == 1


def test_questions_exit_with_3_and_are_answered_one_by_one(program: Program) -> None:
    plan = program.plan(
        subtask("q1", "ask_human", args={"inquire": "First?"}),
        subtask("q2", "ask_human", args={"inquire": "Second?"}),
        subtask("end", "echo", args={"value": "${q1.answer} ${q2.answer}"}),
    )
    _, err = program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=3)
    assert "First?" in err
    assert "Second?" in err
    _, err = program("resume", "t", "--answer", "hello", code=2)
    assert "q1=" in err
    _, err = program("resume", "t", "--answer", "nobody=hello", code=2)
    assert "names no open question" in err
    _, err = program("resume", "t", "--answer", "q1=a", "--answer", "q1=b", code=2)
    assert "second one" in err
    program("resume", "t", "--answer", "q2=two", code=3)
    out, _ = program("resume", "t", "--answer", "one")
    assert out == "one two\n"
    _, err = program("resume", "t", "--answer", "q1=again", code=2)
    assert "asks nothing" in err


def test_an_answer_reaches_the_process_that_runs_the_thread(program: Program) -> None:
    plan = program.plan(
        subtask("q", "ask_human", args={"inquire": "?"}),
        subtask("end", "echo", args={"value": "${q.answer}"}),
        work(program, "slow", 3.0),
    )
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "slow")
        _, err = program("resume", "t", "--answer", "now", code=5)
        assert f"process {process.pid}" in err
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "now" in out


def test_an_unfinished_thread_is_not_started_again(program: Program) -> None:
    plan = program.plan(subtask("q", "ask_human", args={"inquire": "?"}))
    program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=3)
    _, err = program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=2)
    assert "resume t" in err
    assert f"run --plan plan.yaml --tools {program.tools} --thread t-" in err


def test_a_running_thread_names_its_holder(program: Program) -> None:
    plan = program.plan(work(program, "a", 600))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "a")
        _, err = program("resume", "t", code=2)
        assert f"process {process.pid}" in err
        _, err = program("threads", "delete", "t", "--yes", code=2)
        assert "running" in err
        process.kill()
    program("threads", "delete", "t", "--yes")
    assert "No threads yet" in program("threads", "list")[0]


def test_a_plan_that_changed_is_named_and_taken_up_on_request(program: Program) -> None:
    ask = subtask("q", "ask_human", args={"inquire": "?"})
    plan = program.plan(work(program, "a", 0), ask)
    program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=3)
    program.plan(work(program, "a", 0), ask, work(program, "extra", 0))
    _, err = program("resume", "t", "--answer", "x")
    assert "has changed" in err
    assert "--plan" in err
    program("resume", "t", "--plan", plan)
    assert program.log() == ["start a", "end a", "start extra", "end extra"]


def test_a_failed_thread_resumes_with_what_is_not_completed(program: Program) -> None:
    plan = program.plan(work(program, "a", 0), subtask("bad", "fail", args={"message": "boom"}))
    _, err = program("run", "--plan", plan, "--tools", program.tools, "--thread", "t", code=1)
    assert "bad failed" in err
    assert "boom" in err
    # Nobody knows what a call did that raised, so it is not simply made again.
    _, err = program("resume", "t", code=3)
    assert "Did the call of fail" in err
    _, err = program("resume", "t", "--answer", "yes", code=2)
    assert "with = RESULT" in err
    program("resume", "t", "--answer", "no", code=1)
    assert program.log().count("start a") == 1
    found = json.loads(program("resume", "t", "--dry-run", "--json")[0])
    assert [(one["id"], one["action"]) for one in found["subtasks"]] == [("a", "kept"), ("bad", "starts anew")]
    (effect,) = json.loads(program("threads", "effects", "t", "--json")[0])
    assert (effect["tool"], effect["status"], effect["tries"]) == ("fail", "claimed", 2)
    assert "is asked about" in program("resume", "t", "--dry-run")[0]
    program("resume", "t", "--dry-run", "--answer", "no", code=2)


def test_it_runs_on_a_real_terminal(program: Program) -> None:
    import pty

    plan = program.plan(subtask("alpha", args={"seconds": 0.5}), subtask("beta", needs=["alpha"]))
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "openmanus_graph", "run", "--plan", plan, "--tools", program.tools]
    process = subprocess.Popen(
        command,
        cwd=program.folder,
        env={**program.environment, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        stdin=child,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    shown = b""
    while True:
        try:
            piece = os.read(parent, 4096)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(parent)
    assert process.wait(30) == 0
    text = shown.decode()
    assert "✓" in text
    assert "2 of 2" in text


def test_an_answer_left_for_a_runner_that_stops_is_taken_up_by_the_next(program: Program) -> None:
    plan = program.plan(
        subtask("q", "ask_human", args={"inquire": "?"}),
        subtask("end", "echo", args={"value": "${q.answer}"}),
        work(program, "slow", 2.5),
    )
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "slow")
        process.send_signal(signal.SIGINT)
        program("resume", "t", "--answer", "kept", code=5)
        process.communicate(timeout=30)
    assert process.returncode == 130
    out, _ = program("resume", "t")
    assert "kept" in out
    assert program.log().count("start slow") == 1


def test_two_tool_files_of_one_name_and_tools_of_libraries_resume(program: Program) -> None:
    for folder in ("x", "y"):
        (program.folder / folder).mkdir()
        (program.folder / folder / "mine.py").write_text(
            "import os\nfrom langchain_core.tools import StructuredTool, tool\n"
            f"@tool\ndef from_{folder}() -> str:\n    'Say where it is from.'\n    return '{folder}'\n"
            f"base_{folder} = StructuredTool.from_function(os.path.basename, name='base_{folder}', description='b')\n"
        )
    plan = program.plan(
        subtask("q", "ask_human", args={"inquire": "?"}), subtask("a", "from_x", ["q"]), subtask("b", "from_y", ["q"])
    )
    program("run", "--plan", plan, "--tools", "x/mine.py", "--tools", "y/mine.py", "--thread", "t", code=3)
    out, _ = program("resume", "t", "--answer", "go")
    assert out == "x\ny\n"


def test_events_are_followed_from_another_terminal_until_the_run_ends(program: Program) -> None:
    plan = program.plan(work(program, "a", 0.1), work(program, "b", 2.5, ["a"]))
    with program.start("run", "--plan", plan, "--tools", program.tools, "--thread", "t") as process:
        started(program, "b")
        out, _ = program("threads", "events", "t", "--follow")
        assert process.wait(30) == 0
    lines = out.splitlines()
    assert [re.sub(r"^\S+ +|in [0-9.]+ s", "", line).strip() for line in lines[1:]] == [
        "a started: do a",
        "[1/2] a completed",
        "b started: do b",
        "[2/2] b completed",
    ]
    out, _ = program("threads", "events", "t", "--json")
    numbers = [json.loads(line)["number"] for line in out.splitlines()]
    assert numbers == sorted(set(numbers))

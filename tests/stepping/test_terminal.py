"""Terminal: the stepper under single keys in 80 columns and 24 lines, and as lines where there is no terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.postgres

PLAN = """
goal: three steps
subtasks:
  - {id: a, goal: first, tool: list_files, args: {pattern: "*"}}
  - {id: b, goal: second, tool: list_files, args: {pattern: "*.py"}}
  - {id: ask, goal: asked, tool: ask_human, args: {inquire: "Which color?"}, needs: [a]}
"""
COMMAND = [sys.executable, "-m", "openmanus_graph", "step"]
CLEAR = "\x1b[H\x1b[2J"


class Screen:
    """A program in a terminal of 80 columns and 24 lines."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._pid, self._descriptor = pty.fork()
        if self._pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.execvpe(COMMAND[0], [*COMMAND, *arguments], environment)
        self._text = ""

    def press(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def frame(self) -> str:
        return self._text.rpartition(CLEAR)[2]

    def until(self, pattern: str, seconds: float = 30.0) -> str:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.frame()):
            assert time.monotonic() < end, f"{pattern!r} never came:\n{self.frame()}"
            self._take()
        return self.frame()

    def _take(self) -> bool:
        if not select.select([self._descriptor], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:
            return False
        self._text += data.decode("utf-8", "replace")
        return bool(data)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self.ended()

    def ended(self) -> int:
        while self._take():
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
        print(self._text[-4000:])  # shown if the test fails
        return code


@pytest.fixture
def environment(database: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "plan.yaml").write_text(PLAN)
    yield {**os.environ, "DATABASE_URL": database, "OPENMANUS_GRAPH_HOME": str(tmp_path / "home"), "TERM": "xterm"}


def test_single_keys(environment: dict[str, str]) -> None:
    screen = Screen(["--plan", "plan.yaml", "--thread", "t"], environment)
    first = screen.until("has not begun")
    assert "s step" in first
    screen.press("s")
    frame = screen.until(r"(?s)a: list_files.*b: list_files.*Next: a list_files, b list_files")
    assert "▸ a" in frame
    assert len(frame.splitlines()) <= 24
    assert max(map(len, frame.splitlines())) < 80
    screen.press("2")
    screen.until(r"✓ b")
    screen.press("ktool:ask_human\r")
    screen.until(r"Stops at tool:ask_human")
    screen.press("r")
    screen.until(r"Breakpoint at 'ask_human' of ask")
    screen.press("s")
    screen.until(r"\? ask asks: Which color\?")
    screen.press("s")
    screen.until(r"Only a person can go on")
    screen.press("ablue\r")
    screen.until(r"✓ ask")
    screen.press("b")
    screen.until(r"At point \d+ of 't'")
    screen.press("h")
    screen.until(r"At the head")
    screen.press("q")
    assert screen.ended() == 0


LONG = """
goal: long
subtasks:
  - {id: many, goal: many lines, tool: bash, args: {command: "seq 1 200"}}
  - {id: slow, goal: slow, tool: bash, args: {command: "sleep 600"}}
  - {id: beside, goal: beside, tool: list_files, args: {pattern: "*"}}
"""


def test_a_long_text_has_pages_and_arrows_are_no_digits(environment: dict[str, str]) -> None:
    Path("plan.yaml").write_text(LONG)
    screen = Screen(["--plan", "plan.yaml", "--thread", "t"], environment)
    screen.until("has not begun")
    screen.press("s")
    screen.until("many bash, slow bash")
    screen.press("v")
    screen.until(r"lines 1 to \d+ of \d+")
    screen.press(" ")
    assert "lines 1 to" not in screen.until(r"lines 1\d to")
    screen.press("\x1b[5~")
    screen.until("lines 1 to")
    screen.press("\x1b[B")
    screen.until("lines 2 to")
    frame = screen.frame()
    assert len(frame.splitlines()) <= 24
    assert max(map(len, frame.splitlines())) < 80
    assert "▸ many  ▸ slow  ▸ beside" in frame, "nothing was stepped"
    screen.press("q")
    assert screen.ended() == 0


def test_ctrl_c_ends_the_step_and_not_the_stepper(environment: dict[str, str]) -> None:
    Path("plan.yaml").write_text(LONG)
    screen = Screen(["--plan", "plan.yaml", "--thread", "t"], environment)
    screen.until("has not begun")
    screen.press("s")
    screen.until("many bash, slow bash")
    screen.press("2")
    screen.until("● slow")
    screen.press("\x03")
    screen.until("Interrupted; what was under way runs again.")
    screen.press("\x03")
    screen.until("q quits")
    screen.press("3")
    screen.until("✓ beside")
    screen.press("q")
    assert screen.ended() == 0


def test_a_failed_step_is_run_again_with_another_input(environment: dict[str, str]) -> None:
    Path("plan.yaml").write_text(LONG.replace("seq 1 200", "exit 3"))
    screen = Screen(["--plan", "plan.yaml", "--thread", "t"], environment)
    screen.until("has not begun")
    screen.press("s1")
    screen.until("failed: The command ended with exit code 3")
    screen.press("Xsubtask.args.command=echo other\r")
    screen.until(r"(?s)^t-2 .*✓ many")
    screen.press("q")
    assert screen.ended() == 0


def test_the_shell_goes_on_where_the_stepper_stood(environment: dict[str, str]) -> None:
    screen = Screen(["--plan", "plan.yaml", "--thread", "t"], environment)
    screen.until("has not begun")
    screen.press("s")
    screen.until(r"Next: a list_files, b list_files")
    screen.press("q")
    assert screen.ended() == 0
    command = [sys.executable, "-m", "openmanus_graph", "resume", "t", "--quiet"]
    resumed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "Which color?" in resumed.stderr
    stepped = lines("branches\nanswer green\ntable\n", ["t"], environment)
    assert "? ask asks: Which color?" in stepped
    assert "is completed" in stepped


def test_a_killed_stepper_is_opened_again_where_it_stood(environment: dict[str, str]) -> None:
    screen = Screen(["--plan", "plan.yaml", "--thread", "t"], environment)
    screen.until("has not begun")
    screen.press("s2")
    screen.until(r"'list_files' of b ran")
    screen.kill()
    said = lines("branches\nstep a\ntable\n", ["t"], environment)
    assert "▸ 1 a: list_files" in said
    assert "'list_files' of a ran. Next: ask ask_human." in said
    assert len(re.findall(r"list_files +b +completed", said)) == 1


def lines(typed: str, arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments], env=environment, input=typed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lines_where_there_is_no_terminal(environment: dict[str, str]) -> None:
    typed = (
        "step\nstep b\ndiff\nbreak nowhere\nbreak tool:ask_human\nrun\ntable\nhistory\nback\nset goal=1\nwhat\nquit\n"
    )
    said = lines(typed, ["--plan", "plan.yaml", "--thread", "t"], environment)
    assert "'list_files' of b ran. Next: a list_files." in said
    assert "+ b:\n" in said
    assert "There is no node 'nowhere' to stop at." in said
    assert "Breakpoint at 'ask_human' of ask." in said
    assert re.search(r"list_files +b +completed +1 +0\.\d\d", said)
    assert "There is no command 'what'." in said


def test_a_thread_that_is_not_there(environment: dict[str, str]) -> None:
    done = subprocess.run([*COMMAND, "nosuch"], env=environment, input="", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "There is no thread 'nosuch'" in done.stderr

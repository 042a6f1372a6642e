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
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


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
    assert "▸ a: list_files" in said
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
    assert "+ b: " in said
    assert "There is no node 'nowhere' to stop at." in said
    assert "Breakpoint at 'ask_human' of ask." in said
    assert re.search(r"list_files +b +completed +1 +0\.\d\d", said)
    assert "There is no command 'what'." in said


def test_a_thread_that_is_not_there(environment: dict[str, str]) -> None:
    done = subprocess.run([*COMMAND, "nosuch"], env=environment, input="", capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "There is no thread 'nosuch'" in done.stderr

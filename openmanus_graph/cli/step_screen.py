"""Step screen: a stepper under single keys, redrawn in place; 80 columns and 24 lines are enough."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from openmanus_graph.cli.step_commands import HELP, StepCommands
from openmanus_graph.cli.wording import one_line

KEYS = {
    "s": "step",
    "n": "next",
    "o": "out",
    "r": "run",
    "p": "pause",
    "b": "back",
    "h": "goto head",
    "x": "rerun",
    "v": "state",
    "d": "diff",
    "l": "table",
    "y": "history",
    "?": "help",
}
"""Keys that are a command by themselves."""
ASKING = {"t": "to", "k": "break", "u": "unbreak", "g": "goto", "e": "set", "f": "plan", "a": "answer", ":": ""}
"""Keys after which the rest of the command is typed."""
BAR = "s step  n next  o out  r run  p pause  t to  k break  a answer  b back  g goto"
BAR_2 = "e set  f plan  x rerun  1-9 step branch  v state  d diff  l table  y history  ? q"
CLEAR = "\x1b[H\x1b[2J"


class StepScreen:
    """Shows a stepper and takes keys until `q`."""

    def __init__(self, commands: StepCommands) -> None:
        """Show it on the terminal.

        Args:
            commands: What the keys stand for.
        """
        self._commands = commands
        self._stepper = commands.stepper
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._message = self._stepper.last["text"]
        self._typed: str | None = None
        self._working: asyncio.Task[None] | None = None
        self._drawing = False

    async def run(self) -> None:
        """Take keys until `q` or the end of the input."""
        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno()
        forget = self._stepper.on_change(self._draw_soon)
        with _single_keys(descriptor):
            loop.add_reader(descriptor, self._read, descriptor)
            try:
                self._draw()
                while (key := await self._keys.get()) not in ("q", "\x04", ""):
                    self._pressed(key)
                    if not self._drawing:
                        self._draw()
            finally:
                loop.remove_reader(descriptor)
                forget()
        if self._working is not None and not self._working.done():
            await self._stepper.pause()
            await self._working
        print()

    def _read(self, descriptor: int) -> None:
        data = b""
        with suppress(OSError):  # the terminal is gone
            data = os.read(descriptor, 1024)
        if self._typed is not None or not data:
            self._keys.put_nowait(data.decode("utf-8", "replace"))
            return
        for key in data.decode("utf-8", "replace"):
            self._keys.put_nowait(key)

    def _pressed(self, key: str) -> None:
        if self._typed is not None:
            for one in key:
                self._type(one)
        elif key in ASKING:
            self._typed = f"{ASKING[key]} ".lstrip()
        elif key == "p" and self._working is not None and not self._working.done():
            self._stepper.pause()
        elif key in KEYS:
            self._begin(KEYS[key])
        elif key.isdigit() and key != "0":
            self._begin(f"branch {key}")

    def _type(self, key: str) -> None:
        typed = self._typed or ""
        if key in "\r\n":
            self._typed = None
            self._begin(typed)
        elif key in ("\x1b", "\x03"):
            self._typed = None
        elif key in "\x7f\b":
            self._typed = typed[:-1]
        elif key.isprintable():
            self._typed = typed + key

    def _begin(self, line: str) -> None:
        self._working = asyncio.create_task(self._do(line, self._working))

    async def _do(self, line: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._message = "…"
        self._message = await self._commands.do(line)
        self._draw()

    def _draw_soon(self) -> None:
        if not self._drawing:
            self._drawing = True
            asyncio.get_running_loop().call_later(0.05, self._draw)

    def _draw(self) -> None:
        self._drawing = False
        columns, lines = shutil.get_terminal_size((80, 24))
        width = columns - 1
        stepper = self._stepper
        at = "" if stepper.cursor is None else f" @{stepper.cursor}"
        head = [f"{stepper.thread_id}{at}  {stepper.status}  ({stepper.granularity} by {stepper.granularity})"]
        if shown := self._commands.subtasks():
            head.append(shown)
        if len(stepper.breakpoints):
            head.append("stops at: " + ", ".join(map(str, stepper.breakpoints)))
        branches = self._commands.branches().splitlines()[: max(3, lines // 3)]
        foot = [BAR, BAR_2, "" if self._typed is None else f"> {self._typed}"]
        body = self._message.splitlines() or [""]
        if self._message == HELP:
            branches = []
        room = max(lines - len(head) - len(branches) - len(foot) - 2, 1)
        if len(body) > room:
            body = [*body[: room - 1], f"… {len(body) - room + 1} more lines"]
        drawn = [*head, "", *branches, *_folded(body, width, room), *foot]
        text = "\r\n".join(line if len(line) <= width else one_line(line, width) for line in drawn[: lines - 1])
        sys.stdout.write(CLEAR + text)
        sys.stdout.flush()


def _folded(body: list[str], width: int, room: int) -> list[str]:
    """Lines cut into pieces that fit, at most as many as there is room for."""
    pieces = [line[start : start + width] for line in body for start in range(0, max(len(line), 1), width)]
    return ["", *pieces[:room]]


@contextmanager
def _single_keys(descriptor: int) -> Generator[None]:
    """Have the terminal give each key at once, unseen."""
    before: Any = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

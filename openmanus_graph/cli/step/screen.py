"""Step screen: a stepper under single keys, redrawn in place; 80 columns and 24 lines are enough."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import termios
import tty
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from openmanus_graph.cli.step.commands import CURRENT, HELP, StepCommands

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
    "w": "asked",
    "?": "help",
}
"""Keys that are a command by themselves."""
ASKING = {
    "t": "to",
    "k": "break",
    "u": "unbreak",
    "g": "goto",
    "e": "set",
    "f": "plan",
    "a": "answer",
    "X": "rerun",
    ":": "",
}
"""Keys after which the rest of the command is typed."""
MOVES = {" ": 1, "\x1b[6~": 1, "-": -1, "\x1b[5~": -1}
"""Keys that turn the pages of a long text."""
LINES = {"\x1b[B": 1, "\x1bOB": 1, "\x1b[A": -1, "\x1bOA": -1}
"""Keys that move it by a line."""
VIEWS = frozenset({"state", "diff", "table", "history", "asked", "help"})
"""Commands whose text is long: what stands is left out beside it."""
BAR = "s step  n next  o out  r run  p pause  t to  k break  u unbreak  b back  g goto"
BAR_2 = "a answer  e set  x rerun  1-9 branch  v state  d diff  y past  ? more  q quit"
KEYS_HELP = """s n o        step, next, out              1 to 9   a step of that branch
r p t        run, pause, run to           k u      break, unbreak
b g h        back, goto, to the head      e f      set a value, another plan
x X          rerun, with another input    a w      answer, all that is asked
v d l y      state, difference, table, history
space - arrows  more of a long text       : types a command
Ctrl-C       interrupts what runs         q        quits; the thread stays

Commands, after `:`
"""
CLEAR = "\x1b[H\x1b[2J"
KEY = re.compile(r"\x1b(?:\[[0-9;]*[A-Za-z~]|O.)|.", re.DOTALL)
"""One key; those beyond letters come as several characters."""


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
        self._page = PagedText(self._stepper.last["text"])
        self._is_view = False
        self._typed: str | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: asyncio.Task[None] | None = None
        self._drawing = False

    async def run(self) -> None:
        """Take keys until `q` or the end of the input."""
        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno()
        forget = self._stepper.on_change(self._draw_soon)
        with _single_keys(descriptor):
            loop.add_reader(descriptor, self._read, descriptor)
            loop.add_signal_handler(signal.SIGINT, self._interrupted)
            loop.add_signal_handler(signal.SIGWINCH, self._draw)
            try:
                self._draw()
                while (key := await self._keys.get()) not in ("q", "\x04", ""):
                    self._pressed(key)
                    if not self._drawing:
                        self._draw()
            finally:
                loop.remove_reader(descriptor)
                loop.remove_signal_handler(signal.SIGINT)
                loop.remove_signal_handler(signal.SIGWINCH)
                forget()
        if self._tasks:
            await self._stepper.pause()
            await asyncio.gather(*self._tasks, return_exceptions=True)  # those that have not ended meanwhile
        print()

    def _read(self, descriptor: int) -> None:
        data = b""
        with suppress(OSError):  # the terminal is gone
            data = os.read(descriptor, 1024)
        if self._typed is not None or not data:
            self._keys.put_nowait(data.decode("utf-8", "replace"))
            return
        for key in KEY.findall(data.decode("utf-8", "replace")):
            self._keys.put_nowait(key)

    def _pressed(self, key: str) -> None:
        if self._typed is not None:
            for part in KEY.findall(key):
                self._type(part)
        elif key in MOVES:
            self._page.turn(MOVES[key])
        elif key in LINES:
            self._page.move(LINES[key])
        elif key in ASKING:
            self._typed = f"{ASKING[key]} ".lstrip()
            if key == "a":  # nobody is to answer what they cannot read whole
                self._show(self._commands.asked(), is_view=True)
        elif key == "p" and self._tasks:
            self._stepper.pause()
        elif key in KEYS:
            self._begin(KEYS[key])
        elif key.isdigit() and key != "0":
            self._begin(f"branch {key}")

    def _type(self, key: str) -> None:
        typed = self._typed
        if typed is None:  # the line has ended, and more was pasted
            self._keys.put_nowait(key)
        elif key in "\r\n":
            self._typed = None
            self._begin(typed)
        elif key in ("\x1b", "\x03"):
            self._typed = None
        elif key in "\x7f\b":
            self._typed = typed[:-1]
        elif key == "\x15":
            self._typed = ""
        elif key in MOVES and len(key) > 1:
            self._page.turn(MOVES[key])
        elif key in LINES:
            self._page.move(LINES[key])
        elif len(key) == 1 and key.isprintable():
            self._typed = typed + key

    def _interrupted(self) -> None:
        """Cancel the running commands; without any, show how to leave."""
        if self._typed is not None:
            self._typed = None
        elif self._tasks:
            for task in self._tasks:
                task.cancel()
        else:
            self._show("q quits; the thread stays where it stands.")
        self._draw()

    def _begin(self, line: str) -> None:
        self._last = asyncio.create_task(self._do(line, self._last))
        self._tasks.add(self._last)
        self._last.add_done_callback(self._tasks.discard)

    async def _do(self, line: str, before: asyncio.Task[None] | None) -> None:
        try:
            if before is not None:
                await asyncio.wait({before})
            self._show("…")
            text = KEYS_HELP + HELP if line == "help" else await self._commands.do(line)
            is_view = line.strip() in VIEWS
        except asyncio.CancelledError:  # by Ctrl-C: the run is over, the program is not
            await self._stepper.refresh()
            text, is_view = f"Interrupted; what was under way runs again. {self._stepper.last['text']}", False
        self._show(text, is_view=is_view)
        self._draw()

    def _show(self, text: str, *, is_view: bool = False) -> None:
        self._page, self._is_view = PagedText(text, CURRENT), is_view

    def _draw_soon(self) -> None:
        if not self._drawing:
            self._drawing = True
            asyncio.get_running_loop().call_later(0.05, self._draw)

    def _draw(self) -> None:
        self._drawing = False
        size, rows = shutil.get_terminal_size((80, 24))
        width = max(size - 1, 20)
        head = [cut(line, width) for line in self._head()]
        typed = "" if self._typed is None else f"> {self._typed}"
        while columns(typed) > width:  # the end is what is being typed
            typed = "…" + typed[max(2, len(typed) // 8) :]
        foot = [cut(BAR, width), cut(BAR_2, width), typed]
        room = rows - len(head) - len(foot) - 2
        standing = [] if self._is_view else self._commands.branches(width).splitlines()
        branches = [cut(line, width) for line in standing[: max(room // 2, 1)]]
        body = self._page.shown(width, max(room - len(branches), 1))
        drawn = [*head, "", *branches, *([""] if branches else []), *body]
        drawn = [*drawn[: max(rows - len(foot) - 1, 1)], *foot]
        sys.stdout.write(CLEAR + "\n".join(drawn))
        sys.stdout.flush()

    def _head(self) -> list[str]:
        """Line about the position of the stepper."""
        stepper = self._stepper
        at = "" if stepper.cursor is None else f" @{stepper.cursor}"
        head = [f"{stepper.thread_id}{at}  {stepper.status}  ({stepper.granularity} by {stepper.granularity})"]
        if shown := self._commands.subtasks():
            head.append(shown)
        if len(stepper.breakpoints):
            head.append("stops at: " + ", ".join(map(str, stepper.breakpoints)))
        return head


@contextmanager
def _single_keys(descriptor: int) -> Generator[None]:
    """Have the terminal give each key at once, unseen."""
    before: Any = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes; wide characters take two, those that combine none."""
    return sum(_columns(char) for char in text)


def _columns(char: str) -> int:
    if unicodedata.combining(char) or char in "\u200c\u200d\ufe0f":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The beginning of a line that fits."""
    if columns(text) <= width:
        return text
    while columns(text) >= width:
        text = text[:-1]
    return text + "…"


def folded(line: str, width: int) -> list[str]:
    """A line in pieces that fit, between words where that leaves no large gap."""
    pieces: list[str] = []
    piece, taken = "", 0
    for char in line.expandtabs(4):
        size = _columns(char)
        if taken + size > width:
            words, space, rest = piece.rpartition(" ")
            if space and len(rest) < width // 3:
                pieces.append(words)
                piece, taken = rest, columns(rest)
            else:
                pieces.append(piece)
                piece, taken = "", 0
        piece += char
        taken += size
    return [*pieces, piece]


class PagedText:
    """Text with a scroll position."""

    def __init__(self, text: str, mark: str = "") -> None:
        """Show a text from its beginning.

        Args:
            text: The text.
            mark: What the line that is to be seen first begins with.
        """
        self.text = text
        self._mark = mark
        self._top: int | None = None
        self._rows = 1

    def turn(self, pages: int) -> None:
        """Show the next page, or the one before for -1."""
        self.move(pages * max(self._rows - 1, 1))

    def move(self, lines: int) -> None:
        """Show what is so many lines further, or before for less than 0."""
        self._top = (self._top or 0) + lines

    def shown(self, width: int, rows: int) -> list[str]:
        """Lines that fit, with a line about the rest if there is any."""
        lines = [piece for line in self.text.splitlines() or [""] for piece in folded(line, width)]
        if len(lines) <= rows:
            self._top, self._rows = 0, rows
            return lines
        self._rows = rows = max(rows - 1, 1)
        if self._top is None:
            marked = next((place for place, line in enumerate(lines) if self._mark and line.startswith(self._mark)), 0)
            self._top = marked - rows + 1
        top = self._top = min(max(self._top, 0), len(lines) - rows)
        position = f"── lines {top + 1} to {top + rows} of {len(lines)}: space further, - back, arrows a line"
        return [*lines[top : top + rows], cut(position, width)]

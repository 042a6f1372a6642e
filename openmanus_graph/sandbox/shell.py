"""Shell: one bash inside the sandbox that keeps its state from command to command.

It is an interactive bash without a terminal: only that kind survives an interrupt, a syntax error or an unset
variable in the middle of what it runs. Commands go in quoted, as one `eval` each; the exit status comes back
on a channel of its own, so nothing that a command prints can be taken for it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from asyncio.subprocess import PIPE
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SandboxUnavailableError
from openmanus_graph.sandbox.bridge import WayOut
from openmanus_graph.sandbox.capture import Capture
from openmanus_graph.sandbox.channel import Channel
from openmanus_graph.sandbox.launch import Level
from openmanus_graph.sandbox.process import SandboxProcess, open_process
from openmanus_graph.sandbox.tree import TreeProcess, machine_time

_BASH = ("bash", "--norc", "--noprofile", "--noediting", "-i", "+m")
_START_S = 30.0
_INTERRUPT_S = 2.0
_INTERRUPTS = 8
_KILL_S = 1.0
_SETTLED = "settled"
# The prompt goes first; `exit` of an interactive bash announces itself on stderr unless told not to.
_SET_UP = """\
PS1= PS2= ; set +o history ; set +H ; unset MAIL MAILPATH HISTFILE
exit() { builtin exit "${1-$?}" 2>/dev/null; }
"""


@dataclass(frozen=True)
class ShellOutcome:
    """How a command came out."""

    stdout: str
    """What came on standard output, head and tail of a flood."""
    stderr: str
    """The same for standard error."""
    exit_code: int | None
    """Exit status, or `None` while something is still running."""
    timed_out: bool = False
    """Whether it was ended because its time was up."""


class Shell:
    """A running bash; after its end (`alive` is false) only `aclose` is left to call."""

    def __init__(self, process: SandboxProcess, channel: Channel, stdout: Capture, stderr: Capture) -> None:
        self._process = process
        self._channel = channel
        self._stdout = stdout
        self._stderr = stderr
        self._shell_pid = 0
        self._started: float | None = None
        self._stop_asked = asyncio.Event()
        self._ended = asyncio.Event()
        self._broken = False
        self.last_exit_code = 0
        """Exit status of the last command that ended."""

    @classmethod
    async def open(cls, workspace: Path, level: Level, settings: Settings, way_out: WayOut | None = None) -> Shell:
        """Start a bash in `workspace`.

        Raises:
            SandboxUnavailableError: If it cannot be started at this level.
        """
        channel, stdout, stderr = await Channel.open(), Capture(), Capture()
        try:
            process = await open_process(
                _BASH,
                workspace=workspace,
                level=level,
                settings=settings,
                stdin=PIPE,
                stdout=stdout.write_end,
                stderr=stderr.write_end,
                pass_fds=[channel.write_end],
                way_out=way_out,
            )
        except BaseException:
            for pipe in (channel, stdout, stderr):
                pipe.close()
            raise
        shell = cls(process, channel, stdout, stderr)
        try:
            await shell._greet(level)
        except BaseException:
            await shell.aclose()
            raise
        return shell

    async def _greet(self, level: Level) -> None:
        descriptor = self._descriptor = self._channel.write_end
        for pipe in (self._channel, self._stdout, self._stderr):
            pipe.close_write_end()
        self._status_line = f"builtin printf '%s\\n' \"$?\" >&{descriptor}\n"
        self._control = f"{descriptor}>&-"
        self._write(f"{_SET_UP}builtin printf '%s\\n' \"$$\" >&{descriptor}\n")
        try:
            answer = await asyncio.wait_for(self._channel.read_line(), _START_S)
        except TimeoutError:
            answer = None
        if answer is None or not answer.isdigit():
            lines = self._stderr.take().strip().splitlines()
            reason = lines[-1] if lines else "no answer"
            raise SandboxUnavailableError(
                f"The shell cannot be started at the sandbox level {level!r}: {reason}.",
                hint=f"See what works on this machine with: {shell_commands.DOCTOR}",
            )
        self._shell_pid = int(answer)
        # The clock of processes ticks too slowly to tell these from what the first command starts.
        self._own = {process.pid for process in self._process.tree()}
        self._stdout.take()
        self._stderr.take()

    @property
    def alive(self) -> bool:
        """Whether it takes commands."""
        return not self._broken and self._process.returncode is None

    @property
    def busy(self) -> bool:
        """Whether a command is running in the foreground."""
        return self._started is not None

    def peek(self) -> ShellOutcome:
        """The output of the running command so far; its outcome will hold it as well."""
        return ShellOutcome(self._stdout.text(), self._stderr.text(), None)

    def take(self) -> ShellOutcome:
        """The output since the last command ended, from processes that it left in the background."""
        running = any(self._below_shell())
        code = None if running else self.last_exit_code
        return ShellOutcome(self._stdout.take(), self._stderr.take(), code)

    async def run(self, command: str, timeout_s: float) -> ShellOutcome:
        """Run `command` to its end, or until its time is up.

        After `timeout_s` it gets what a terminal sends on Ctrl-C, SIGINT to the shell and its group. Two
        seconds later whatever it started is killed; if even then the shell does not come back, it is killed
        as well. Output until then is kept.
        """
        self._started = machine_time()
        self._stop_asked.clear()
        self._ended.clear()
        timed_out = False
        status = asyncio.create_task(self._status())
        stop = asyncio.create_task(self._stop_asked.wait())
        try:
            self._write(f"eval -- {shlex.quote(command)} </dev/null {self._control}\n{self._status_line}")
            done, _ = await asyncio.wait([status, stop], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if status not in done:
                timed_out = stop not in done
                await self._stop(status)
            self.last_exit_code = await status
        except BaseException:
            # Cancelled: nobody waits for the rest, and the next command must not meet it.
            self.kill()
            raise
        finally:
            status.cancel()
            stop.cancel()
            self._started = None
            self._ended.set()
        code = self.last_exit_code
        return ShellOutcome(self._stdout.take(), self._stderr.take(), code, timed_out)

    async def _status(self) -> int:
        """Exit status of the running command, or of the shell if the command ended it."""
        line = await self._channel.read_line()
        while line is not None and line.startswith(_SETTLED):
            line = await self._channel.read_line()
        return int(line) if line is not None and line.isdigit() else await self._process.wait()

    async def _stop(self, status: asyncio.Task[int]) -> None:
        started = self._started or 0.0
        for _ in range(_INTERRUPTS):
            self._send_interrupt()
            await asyncio.wait([status], timeout=_INTERRUPT_S / _INTERRUPTS)
            if status.done():
                break
        for process in self._since(started):
            process.send(signal.SIGKILL)
        if not status.done():
            await asyncio.wait([status], timeout=_KILL_S)
        if not status.done():
            await self._process.aclose()
        elif self._process.returncode is None:
            await self._settle()

    async def _settle(self) -> None:
        """Wait until the shell answers again, so that a late interrupt cannot hit the next command.

        On a busy machine an interrupt may arrive when its command has ended already; the shell then throws away
        the line it reads, which must not be one that somebody waits for.
        """
        for number in range(_INTERRUPTS):
            self._write(f"builtin printf '%s\\n' {_SETTLED}{number} >&{self._descriptor}\n")
            line: str | None = ""
            with suppress(TimeoutError):
                while line is not None and line != f"{_SETTLED}{number}":
                    line = await asyncio.wait_for(self._channel.read_line(), _KILL_S)
                return
        await self._process.aclose()

    def _send_interrupt(self) -> None:
        """SIGINT to the shell and its group at once: one after the other, a loop of the shell would go on."""
        for shell in self._shell():
            if shell.group == os.getpgrp():
                shell.send(signal.SIGINT)
            else:
                with suppress(ProcessLookupError):
                    os.killpg(shell.group, signal.SIGINT)

    async def interrupt(self) -> int:
        """End the running command as its timeout would; its exit status."""
        self._stop_asked.set()
        await self._ended.wait()
        return self.last_exit_code

    def kill(self) -> None:
        """End the shell at once, and what it runs."""
        self._broken = True
        self._process.kill()

    def _shell(self) -> list[TreeProcess]:
        return [process for process in self._process.tree() if process.inner_pid() == self._shell_pid][:1]

    def _below_shell(self) -> list[TreeProcess]:
        known = {process.pid for process in self._shell()}
        below: list[TreeProcess] = []
        for process in self._process.tree():
            if process.parent in known:
                known.add(process.pid)
                below.append(process)
        return below

    def _since(self, started: float) -> list[TreeProcess]:
        """Processes that the running command started, wherever they are in the tree now."""
        tick = 1.0 / os.sysconf("SC_CLK_TCK")
        tree = self._process.tree()
        return [process for process in tree if process.pid not in self._own and process.started >= started - tick]

    def _write(self, text: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(text.encode("utf-8", errors="surrogateescape"))

    async def aclose(self) -> None:
        """End the shell and everything it started."""
        await self._process.aclose()
        for pipe in (self._channel, self._stdout, self._stderr):
            pipe.close()

"""Bash: the tool that runs shell commands in one persistent, confined session."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.sandbox.shell import Shell, ShellOutcome
from openmanus_graph.tools.spec import ToolSpec, builtin_tool

INTERRUPT = "ctrl+c"
DEFAULT_TIMEOUT_S = 120.0

_SPEC = ToolSpec(
    effect="write",
    returns={"stdout": TEXT, "stderr": TEXT, "exit_code": TEXT, "timed_out": TEXT},
    takes_code=True,
    runs_commands=True,
)


class BashArguments(BaseModel):
    """What the tool takes."""

    command: str = Field(
        default="",
        description="The command to run. An empty string fetches more output; `ctrl+c` interrupts.",
    )
    restart: bool = Field(default=False, description="End the session and start a new one; no command then.")
    timeout_s: float = Field(
        default=DEFAULT_TIMEOUT_S, gt=0, description="Seconds the command may take, 120 by default."
    )


class BashSession:
    """The shell of one subtask, replaced by a new one when it has ended."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._shell: Shell | None = None
        self._turn = asyncio.Lock()

    async def run(self, command: str, timeout_s: float) -> ShellOutcome:
        """Run a command; calls of one subtask wait for each other."""
        async with self._turn:
            shell = await self._ready()
            outcome = await shell.run(command, timeout_s)
            if not shell.alive:
                await self._discard()
                note = "[The session ended with this command; the next one starts a new session.]"
                outcome = ShellOutcome(
                    outcome.stdout, _add_line(outcome.stderr, note), outcome.exit_code, outcome.timed_out
                )
            return outcome

    async def fetch(self) -> ShellOutcome:
        """Output that has come since, without waiting for anything."""
        if self._shell is None:
            return ShellOutcome("", "", 0)
        return self._shell.peek() if self._shell.busy else self._shell.take()

    async def interrupt(self) -> ShellOutcome:
        """Interrupt the command that another call is running."""
        shell = self._shell
        if shell is None or not shell.busy:
            outcome = await self.fetch()
            note = "[Nothing is running in the foreground.]"
            return ShellOutcome(outcome.stdout, _add_line(outcome.stderr, note), outcome.exit_code)
        outcome = shell.peek()
        return ShellOutcome(outcome.stdout, outcome.stderr, await shell.interrupt())

    async def restart(self) -> ShellOutcome:
        """End the session, whatever it runs, and start a new one."""
        if self._shell is not None:
            self._shell.kill()
        async with self._turn:
            await self._discard()
            await self._ready()
        return ShellOutcome("", "[The session was restarted.]", 0)

    async def aclose(self) -> None:
        """End the session."""
        await self._discard()

    async def _ready(self) -> Shell:
        if self._shell is not None and not self._shell.alive:
            await self._discard()
        if self._shell is None:
            context = self._context
            level = await asyncio.to_thread(choose_level, context.sandbox, context.settings)
            self._shell = await Shell.open(context.workspace, level, context.settings)
        return self._shell

    async def _discard(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            await shell.aclose()


def _add_line(text: str, line: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}"


@builtin_tool("bash", BashArguments, _SPEC)
async def bash(command: str = "", restart: bool = False, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
    """Run a bash command in the workspace, in one session that keeps directory and variables between calls.

    Returns stdout, stderr, exit_code and timed_out. Commands get no input. One that takes longer than
    timeout_s is interrupted and then killed with everything it started; its output so far is returned with
    timed_out, and the session goes on. Start what must run longer in the background with `&`, its output
    redirected to a file or fetched later with an empty command (exit_code is null while it runs). The
    command `ctrl+c` interrupts what another call is running; restart gives a new session.
    """
    context = tool_context()
    if "\0" in command:
        raise ToolArgumentsError("The argument 'command' contains a NUL character.", hint="Leave it out.")

    async def opener() -> BashSession:
        return BashSession(context)

    session = await context.sessions.get("bash", opener)
    if restart:
        context.report("restarting the shell")
        outcome = await session.restart()
    elif command.strip().lower() == INTERRUPT:
        outcome = await session.interrupt()
    elif not command.strip():
        outcome = await session.fetch()
    else:
        context.report(command.strip().splitlines()[0][:80])
        outcome = await session.run(command, timeout_s)
    return {
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "exit_code": outcome.exit_code,
        "timed_out": outcome.timed_out,
    }

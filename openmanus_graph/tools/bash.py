"""Bash: the tool that runs shell commands in one persistent, confined session."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from openmanus_graph.context import ToolContext, tool_context
from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.plans.references import as_text
from openmanus_graph.sandbox.level import choose_level
from openmanus_graph.sandbox.shell import Shell, ShellOutcome
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.sandbox_network import SandboxNetwork, with_hosts

INTERRUPT = "ctrl+c"
DEFAULT_TIMEOUT_S = 120.0

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_SPEC = ToolSpec(
    effect="write",
    returns={"stdout": TEXT, "stderr": TEXT, "exit_code": TEXT, "timed_out": TEXT},
    takes_code=True,
    runs_commands=True,
    code_argument="command",
)


class BashArguments(BaseModel):
    """What the tool takes."""

    command: str = Field(
        default="", description="The command. Empty: fetch more output. `ctrl+c`: interrupt what runs."
    )
    variables: dict[str, Any] | None = Field(
        default=None,
        description='Shell variables set before it, by name: how text of any content reaches a command, as "$name".',
    )
    restart: bool = Field(default=False, description="Start a new session; no command then.")
    timeout_s: float = Field(default=DEFAULT_TIMEOUT_S, gt=0, description="Seconds it may take.")


class BashSession:
    """The shell of one subtask, replaced by a new one when it has ended."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context
        self._shell: Shell | None = None
        self._network = SandboxNetwork(context.settings)
        self._turn = asyncio.Lock()

    async def run(self, command: str, timeout_s: float, assignments: str = "") -> ShellOutcome:
        """Run a command after assignments; calls of one subtask wait for each other."""
        async with self._turn:
            shell = await self._ready()
            outcome = await shell.run(assignments, timeout_s) if assignments else None
            if outcome is None or not outcome.exit_code:
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

    def hosts(self) -> list[str]:
        """What is to be told of hosts that were asked for since this was called last."""
        return self._network.told()

    async def aclose(self) -> None:
        """End the session."""
        await self._discard()
        await self._network.aclose()

    async def _ready(self) -> Shell:
        if self._shell is not None and not self._shell.alive:
            await self._discard()
        if self._shell is None:
            context = self._context
            level = await asyncio.to_thread(choose_level, context.sandbox, context.settings)
            way_out = await self._network.renewed(level, context)
            self._shell = await Shell.open(context.workspace, level, context.settings, way_out)
        return self._shell

    async def _discard(self) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            await shell.aclose()


def _assignments(variables: Mapping[str, Any]) -> str:
    """Shell variables as a command, each value quoted; what is no text is written as JSON.

    Raises:
        ToolArgumentsError: If a name is none of a shell variable, or a value holds what a shell cannot.
    """
    lines: list[str] = []
    for name, value in variables.items():
        text = as_text(value)
        if not _NAME.fullmatch(name):
            raise ToolArgumentsError(f"The argument 'variables' has {name!r}, which is no name of a shell variable.")
        if "\0" in text:
            raise ToolArgumentsError(f"The variable {name!r} contains a NUL character.", hint="Leave it out.")
        lines.append(f"{name}={shlex.quote(text)}")
    return "\n".join(lines)


def _add_line(text: str, line: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}"


@builtin_tool("bash", BashArguments, _SPEC)
async def bash(
    command: str = "",
    variables: dict[str, Any] | None = None,
    restart: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> dict[str, Any]:
    """Run a bash command in the workspace; directory and variables are kept from call to call.

    Returns stdout, stderr, exit_code and timed_out. There is no input. After timeout_s a command is killed with
    all that it started; its output so far is returned, and the session goes on. Start what runs longer with `&`,
    its output in a file or fetched later (exit_code is null while it runs).
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
        outcome = await session.run(command, timeout_s, _assignments(variables or {}))
    output = {
        "stdout": outcome.stdout,
        "stderr": outcome.stderr,
        "exit_code": outcome.exit_code,
        "timed_out": outcome.timed_out,
    }
    return with_hosts(output, session.hosts(), context)

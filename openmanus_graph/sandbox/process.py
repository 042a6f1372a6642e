"""Process: a confined process tree, from its start to the end of all of it."""

from __future__ import annotations

import asyncio
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SandboxUnavailableError
from openmanus_graph.sandbox.bridge import WayOut, serve_bridge
from openmanus_graph.sandbox.launch import Launch, Level, prepare_launch
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.tree import TreeProcess, tree_below

_BRIDGE_S = 30.0
"""Seconds in which a process must have opened the port of its way out."""
_PATIENCE_S = 5.0
"""Seconds a tree has to end in the orderly way before its root is killed."""


class SandboxProcess:
    """A process running at a level, together with everything it started.

    When it ends, everything it started ends too, detached daemons included; so it does when our own process
    dies, or the thread that started it.
    """

    def __init__(self, process: asyncio.subprocess.Process, level: Level) -> None:
        self._process = process
        self.level: Level = level
        """The level it runs at."""

    @property
    def pid(self) -> int:
        """Number of the process that holds the tree; the command is below it."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, 128 + n after signal n, or `None` while it runs."""
        code = self._process.returncode
        return code if code is None or code >= 0 else 128 - code

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """Its standard input, if it was opened with `PIPE`."""
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """Its standard output, if it was opened with `PIPE`."""
        return self._process.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """Its standard error, if it was opened with `PIPE`."""
        return self._process.stderr

    def tree(self) -> list[TreeProcess]:
        """The live processes of the tree, those that only hold it included."""
        return [] if self.returncode is not None else tree_below(self.pid)

    async def wait(self) -> int:
        """Wait for its end; the exit code."""
        await self._process.wait()
        return self.returncode or 0

    async def communicate(self, data: bytes | None = None) -> tuple[bytes, bytes]:
        """Send `data`, read both outputs to their end, and wait."""
        stdout, stderr = await self._process.communicate(data)
        return stdout or b"", stderr or b""

    def kill(self) -> None:
        """Ask for the end of the whole tree at once, without waiting for it."""
        if self.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if self.level != "bubblewrap":
                # The supervisor ends what is below it; killed itself, it could not.
                self._process.send_signal(signal.SIGTERM)
                return
            # The first process inside takes all the others with it before it is gone; bubblewrap follows.
            first = [process for process in tree_below(self.pid) if process.parent == self.pid]
            for process in first:
                process.send(signal.SIGKILL)
            if not first:
                self._process.kill()

    async def aclose(self) -> None:
        """End the whole tree and wait until it has ended."""
        self.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def open_process(
    argv: Sequence[str],
    *,
    workspace: Path,
    level: Level,
    settings: Settings,
    limits: SandboxLimits | None = None,
    stdin: int = DEVNULL,
    stdout: int = PIPE,
    stderr: int = PIPE,
    pass_fds: Sequence[int] = (),
    way_out: WayOut | None = None,
    read_only: bool = False,
    besides: Sequence[str] = (),
) -> SandboxProcess:
    """Start `argv` in `workspace` at a level; close it with `aclose`.

    Args:
        argv: The program and its arguments.
        workspace: Absolute path of an existing folder: the only one it may write to, besides a temporary one.
        level: As `choose_level` says.
        settings: The account to drop to as root.
        limits: What it may use up; `None` means the defaults.
        stdin: As in `asyncio.create_subprocess_exec`.
        stdout: The same.
        stderr: The same.
        pass_fds: Descriptors it inherits under the same numbers.
        way_out: Serves the port that its environment names as its proxy, at the level `bubblewrap` only; the caller
            closes it. `None` gives it no network, but at the level `none`.
        read_only: Whether it may only read the workspace; at the level `none` nothing holds it to that.
        besides: Files and folders it may read at the level `landlock`; at others it does without them.

    Raises:
        SandboxUnavailableError: If the level cannot work here, or has no way out.
    """
    prepared = partial(
        prepare_launch,
        argv,
        workspace=workspace,
        level=level,
        settings=settings,
        limits=limits or SandboxLimits(),
        read_only=read_only,
        besides=besides,
    )
    standard = (stdin, stdout, stderr)
    if way_out is None:
        return await _start(prepared(), level, standard, pass_fds)
    return await _start_with_way_out(prepared, level, standard, pass_fds, way_out)


async def _start_with_way_out(
    prepared: Callable[..., AbstractContextManager[Launch]],
    level: Level,
    standard: tuple[int, int, int],
    pass_fds: Sequence[int],
    way_out: WayOut,
) -> SandboxProcess:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            given, control = [*pass_fds, theirs.fileno()], theirs.fileno()
            process = await _start(prepared(control=control, hosts=way_out.hosts), level, standard, given)
        try:
            # One that ends before says why to whoever reads its output.
            async with asyncio.timeout(_BRIDGE_S):
                await serve_bridge(ours, way_out)
        except TimeoutError as error:
            await process.aclose()
            raise SandboxUnavailableError(
                f"The confined process has not opened its way out within {_BRIDGE_S:g} s.",
                hint=f"See what works on this machine with: {shell_commands.DOCTOR}",
            ) from error
        except BaseException:
            await process.aclose()
            raise
    return process


async def _start(
    prepared: AbstractContextManager[Launch],
    level: Level,
    standard: tuple[int, int, int],
    pass_fds: Sequence[int],
) -> SandboxProcess:
    with prepared as launch:
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            stdin=standard[0],
            stdout=standard[1],
            stderr=standard[2],
            env=launch.environment,
            cwd=launch.workspace,
            pass_fds=[*launch.descriptors, *pass_fds],
            start_new_session=True,  # Ctrl-C at the terminal pauses the run; what it has started goes on
        )
    return SandboxProcess(process, level)


@dataclass(frozen=True)
class Finished:
    """Exit code and outputs of a process that has ended."""

    stdout: bytes
    """What it wrote to standard output."""
    stderr: bytes
    """What it wrote to standard error."""
    exit_code: int
    """Its exit code, 128 + n after signal n."""
    timed_out: bool
    """Whether it was ended because its time was up; its output is lost then."""


async def run_process(
    argv: Sequence[str],
    *,
    workspace: Path,
    level: Level,
    settings: Settings,
    limits: SandboxLimits | None = None,
    timeout_s: float = 60.0,
) -> Finished:
    """Run `argv` to its end at a level, for commands whose output is known to be small.

    Args:
        argv: The program and its arguments.
        workspace: As for `open_process`.
        level: As for `open_process`.
        settings: As for `open_process`.
        limits: As for `open_process`.
        timeout_s: Seconds until it is ended.

    Raises:
        SandboxUnavailableError: If the level cannot work here.
    """
    process = await open_process(argv, workspace=workspace, level=level, settings=settings, limits=limits)
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        await process.aclose()
        return Finished(b"", b"", process.returncode or 0, timed_out=True)
    except BaseException:
        await process.aclose()
        raise
    return Finished(stdout, stderr, process.returncode or 0, timed_out=False)

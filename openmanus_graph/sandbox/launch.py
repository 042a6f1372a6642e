"""Launch: the command line, environment and descriptors that start a process at a level."""

from __future__ import annotations

import json
import os
import pwd
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SandboxUnavailableError, SettingsError
from openmanus_graph.sandbox import launcher
from openmanus_graph.sandbox.bridge import bridged, proxy_environment
from openmanus_graph.sandbox.bubblewrap import bubblewrap_command, find_bubblewrap
from openmanus_graph.sandbox.landlock import landlock_confinement
from openmanus_graph.sandbox.layout import (
    SYSTEM_FOLDERS,
    confined_environment,
    interpreter_paths,
    open_environment,
)
from openmanus_graph.sandbox.limits import SandboxLimits

Level = Literal["bubblewrap", "landlock", "none"]
"""A way to confine a process, strongest first; `none` is no confinement."""

INSTALL_BUBBLEWRAP = f"Install it with: {shell_commands.INSTALL_BUBBLEWRAP}"
_NOT_A_WORKSPACE = ("/", "/etc", "/proc", "/dev", "/sys", *SYSTEM_FOLDERS)


@dataclass(frozen=True)
class Launch:
    """Arguments, environment and descriptors of an `exec` at a level."""

    argv: list[str]
    """The command line, confinement included."""
    environment: dict[str, str]
    """The whole environment."""
    workspace: Path
    """The folder to start in."""
    descriptors: tuple[int, ...]
    """Descriptors to pass on, besides the standard three."""


@contextmanager
def prepare_launch(
    argv: Sequence[str],
    *,
    workspace: Path,
    level: Level,
    settings: Settings,
    limits: SandboxLimits,
    control: int | None = None,
    hosts: Sequence[str] = (),
    read_only: bool = False,
    besides: Sequence[str] = (),
) -> Generator[Launch]:
    """Put a launch together; its descriptors are open until the block ends.

    Args:
        argv: What to run.
        workspace: The folder to start in.
        level: How to confine it.
        settings: The account to drop to as root.
        limits: What it may use up.
        control: The descriptor by which the listener of its way out goes out; `None` gives it no way out.
        hosts: The hosts that the way out leads to.
        read_only: Whether it may only read the workspace; at the level `none` nothing holds it to that.
        besides: Files and folders it may read at the level `landlock`; at others it does without them.

    Raises:
        SandboxUnavailableError: If the level cannot work here, or cannot have a way out, or the workspace is a system
            folder.
        SettingsError: If the account to drop to does not exist or is root.
    """
    if str(workspace) in _NOT_A_WORKSPACE or not workspace.is_absolute():
        raise SandboxUnavailableError(
            f"The folder {str(workspace)!r} cannot be a workspace.", hint="Name another one with --workspace."
        )
    if control is not None and level != "bubblewrap":
        raise SandboxUnavailableError(
            f"A process at the sandbox level {level!r} cannot be given a way out that is the only one.",
            hint=f"See what works on this machine with: {shell_commands.DOCTOR}",
        )
    descriptors: list[int] = []
    try:
        if level == "none":
            command = _through_launcher(argv, workspace, None, None, supervise=True)
            environment = open_environment()
        else:
            environment = confined_environment()
            account = account_of(settings)
            if level == "bubblewrap":
                if control is not None:
                    argv = bridged(argv, control)
                    environment |= proxy_environment(hosts)
                seen = {"networked": control is not None, "read_only": read_only}
                command, descriptors = _bubblewrap(argv, workspace, account, limits, **seen)
            else:
                confinement = landlock_confinement(interpreter_paths(), limits, read_only=read_only, besides=besides)
                command = _through_launcher(argv, workspace, account, confinement, supervise=True)
        yield Launch(command, environment, workspace, tuple(descriptors))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _bubblewrap(
    argv: Sequence[str],
    workspace: Path,
    account: tuple[int, int] | None,
    limits: SandboxLimits,
    *,
    networked: bool,
    read_only: bool,
) -> tuple[list[str], list[int]]:
    program = find_bubblewrap()
    if program is None:
        raise SandboxUnavailableError("The program bubblewrap is not installed.", hint=INSTALL_BUBBLEWRAP)
    command, descriptors = bubblewrap_command(
        program,
        argv,
        workspace=workspace,
        readable=interpreter_paths(),
        limits=limits,
        networked=networked,
        read_only=read_only,
    )
    if account is not None:
        command = _through_launcher(command, workspace, account, None, supervise=False)
    return command, descriptors


def _through_launcher(
    argv: Sequence[str],
    workspace: Path,
    account: tuple[int, int] | None,
    confine: dict[str, Any] | None,
    *,
    supervise: bool,
) -> list[str]:
    real = workspace.resolve()
    config = {
        "argv": list(argv),
        "account": account,
        "paths": list(dict.fromkeys([*map(str, interpreter_paths()), str(workspace), str(real)])),
        "workspace": str(workspace),
        "supervise": supervise,
        "confine": confine,
        "parent": os.getpid(),
    }
    return [sys.executable, "-I", "-S", launcher.__file__, json.dumps(config)]


def account_of(settings: Settings) -> tuple[int, int] | None:
    """The account to drop to as root; `None` for everybody else, who has nothing to drop.

    Raises:
        SettingsError: If it does not exist or is root.
    """
    if os.geteuid() != 0:
        return None
    name = settings.sandbox_account
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        found = None
    if found is None or found.pw_uid == 0:
        problem = "does not exist" if found is None else "is root"
        raise SettingsError(
            f"The setting 'sandbox_account' names {name!r}, which {problem}.",
            hint="Set OPENMANUS_GRAPH_SANDBOX_ACCOUNT to an account without rights, such as nobody.",
        )
    return found.pw_uid, found.pw_gid

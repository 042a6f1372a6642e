"""Bubblewrap: the command line of the strongest level.

Every namespace is unshared, the root is an empty one into which only the system's programs, the interpreter
and the workspace are mounted, and the command starts under process limits and the filter of `seccomp.py`.
Limits are set inside: within a user namespace of its own the kernel counts the processes of this tree alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from openmanus_graph.sandbox.layout import CERTIFICATES, SYSTEM_FILES, SYSTEM_FOLDERS
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.seccomp import build_filter

USER = 1000
"""The account's number inside, whoever it is outside."""
_IN_MEMORY = ("/dev/shm", "/tmp")  # noqa: S108 - of the sandbox, not of the machine
PASSWD = f"user:x:{USER}:{USER}::/tmp:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
GROUP = f"user:x:{USER}:\nnogroup:x:65534:\n"


def find_bubblewrap() -> str | None:
    """The path of `bwrap`, or `None` where it is not installed."""
    return shutil.which("bwrap")


def bubblewrap_command(
    program: str,
    argv: Sequence[str],
    *,
    workspace: Path,
    readable: Sequence[Path],
    limits: SandboxLimits,
    networked: bool = False,
    read_only: bool = False,
) -> tuple[list[str], list[int]]:
    """The command line that runs `argv` confined, and the descriptors it reads.

    Args:
        program: The path of `bwrap`.
        argv: What to run.
        workspace: The folder it may write to, at the same path inside, and where it starts.
        readable: Files and folders it may read besides the system's programs.
        limits: What it may use up.
        networked: Whether it has a way out, and so needs the certificates that it may trust.
        read_only: Whether it may only read the workspace.

    Returns:
        The command line, and descriptors to pass on to it and then close here.
    """
    command = [program, "--unshare-all", "--unshare-user", "--uid", str(USER), "--gid", str(USER)]
    command += ["--hostname", "sandbox", "--die-with-parent", "--new-session"]
    command += system_mounts()
    for name in CERTIFICATES if networked else ():
        command += ["--ro-bind-try", name, name]
    descriptors: list[int] = []
    for text, target in ((PASSWD, "/etc/passwd"), (GROUP, "/etc/group")):
        descriptors.append(_memory_file(text.encode()))
        command += ["--ro-bind-data", str(descriptors[-1]), target]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder in _IN_MEMORY:
        command += ["--size", str(limits.temporary), "--tmpfs", folder]
    command += ["--remount-ro", "/dev"]
    binds = [(path, "--ro-bind") for path in readable]
    binds += [(path, "--ro-bind" if read_only else "--bind") for path in {workspace, workspace.resolve()}]
    # Parents first, so that what lies inside a folder is mounted over it and not under it.
    for path, option in sorted(binds):
        command += [option, str(path.resolve()), str(path)]
    command += ["--remount-ro", "/", "--chdir", str(workspace)]
    descriptors.append(_memory_file(build_filter(deny_sockets=False)))
    command += ["--seccomp", str(descriptors[-1]), "--"]
    # When memory runs out, the kernel shall take this tree first.
    command += ["choom", "-n", "1000", "--", *limits.prlimit(), *argv]
    return command, descriptors


def system_mounts() -> list[str]:
    """The options that mount the system's programs and libraries, read-only."""
    options: list[str] = []
    for name in SYSTEM_FOLDERS:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    for name in SYSTEM_FILES:
        options += ["--ro-bind-try", name, name]
    return options


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("openmanus-graph")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor

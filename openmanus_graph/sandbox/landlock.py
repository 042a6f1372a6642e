"""Landlock: the paths that the second level grants, and the version that this kernel has.

Landlock decides about files, TCP, signals and abstract sockets. UDP, and sockets that are files, it does not
see: through the desktop's message bus or a container daemon's socket a process could have itself run
unconfined. So at this level the filter refuses `socket` altogether; `socketpair` and pipes are left.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from openmanus_graph.sandbox.layout import SYSTEM_FILES, SYSTEM_FOLDERS
from openmanus_graph.sandbox.limits import SandboxLimits
from openmanus_graph.sandbox.seccomp import build_filter

NEEDED_VERSION = 4
"""The first version of the interface that confines TCP (Linux 6.7)."""

_CREATE_RULESET, _ASK_VERSION = 444, 1
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def landlock_version() -> int:
    """Version of the kernel's Landlock interface; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_VERSION)))


def landlock_confinement(
    readable: Sequence[Path], limits: SandboxLimits, *, read_only: bool = False, besides: Sequence[str] = ()
) -> dict[str, Any]:
    """The rules that the launcher enforces, as plain values for its JSON.

    Args:
        readable: Files and folders the process may read besides the system's programs.
        limits: What it may use up.
        read_only: Whether it may only read the workspace.
        besides: Files and folders it may read besides, as far as they are there.
    """
    system = [name for name in (*SYSTEM_FOLDERS, *SYSTEM_FILES, *besides) if Path(name).exists()]
    return {
        "readable": [*system, *map(str, readable)],
        "devices": [name for name in _DEVICES if Path(name).exists()],
        "read_only": read_only,
        "limits": list(limits.rlimits().items()),
        "processes": limits.processes,
        "filter": build_filter(deny_sockets=True).hex(),
    }

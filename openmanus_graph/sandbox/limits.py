"""Limits: what one confined process tree may use up."""

from __future__ import annotations

import resource
from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(frozen=True)
class SandboxLimits:
    """What one confined process tree may use up; see `setrlimit(2)`."""

    memory: int = 2 * GIB
    """Bytes of private writable memory, per process."""
    address_space: int = 8 * GIB
    """Bytes of address space, per process; more than `memory`: runtimes reserve what they never use."""
    processes: int = 256
    """Processes and threads alive at a time, of the whole tree."""
    file_size: int = GIB
    """Bytes of any one file written."""
    open_files: int = 1024
    """File descriptors, per process."""
    cpu_s: int = 3600
    """Seconds of processor time, per process."""
    temporary: int = 512 * MIB
    """Bytes of `/tmp`, and again of `/dev/shm`, where they are in memory (bubblewrap)."""

    def rlimits(self) -> dict[int, int]:
        """Limit by resource number, none above what this process may set; processes are left out."""
        wanted = {
            resource.RLIMIT_DATA: self.memory,
            resource.RLIMIT_AS: self.address_space,
            resource.RLIMIT_FSIZE: self.file_size,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_CPU: self.cpu_s,
            resource.RLIMIT_CORE: 0,
        }
        return {number: _within(number, value) for number, value in wanted.items()}

    def prlimit(self) -> list[str]:
        """The `prlimit` command that sets the limits and runs what follows."""
        limits = self.rlimits() | {resource.RLIMIT_NPROC: _within(resource.RLIMIT_NPROC, self.processes)}
        return ["prlimit", *(f"--{_OPTIONS[number]}={value}" for number, value in limits.items()), "--"]


_OPTIONS = {
    resource.RLIMIT_DATA: "data",
    resource.RLIMIT_AS: "as",
    resource.RLIMIT_FSIZE: "fsize",
    resource.RLIMIT_NOFILE: "nofile",
    resource.RLIMIT_CPU: "cpu",
    resource.RLIMIT_CORE: "core",
    resource.RLIMIT_NPROC: "nproc",
}


def _within(number: int, value: int) -> int:
    _, most = resource.getrlimit(number)
    return value if most == resource.RLIM_INFINITY else min(value, most)

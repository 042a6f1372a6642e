"""Seccomp: the deny filter of confined processes, assembled here as classic BPF.

bubblewrap loads no filter of its own, so `keyctl`, `bpf` and their like would be reachable. The filter allows
what it does not name: it is a list of the kernel's doors that no shell or Python job needs, not a policy
for every call. Numbers are those of the kernel's `unistd` tables, layout that of `seccomp(2)`.
"""

from __future__ import annotations

import errno
import os
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_LOAD, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCH_AT, _ARGS_AT = 0, 4, 16
_X32_BIT = 0x40000000
_NEW_NAMESPACES = 0x7E020000
"""The `CLONE_NEW*` bits that fit into `clone`'s flags: mount, cgroup, uts, ipc, user, pid, net."""
_SET_ID = 0o6000
_O_CREAT_TMPFILE = os.O_CREAT | 0o20000000
_TERMINAL_INJECTION = (0x5412, 0x541C)
"""`TIOCSTI` and `TIOCLINUX`: typing into the terminal that started us."""

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True)
class Architecture:
    """One machine: what the kernel calls it, and its call numbers."""

    audit: int
    """The `AUDIT_ARCH_*` value of `seccomp_data.arch`."""
    denied: dict[str, int]
    """Calls refused with `EPERM` whatever their arguments."""
    calls: dict[str, int]
    """Calls whose arguments are looked at."""


_SAME_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "open_tree_attr": 467,
}

_X86_64 = Architecture(
    audit=0xC000003E,
    denied=_SAME_EVERYWHERE
    | {
        "ptrace": 101,
        "syslog": 103,
        "uselib": 134,
        "vhangup": 153,
        "modify_ldt": 154,
        "pivot_root": 155,
        "chroot": 161,
        "acct": 163,
        "settimeofday": 164,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "swapoff": 168,
        "reboot": 169,
        "sethostname": 170,
        "setdomainname": 171,
        "iopl": 172,
        "ioperm": 173,
        "init_module": 175,
        "delete_module": 176,
        "quotactl": 179,
        "nfsservctl": 180,
        "lookup_dcookie": 212,
        "clock_settime": 227,
        "kexec_load": 246,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "fanotify_init": 300,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "clock_adjtime": 305,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "kexec_file_load": 320,
        "bpf": 321,
        "userfaultfd": 323,
    },
    calls={
        "open": 2,
        "ioctl": 16,
        "socket": 41,
        "clone": 56,
        "creat": 85,
        "chmod": 90,
        "fchmod": 91,
        "mknod": 133,
        "openat": 257,
        "mknodat": 259,
        "fchmodat": 268,
        "clone3": 435,
        "openat2": 437,
        "fchmodat2": 452,
    },
)

_AARCH64 = Architecture(
    audit=0xC00000B7,
    denied=_SAME_EVERYWHERE
    | {
        "lookup_dcookie": 18,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "nfsservctl": 42,
        "chroot": 51,
        "vhangup": 58,
        "quotactl": 60,
        "acct": 89,
        "kexec_load": 104,
        "init_module": 105,
        "delete_module": 106,
        "clock_settime": 112,
        "syslog": 116,
        "ptrace": 117,
        "unshare": 97,
        "reboot": 142,
        "sethostname": 161,
        "setdomainname": 162,
        "settimeofday": 170,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "swapon": 224,
        "swapoff": 225,
        "perf_event_open": 241,
        "fanotify_init": 262,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "clock_adjtime": 266,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "userfaultfd": 282,
        "kexec_file_load": 294,
    },
    calls={
        "ioctl": 29,
        "mknodat": 33,
        "fchmod": 52,
        "fchmodat": 53,
        "openat": 56,
        "socket": 198,
        "clone": 220,
        "clone3": 435,
        "openat2": 437,
        "fchmodat2": 452,
    },
)

ARCHITECTURES = {"x86_64": _X86_64, "aarch64": _AARCH64}
"""By `platform.machine()`; any other machine has no filter and therefore no confinement."""

_MODE_ARGUMENT = {
    "creat": 1,
    "chmod": 1,
    "fchmod": 1,
    "fchmodat": 2,
    "fchmodat2": 2,
    "mknod": 1,
    "mknodat": 2,
}
"""Which argument holds the file mode."""
_OPEN_ARGUMENTS = {"open": (1, 2), "openat": (2, 3)}
"""Which arguments hold flags and mode."""


def supported(machine: str | None = None) -> bool:
    """Whether a filter can be built for `machine`, by default the one we run on."""
    return (machine or platform.machine()) in ARCHITECTURES


def build_filter(*, deny_sockets: bool, machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`, 8 bytes each, in native byte order.

    Args:
        deny_sockets: Whether `socket` is refused for every family. `socketpair` stays allowed.
        machine: As `platform.machine()` says; by default the one we run on.

    Raises:
        KeyError: If the machine is not one of `ARCHITECTURES`.
    """
    arch = ARCHITECTURES[machine or platform.machine()]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_JEQ, 1, 0, arch.audit),
        (_RET, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if arch is _X86_64:
        program += [(_JGE, 0, 1, _X32_BIT), _refuse(errno.ENOSYS)]
    denied = sorted(arch.denied.values())
    if deny_sockets:
        denied.append(arch.calls["socket"])
    for number in denied:
        program += _on_call(number, [_refuse(errno.EPERM)])
    program += _argument_rules(arch)
    program.append((_RET, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _argument_rules(arch: Architecture) -> list[Instruction]:
    rules: list[Instruction] = []
    # Their flags lie behind a pointer, out of a filter's sight; libraries fall back to clone and openat.
    for name in ("clone3", "openat2"):
        rules += _on_call(arch.calls[name], [_refuse(errno.ENOSYS)])
    rules += _on_call(arch.calls["clone"], _if_bits(0, _NEW_NAMESPACES))
    for request in _TERMINAL_INJECTION:
        test = [(_LOAD, 0, 0, _argument(1)), (_JEQ, 0, 1, request), _refuse(errno.EPERM)]
        rules += _on_call(arch.calls["ioctl"], test)
    # Files made inside belong to the user outside: none of them may run with that user's rights.
    for name, argument in _MODE_ARGUMENT.items():
        if name in arch.calls:
            rules += _on_call(arch.calls[name], _if_bits(argument, _SET_ID))
    for name, (flags, mode) in _OPEN_ARGUMENTS.items():
        if name in arch.calls:
            inner = _if_bits(mode, _SET_ID)
            outer = [(_LOAD, 0, 0, _argument(flags)), (_JSET, 0, len(inner), _O_CREAT_TMPFILE)]
            rules += _on_call(arch.calls[name], [*outer, *inner])
    return rules


def _on_call(number: int, body: Sequence[Instruction]) -> list[Instruction]:
    """Run `body` for one call; whatever falls out of it has the call's number loaded again."""
    reload = (_LOAD, 0, 0, _NUMBER_AT)
    return [(_JEQ, 0, len(body) + 1, number), *body, reload]


def _if_bits(argument: int, bits: int) -> list[Instruction]:
    return [(_LOAD, 0, 0, _argument(argument)), (_JSET, 0, 1, bits), _refuse(errno.EPERM)]


def _argument(index: int) -> int:
    """Offset of an argument's low half; both machines are little-endian."""
    return _ARGS_AT + 8 * index


def _refuse(code: int) -> Instruction:
    return (_RET, 0, 0, _ERRNO | code)

"""The system call filter, run by a small model of the kernel's machine for both architectures."""

from __future__ import annotations

import struct

import pytest

from openmanus_graph.sandbox.seccomp import ARCHITECTURES, build_filter

ALLOW, KILL = "allow", "kill"


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> str | int:
    """What the filter says to a call: allowed, killed, or the error number."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        operation, true, false, value = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif operation == 0x06:
            return {0x7FFF0000: ALLOW, 0x80000000: KILL}.get(value, value & 0xFFFF)
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}
            at += true if holds[operation] else false


@pytest.fixture(params=sorted(ARCHITECTURES))
def machine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("deny_sockets", [True, False])
def test_each_call_gets_its_verdict(machine: str, deny_sockets: bool) -> None:
    arch = ARCHITECTURES[machine]
    program = build_filter(deny_sockets=deny_sockets, machine=machine)
    assert len(program) // 8 < 4096
    for number in range(600):
        said = verdict(program, arch.audit, number)
        if number in arch.denied.values():
            assert said == 1
        elif number in (arch.calls["clone3"], arch.calls["openat2"]):
            assert said == 38
        elif number == arch.calls["socket"]:
            assert said == (1 if deny_sockets else ALLOW)
        else:
            assert said == ALLOW, number


def test_arguments_decide(machine: str) -> None:
    arch = ARCHITECTURES[machine]
    program = build_filter(deny_sockets=False, machine=machine)

    def call(name: str, *arguments: int) -> str | int:
        return verdict(program, arch.audit, arch.calls[name], *arguments)

    assert call("clone", 0x10000000 | 17) == 1
    assert call("clone", 0x003D0F00) == ALLOW
    assert call("ioctl", 0, 0x5412) == call("ioctl", 0, 0x541C) == 1
    assert call("ioctl", 0, 0x5413) == ALLOW
    assert call("fchmodat", 0, 0, 0o4755) == call("fchmod", 0, 0o2755) == 1
    assert call("fchmodat", 0, 0, 0o1755) == ALLOW
    assert call("openat", 0, 0, 0o100, 0o4644) == 1
    assert call("openat", 0, 0, 0o100, 0o644) == ALLOW
    assert call("openat", 0, 0, 0, 0o4644) == ALLOW


def test_calls_of_another_architecture_are_fatal(machine: str) -> None:
    program = build_filter(deny_sockets=False, machine=machine)
    others = [arch.audit for name, arch in ARCHITECTURES.items() if name != machine] + [0x40000003]
    assert [verdict(program, audit, 1) for audit in others] == [KILL] * len(others)


def test_the_second_table_of_x86_is_closed() -> None:
    program = build_filter(deny_sockets=False, machine="x86_64")
    assert verdict(program, ARCHITECTURES["x86_64"].audit, 0x40000000 | 41) == 38

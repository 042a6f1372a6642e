# Importing pathlib would cost every start several milliseconds.
# ruff: noqa: PTH119, PTH120, PTH123
"""Wrapper: the program that Playwright's driver starts as if it were Chromium, and that starts Chromium confined.

Run by path as `python -I -S wrapper.py CONFIG [argument of Chromium ...]`: it imports the standard library and nothing
of this package. It becomes the launcher of the sandbox, which becomes bubblewrap; in there the bridge of the sandbox
hands a socket that listens inside the new network namespace to the proxy outside, and becomes Chromium.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress

PROFILE = "/tmp/profile"  # noqa: S108 - in the memory of the browser's own namespace
OFF = "--disable-features="


def main() -> None:
    """Start what the configuration says; this process becomes it."""
    with open(sys.argv[1], encoding="utf-8") as file:
        config = json.load(file)
    arguments = _one_list([_own_profile(argument) for argument in sys.argv[2:]])
    control = socket.socket(socket.AF_UNIX)
    folder = os.open(os.path.dirname(config["control"]), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # By way of the folder, since the whole path may be longer than that of a socket may be.
    control.connect(f"/proc/self/fd/{folder}/{os.path.basename(config['control'])}")
    command = [*config["command"]]
    for target, text in config["files"].items():
        command += ["--ro-bind-data", str(_memory_file(text.encode())), target]
    control.set_inheritable(True)
    command += [
        "--remount-ro",
        "/",
        "--",
        *config["limits"],
        *config["bridge"],
        str(control.fileno()),
    ]
    launch = {
        **config["launch"],
        "argv": [*command, config["chromium"], *arguments],
        "parent": os.getppid(),
    }
    os.execv(sys.executable, [sys.executable, "-I", "-S", config["launcher"], json.dumps(launch)])  # noqa: S606


def _own_profile(argument: str) -> str:
    """The argument, with a profile inside in place of the empty folder that the driver has made outside."""
    name, _, folder = argument.partition("=")
    if name != "--user-data-dir":
        return argument
    with suppress(OSError):
        os.rmdir(folder)  # noqa: PTH106 - see above
    return f"{name}={PROFILE}"


def _one_list(arguments: list[str]) -> list[str]:
    """The arguments with one list of features that are off: of several, the driver's and ours, the last holds."""
    lists = [argument for argument in arguments if argument.startswith(OFF)]
    off = ",".join(argument.removeprefix(OFF) for argument in lists)
    others = [argument for argument in arguments if argument not in lists]
    return [f"{OFF}{off}", *others] if lists else others


def _memory_file(content: bytes) -> int:
    descriptor = os.memfd_create("openmanus-graph", 0)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


if __name__ == "__main__":
    main()

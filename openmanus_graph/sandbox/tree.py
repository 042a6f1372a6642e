"""Tree: the processes below one of ours, as `/proc` shows them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class TreeProcess:
    """One process of a tree."""

    pid: int
    """Its number in our own namespace."""
    parent: int
    """Its parent's number."""
    group: int
    """Its process group."""
    started: float
    """When it started, in seconds since the machine did, in steps of about 0.01 s."""
    ended: bool
    """Whether it is a zombie."""

    def inner_pid(self) -> int | None:
        """Its number in its innermost namespace, or `None` if it is gone."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        for line in text.splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
        return self.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def running(self) -> bool:
        """Whether it still runs, and its number was not given to another."""
        now = process_of(self.pid)
        return now is not None and not now.ended and now.started == self.started


def machine_time() -> float:
    """Now, on the clock of `TreeProcess.started`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def tree_below(root: int) -> list[TreeProcess]:
    """The live processes below `root`, parents before children, `root` left out."""
    children: dict[int, list[TreeProcess]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - a scan of every process, several times slower by pathlib
        if name.isdigit():
            found = process_of(int(name))
            if found is not None:
                children.setdefault(found.parent, []).append(found)
    below: list[TreeProcess] = []
    waiting = [root]
    while waiting:
        found_below = children.get(waiting.pop(), [])
        below += found_below
        waiting += [process.pid for process in found_below]
    return [process for process in below if not process.ended]


def process_of(pid: int) -> TreeProcess | None:
    """The process of this number; `None` if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return TreeProcess(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        started=int(fields[19]) / _TICK,
        ended=fields[0] in (b"Z", b"X"),
    )

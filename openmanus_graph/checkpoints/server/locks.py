"""Locks: files that the kernel locks and unlocks, also when their holder is killed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from openmanus_graph.errors import EmbeddedServerError

POLL_S = 0.005
"""Seconds between two tries for a lock that somebody else holds."""


def pauses() -> Iterator[float]:
    """Seconds to sleep between questions to a server on its way: short at first, 50 ms in the long run."""
    pause = POLL_S
    while True:
        yield pause
        pause = min(pause * 1.25, 0.05)


class FileLock:
    """One open lock file; what it locks is free as soon as every copy of its descriptor is closed.

    Two objects on one path exclude each other, also within one process (`flock` belongs to the open file).
    """

    def __init__(self, path: Path) -> None:
        """Open `path`, creating it for this user alone.

        Raises:
            OSError: If it cannot be opened, or is a symbolic link.
        """
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(path, flags, 0o600)

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self.fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def try_shared(self) -> bool:
        """Lock together with others, unless somebody holds it alone."""
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        """Lock alone, unless somebody else holds it in either way."""
        return self._try(fcntl.LOCK_EX)

    def wait(self, timeout_s: float, *, shared: bool = False) -> None:
        """Lock alone, or together with others, waiting at most `timeout_s` seconds for other holders.

        Raises:
            EmbeddedServerError: If somebody still is then.
        """
        deadline = time.monotonic() + timeout_s
        while not (self.try_shared() if shared else self.try_exclusive()):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Another process has held {str(self.path)!r} for more than {timeout_s:.0f} s.",
                    hint=f"See which one with: fuser -v {self.path}",
                )
            time.sleep(POLL_S)

    def unlock(self) -> None:
        """Let go, for every process that shares this open file."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close this copy of the descriptor; a lock shared with a child process stays with the child."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def users_of(path: Path) -> list[int] | None:
    """Ids of the processes that have the lock file `path` open, as far as this user may see.

    `None` where the system does not tell (Linux does, in `/proc`). `/proc/locks` would be shorter, but its
    device numbers are not those of `stat` everywhere, and it leaves out children that inherited a lock.
    """
    try:
        place = path.stat()
        pids = sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    except OSError:
        return None
    return [pid for pid in pids if _has_open(pid, path.name, (place.st_dev, place.st_ino))]


def _has_open(pid: int, name: str, place: tuple[int, int]) -> bool:
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                # The name first: `stat` on a stranger's file could wait for a network share.
                if entry.readlink().name != name:
                    continue
                status = entry.stat()
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) == place:
                return True
    except OSError:  # the process ended, or belongs to somebody else and cannot be ours
        return False
    return False

"""Fault points: moments before and after each write of the engine, at which tests kill the process.

In a normal run nothing watches them, and each costs a look at one variable. `tests/chaos` counts them in a calm run,
and kills a process at each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

Watcher = Callable[[str], None]

_watcher: Watcher | None = None


def watch(watcher: Watcher | None) -> None:
    """Call a function at every fault point of this process, in any thread.

    Args:
        watcher: Called with its name, such as `after put_checkpoint dispatcher|subtask a`; `None` ends it.
    """
    global _watcher  # noqa: PLW0603 - one process, one watcher: writes know nothing of who runs them
    _watcher = watcher


def passed(name: str) -> None:
    """Call the watcher, if there is one, with a fault point's name."""
    if _watcher is not None:
        _watcher(name)


@contextmanager
def writing(what: str) -> Generator[None]:
    """Mark the fault points before and after the write in the block; the latter only if the write succeeded."""
    passed(f"before {what}")
    yield
    passed(f"after {what}")

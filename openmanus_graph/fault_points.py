"""Boundaries: the moments before and after each write of the engine, where a process may be killed to see what is left.

Nobody watches them in a normal run, and then they cost a look at one variable. `tests/chaos` counts them in a calm run,
and kills a process at each.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

Watcher = Callable[[str], None]

_watcher: Watcher | None = None


def watch(watcher: Watcher | None) -> None:
    """Have a function told of every boundary of this process, in whichever thread it is.

    Args:
        watcher: Called with the boundary's name, such as `after put_checkpoint dispatcher|subtask a`; `None` ends it.
    """
    global _watcher  # noqa: PLW0603 - one process, one watcher: writes know nothing of who runs them
    _watcher = watcher


def passed(name: str) -> None:
    """Tell the watcher, if there is one, of a moment."""
    if _watcher is not None:
        _watcher(name)


@contextmanager
def writing(what: str) -> Generator[None]:
    """Tell of the moments before and after the write in the block; of the latter only if it was made."""
    passed(f"before {what}")
    yield
    passed(f"after {what}")

"""Own words: what a person writes in an editor, a file or the input, kept in a file where it cannot be stored."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from openmanus_graph.cli.memory.opening import warn
from openmanus_graph.cli.terminal import with_program
from openmanus_graph.errors import UsageError


def read_given(file: str) -> str:
    """What a file says; `-` is the input.

    Args:
        file: Its name.

    Raises:
        UsageError: If it cannot be read, or is no UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode()
    except OSError as error:
        raise UsageError(f"The file {file!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The file {file!r} is not UTF-8.") from error


async def typed_in_editor(text: str, suffix: str) -> str | None:
    """What a person made of a text in their editor; `None` if they did not save it.

    Args:
        text: What it says to begin with.
        suffix: How the name of its file ends.
    """
    return await asyncio.to_thread(click.edit, text, extension=suffix)


@contextmanager
def kept_if_refused(typed: str | None, what: str, command: Sequence[str], suffix: str) -> Generator[None]:
    """Keep what was typed in an editor in a file of the person's own, and name it, if the block fails.

    Args:
        typed: What was typed; `None` if nothing was, as where it is in a file already.
        what: What it is of, with which the name of the file begins.
        command: What stores it, such as `memory`, `edit` and a key; `--file` is added.
        suffix: How the name of the file ends.
    """
    try:
        yield
    except BaseException:
        if typed is not None:
            _keep(typed, what, command, suffix)
        raise


def _keep(typed: str, what: str, command: Sequence[str], suffix: str) -> None:
    handle, path = tempfile.mkstemp(prefix=f"{what}-", suffix=suffix)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(typed)
    again = with_program(shlex.join(["openmanus-graph", *command, "--file", path]))
    warn(f"What you wrote is kept in {path!r}; mend it and store it with: {again}")


def of_owner(owner: str | None) -> list[str]:
    """The option of a command that says whose memory it is, if one was given."""
    return [] if owner is None else ["--owner", owner]

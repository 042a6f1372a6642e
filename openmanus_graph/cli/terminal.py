"""Terminal: how the program names itself, prints errors and tables, and writes JSON."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

import click

from openmanus_graph.errors import OpenManusGraphError, UsageError

_OWN_COMMAND = re.compile(
    r"\bopenmanus-graph (?=(?:run|chat|resume|step|threads|memory|plan|graph|tools|db|doctor|new|demo)\b)"
)


def program() -> str:
    """Command by which the program can be called from here, as the user called it: a name or a path."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{_short(Path(sys.executable))} -m openmanus_graph"
    on_path = shutil.which(called.name)
    if on_path is not None and Path(on_path).resolve() == called.resolve():
        return called.name
    return _short(called.absolute())


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") and len(relative) < len(str(path)) else str(path)


def with_program(text: str) -> str:
    """The text with its own commands written so that they work as printed."""
    return _OWN_COMMAND.sub(lambda _: program() + " ", text)


def refuse_undecodable(arguments: list[str]) -> None:
    """Raise `UsageError` for an argument that is not UTF-8; it could neither be stored nor printed."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"The argument {argument!r} is not valid UTF-8.") from error


def print_error(error: Exception) -> int:
    """Print a failure as a sentence and its next step; returns the exit code."""
    if isinstance(error, OpenManusGraphError):
        click.echo(f"{click.style('Error:', fg='red')} {with_program(error.message)}", err=True)
        if error.hint:
            click.echo(with_program(error.hint), err=True)
        return error.exit_code
    if isinstance(error, OSError):
        click.echo(f"{click.style('Error:', fg='red')} {error.strerror or error}: {error.filename!r}.", err=True)
        return 1
    click.echo(f"{click.style('Error:', fg='red')} An unexpected failure: {type(error).__name__}: {error}", err=True)
    click.echo(f"See where with: {program()} --debug {shlex.join(sys.argv[1:])}", err=True)
    return 1


_json_out: TextIO | None = None
"""Where JSON goes while stdout is kept for it; `None` where it is stdout itself."""


@contextmanager
def stdout_for_json() -> Generator[None]:
    """Keep stdout for JSON: what graphs, tools and the processes they start print there goes to stderr."""
    global _json_out  # noqa: PLW0603 - stdout is the process's, and so is this
    before, sys_stdout = _json_out, cast("TextIO | None", sys.stdout)
    if sys_stdout is None:  # closed by whoever started the program
        yield
        return
    sys_stdout.flush()
    shared = _is_own_stdout(sys_stdout)
    saved = os.dup(1) if shared else None
    try:
        if saved is None:
            _json_out, sys.stdout = sys_stdout, sys.stderr
        else:
            os.dup2(2, 1)
            _json_out = open(saved, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        yield
    finally:
        sys.stdout.flush()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)
        _json_out, sys.stdout = before, sys_stdout


def _is_own_stdout(stream: TextIO) -> bool:
    """Whether Python's stdout is the process's, and not something that stands in for it."""
    try:
        return stream.fileno() == 1
    except (OSError, ValueError):
        return False


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str), file=_json_out)


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, default=str), file=_json_out)


def print_table(headings: list[str], rows: list[list[str]]) -> None:
    """Print rows on stdout, the last column cut to the width of the terminal."""
    columns = shutil.get_terminal_size((100, 24)).columns
    widths = [max(len(row[index]) for row in [headings, *rows]) for index in range(len(headings))]
    room = max(columns - sum(widths[:-1]) - 2 * (len(widths) - 1), 10)
    for number, row in enumerate([headings, *rows]):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)]
        last = row[-1] if len(row[-1]) <= room else row[-1][: room - 1] + "…"
        line = "  ".join([*cells, last]).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 and sys.stdout.isatty() else line)


def interactive() -> bool:
    """Whether stdin and stderr are a terminal, so that a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()

"""New project: a small working project in a folder."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from openmanus_graph.cli.terminal import with_program
from openmanus_graph.errors import UsageError

_SUFFIX = ".tmpl"
"""What the project's files end with in the package, where they are no modules."""
_NAME = "{{name}}"


def new(folder: Path) -> None:
    """Write a small working project into DIR: graphs, nodes, tools, tests, a notebook."""
    written = write_project(folder)
    click.echo(f"Wrote {len(written)} files into {folder}. Try:", err=True)
    for line in (
        f"cd {folder}",
        'openmanus-graph run --graph letter "Lunch on Friday at noon"',
        "pytest",
    ):
        click.echo(f"  {with_program(line)}", err=True)


def write_project(folder: Path) -> list[Path]:
    """Write the project.

    Args:
        folder: Where; it may exist, but must be empty.

    Returns:
        The files, in the order of their names.

    Raises:
        UsageError: If the folder has something in it, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is a file.", hint="Name a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"The folder {str(folder)!r} is not empty.", hint="Name a new one; nothing is overwritten.")
    name = folder.absolute().name or "project"
    return sorted(_copy(files("openmanus_graph.scaffold"), folder, name))


def _copy(source: Traversable, target: Path, name: str) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for entry in source.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            written += _copy(entry, target / entry.name, name)
        elif entry.name.endswith(_SUFFIX):
            own = entry.name.removesuffix(_SUFFIX)
            path = target / (f".{own}" if own == "gitignore" else own)
            path.write_text(entry.read_text(encoding="utf-8").replace(_NAME, name), encoding="utf-8")
            written.append(path)
    return written

"""Project: a folder with a `langgraph.json`, whose graphs have names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from openmanus_graph.errors import SettingsError

FILE_NAME = "langgraph.json"


@dataclass(frozen=True)
class Project:
    """The graphs, folders and environment of a `langgraph.json`."""

    folder: Path
    """The folder it lies in; its paths are relative to that."""
    graphs: Mapping[str, str]
    """The graphs: `path/to/file.py:attribute` or `package.module:attribute` by name."""
    descriptions: Mapping[str, str] = field(default_factory=dict[str, str])
    """What graphs are for, where the file says so."""
    dependencies: tuple[Path, ...] = ()
    """Folders that the graphs import from."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables for the graphs' processes; those that are set already win."""

    def set_environment(self) -> None:
        """Set the variables that are not set."""
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)


def find_project(start: Path | None = None) -> Project | None:
    """The project of a folder: its own `langgraph.json`, or the nearest one above it.

    Args:
        start: The folder; `None` means the current one.

    Raises:
        SettingsError: If the file cannot be read.
    """
    start = (start or Path.cwd()).absolute()
    for folder in (start, *start.parents):
        with suppress(PermissionError):  # a folder that may not be read is nobody's project here
            if (folder / FILE_NAME).is_file():
                return read_project(folder)
    return None


def project_folders(start: Path) -> list[Path]:
    """The folders that a project's files import from: its own and those it depends on; none outside a project."""
    project = find_project(start) if start.is_dir() else None
    return [] if project is None else list(dict.fromkeys([project.folder.resolve(), *project.dependencies]))


def read_project(folder: Path) -> Project:
    """The project whose `langgraph.json` is in `folder`.

    Raises:
        SettingsError: If the file cannot be read or lacks graphs.
    """
    path = folder / FILE_NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"The file {str(path)!r} cannot be read: {error}.", hint="Correct it.") from error
    own = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    graphs = own.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise SettingsError(
            f"The file {str(path)!r} names no graphs.", hint='It looks like {"graphs": {"name": "./graph.py:graph"}}'
        )
    places: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    for name, entry in cast("dict[str, Any]", graphs).items():
        fields = cast("dict[str, Any]", entry if isinstance(entry, dict) else {"path": entry})
        if not isinstance(fields.get("path"), str):
            raise SettingsError(
                f"The graph {name!r} of {str(path)!r} has no path.", hint="Give path/to/file.py:attribute."
            )
        places[name] = fields["path"]
        if fields.get("description"):
            descriptions[name] = str(fields["description"])
    needed = cast("list[Any]", own.get("dependencies") or [])
    dependencies = [folder / str(entry) for entry in needed if str(entry).startswith(".")]
    return Project(
        folder=folder,
        graphs=places,
        descriptions=descriptions,
        dependencies=tuple(entry.resolve() for entry in dependencies if entry.is_dir()),
        environment=_environment(folder, own.get("env")),
    )


def _environment(folder: Path, given: Any) -> dict[str, str]:
    if isinstance(given, dict):
        return {str(name): str(value) for name, value in cast("dict[Any, Any]", given).items()}
    if isinstance(given, str) and (folder / given).is_file():
        from dotenv import dotenv_values

        return {name: value for name, value in dotenv_values(folder / given).items() if value is not None}
    return {}

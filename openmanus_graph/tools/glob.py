"""Glob: file patterns, and a walk of the workspace that stays in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate

from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.files.safe_paths import SafePath, open_folder

MAX_VISITED = 500_000
"""Entries a walk looks at before it stops."""
_MAX_VARIANTS = 64
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")

States = frozenset[tuple[int, int]]


class Glob:
    """A pattern such as `**/*.py`, matched name by name from the top.

    `*` and `?` stay within one name, `**` is any number of folders, `{a,b}` are alternatives. A hidden
    name is matched only by a name that begins with a dot itself, or if hidden ones are included.
    """

    def __init__(self, pattern: str, *, include_hidden: bool = False) -> None:
        """Compile it.

        Raises:
            OutsideWorkspaceError: If it has a part `..` or begins with `/`.
            ToolArgumentsError: If it is empty or has too many alternatives.
        """
        if not pattern.strip("/ ") or "\0" in pattern:
            raise ToolArgumentsError(f"The argument 'pattern' cannot be {pattern!r}.", hint="Use '**/*' for all files.")
        variants = [[s for s in v.split("/") if s not in ("", ".")] for v in _expand(pattern)]
        if pattern.startswith("/") or any(".." in variant for variant in variants):
            raise OutsideWorkspaceError(
                f"The pattern {pattern!r} leads out of the folder that is searched.",
                hint="Name a folder of the workspace with 'path', and a pattern below it.",
            )
        self._include_hidden = include_hidden
        self._variants = [
            [(segment, None if segment == "**" else re.compile(translate(segment))) for segment in variant]
            for variant in variants
        ]

    def start(self) -> States:
        """The state at the top folder."""
        return self._close({(number, 0) for number in range(len(self._variants))})

    def step(self, states: States, name: str) -> States:
        """The state behind an entry `name`; empty means that nothing at or below it matches."""
        visible = self._include_hidden or not name.startswith(".")
        behind: set[tuple[int, int]] = set()
        for number, at in states:
            variant = self._variants[number]
            if at == len(variant):
                continue
            segment, compiled = variant[at]
            if compiled is None:
                if visible:
                    behind.add((number, at))
            elif (visible or segment.startswith(".")) and compiled.match(name):
                behind.add((number, at + 1))
        return self._close(behind)

    def accepts(self, states: States) -> bool:
        """Whether an entry in this state matches the whole pattern."""
        return any(at == len(self._variants[number]) for number, at in states)

    def _close(self, states: set[tuple[int, int]]) -> States:
        """Add the states reached by letting `**` stand for no folder."""
        todo = list(states)
        while todo:
            number, at = todo.pop()
            variant = self._variants[number]
            if at < len(variant) and variant[at][1] is None and (number, at + 1) not in states:
                states.add((number, at + 1))
                todo.append((number, at + 1))
        return frozenset(states)


def _expand(pattern: str) -> list[str]:
    todo, done = [pattern], list[str]()
    while todo:
        current = todo.pop(0)
        found = _BRACES.search(current)
        if found is None:
            done.append(current)
        else:
            head, tail = current[: found.start()], current[found.end() :]
            todo.extend(head + choice + tail for choice in found.group(1).split(","))
        if len(todo) + len(done) > _MAX_VARIANTS:
            raise ToolArgumentsError(f"The pattern {pattern!r} has more than {_MAX_VARIANTS} alternatives.")
    return done


@dataclass
class GlobResult:
    """Files that match a pattern."""

    files: list[str] = field(default_factory=list[str])
    """Paths relative to the workspace, in order."""
    truncated: bool = False
    """Whether there may be more."""


def walk(top: SafePath, glob: Glob, *, limit: int) -> GlobResult:
    """The files below `top` that match, each folder's own files before those of its folders.

    Links to folders are not followed, and links to files are listed only if they end inside the workspace.

    Args:
        top: An existing folder.
        glob: The pattern, relative to `top`.
        limit: Files returned at most.

    Raises:
        ToolError: If `top` is not a folder that can be read.
    """
    found = GlobResult()
    for path in _files(top, glob, found):
        if len(found.files) == limit:
            found.truncated = True
            break
        found.files.append(path)
    return found


def _files(top: SafePath, glob: Glob, found: GlobResult) -> Iterator[str]:
    todo: list[tuple[SafePath, States]] = [(top, glob.start())]
    visited = 0
    while todo:
        folder, states = todo.pop()
        try:
            entries = _entries(folder)
        except ToolError:
            if folder is top:
                raise
            # Removed or closed to us while walking: the rest of the workspace still counts.
            found.truncated = True
            continue
        folders: list[tuple[SafePath, States]] = []
        for name, kind in entries:
            visited += 1
            if visited > MAX_VISITED:
                found.truncated = True
                return
            behind = glob.step(states, name)
            if not behind:
                continue
            here = SafePath(folder.root, (*folder.parts, name))
            if kind == "folder":
                folders.append((here, behind))
            elif glob.accepts(behind) and (kind == "file" or _leads_inside(here)):
                yield here.path
        todo.extend(reversed(folders))


def _entries(folder: SafePath) -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    with open_folder(folder) as descriptor:
        try:
            with os.scandir(descriptor) as scan:
                for entry in scan:
                    if entry.is_symlink():
                        entries.append((entry.name, "link"))
                    elif entry.is_dir(follow_symlinks=False):
                        entries.append((entry.name, "folder"))
                    elif entry.is_file(follow_symlinks=False):
                        entries.append((entry.name, "file"))
        except OSError as error:
            raise ToolError(f"The folder {folder.path!r} cannot be read: {error.strerror}.") from error
    return sorted(entries)


def _leads_inside(link: SafePath) -> bool:
    try:
        target = link.full.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_relative_to(link.root) and target.is_file()

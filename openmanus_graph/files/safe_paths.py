"""Safe paths: paths inside a workspace, opened without following a link out of it.

A path is first resolved, then opened again from the workspace's own descriptor, one component at a
time and without following links, so that a link swapped in between is refused instead of followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openmanus_graph.errors import OutsideWorkspaceError, ToolError
from openmanus_graph.files.atomic_write import put_file

HIDDEN_FOLDER = ".openmanus"
"""The engine's own folder inside each workspace: undo history and large outputs."""

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class SafePath:
    """A resolved path inside a workspace."""

    root: Path
    """The workspace, resolved."""
    parts: tuple[str, ...]
    """The components below it, links already resolved; empty means the workspace itself."""

    @property
    def path(self) -> str:
        """The path relative to the workspace, with `/`; `.` is the workspace itself."""
        return "/".join(self.parts) or "."

    @property
    def full(self) -> Path:
        """The absolute path, for messages and for looking at; open it with `open_file`."""
        return self.root.joinpath(*self.parts)


def locate(workspace: Path, path: str) -> SafePath:
    """Find where `path` is.

    Args:
        workspace: The workspace's folder.
        path: Relative to the workspace, or absolute and inside it; it need not exist.

    Raises:
        OutsideWorkspaceError: If it leads out, by `..`, as an absolute path or through a link.
        ToolError: If it is no path at all.
    """
    root = workspace.resolve()
    if "\0" in path or not path.strip():
        raise ToolError(f"The path {path!r} is not a path.", hint="Name a file relative to the workspace.")
    try:
        full = root.joinpath(path).resolve()
    except (OSError, RuntimeError) as error:
        raise ToolError(f"The path {path!r} cannot be followed: {error}.") from error
    if not full.is_relative_to(root):
        raise _outside(path)
    parts = full.relative_to(root).parts
    return SafePath(root, parts)


@contextmanager
def open_folder(place: SafePath, *, make: bool = False) -> Generator[int]:
    """A descriptor of the folder at `place`, closed after the block.

    Args:
        place: Where the folder is.
        make: Whether missing folders are made on the way.

    Raises:
        OutsideWorkspaceError: If a component has become a link since `place` was resolved.
        ToolError: If a component is missing or is no folder.
    """
    current = os.open(place.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in place.parts:
            if make:
                _make_folder(part, current)
            try:
                below = os.open(part, _FOLDER_FLAGS, dir_fd=current)
            except OSError as error:
                raise _open_failure(place.path, error, (part, current)) from error
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


@contextmanager
def open_parent(place: SafePath, *, make: bool = False) -> Generator[tuple[int, str]]:
    """A descriptor of the folder that holds `place`, and the name in it.

    Raises:
        ToolError: If `place` is the workspace itself, or its folder cannot be opened.
    """
    if not place.parts:
        raise ToolError("The path is the workspace itself, which is a folder.", hint="Name a file in it.")
    with open_folder(SafePath(place.root, place.parts[:-1]), make=make) as folder:
        yield folder, place.parts[-1]


def open_file(place: SafePath) -> int:
    """Open the regular file at `place` for reading; the caller closes the descriptor.

    Raises:
        OutsideWorkspaceError: If a component has become a link since `place` was resolved.
        ToolError: If it is missing, or is not a regular file.
    """
    with open_parent(place) as (folder, name):
        try:
            descriptor = os.open(name, _FILE_FLAGS, dir_fd=folder)
        except OSError as error:
            raise _open_failure(place.path, error, (name, folder)) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise ToolError(f"The path {place.path!r} is a folder.", hint="Name a file in it.")
    raise ToolError(f"The path {place.path!r} is not a regular file.")


def write_file(place: SafePath, data: bytes, *, mode: int | None = None, exclusive: bool = False) -> None:
    """Put `data` at `place` in one step: a reader sees the old file or the new one, never a part.

    Args:
        place: Where; its folder must exist.
        data: The whole content.
        mode: Permission bits; `None` keeps those of the file there, or the usual ones for a new file.
        exclusive: Refuse to replace an existing file.

    Raises:
        FileExistsError: If `exclusive` and there is something at `place`.
        ToolError: If the folder cannot be opened or written.
    """
    with open_parent(place) as (folder, name):
        old = _status(folder, name)
        try:
            put_file(
                folder,
                name,
                data,
                prepare=lambda descriptor: _keep_permissions(descriptor, old, mode),
                exclusive=exclusive,
            )
        except FileExistsError:
            raise
        except OSError as error:
            raise ToolError(f"The file {place.path!r} cannot be written: {error.strerror}.") from error


def remove_file(place: SafePath) -> None:
    """Remove the file at `place`, if it is there."""
    with open_parent(place) as (folder, name):
        _remove(name, folder)


def read_file(place: SafePath, limit: int) -> tuple[bytes, int]:
    """The whole file at `place` and its permission bits.

    Args:
        place: Where.
        limit: Bytes above which the file is refused instead of read.

    Raises:
        ToolError: If it is missing, no regular file, or larger than `limit`.
    """
    with os.fdopen(open_file(place), "rb") as stream:
        status = os.fstat(stream.fileno())
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ToolError(
            f"The file {place.path!r} has {status.st_size:,} bytes, and this tool edits up to {limit:,}.",
            hint="View a part of it with `view_range`, or change it with a program.",
        )
    return data, stat.S_IMODE(status.st_mode)


def _keep_permissions(descriptor: int, old: os.stat_result | None, mode: int | None) -> None:
    if old is not None and hasattr(os, "geteuid") and os.geteuid() == 0:
        os.fchown(descriptor, old.st_uid, old.st_gid)
    if mode is not None:
        os.fchmod(descriptor, mode)
    elif old is not None:
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _make_folder(name: str, parent: int) -> None:
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return
    except OSError as error:
        raise ToolError(f"The folder {name!r} cannot be made: {error.strerror}.") from error


def _status(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def _outside(path: str) -> OutsideWorkspaceError:
    return OutsideWorkspaceError(
        f"The path {path!r} leads out of the workspace.", hint="Use a path relative to the workspace."
    )


def _open_failure(path: str, error: OSError, at: tuple[str, int]) -> ToolError:
    name, folder = at
    status = _status(folder, name)
    if status is not None and stat.S_ISLNK(status.st_mode):
        # `locate` had resolved every link, so this one was put there afterwards.
        return _outside(path)
    if error.errno == errno.ENOENT:
        return ToolError(f"There is no {path!r}.", hint="See what there is with the tool `list_files`.")
    if error.errno == errno.ENOTDIR:
        return ToolError(f"The path {path!r} has a part that is not a folder.")
    return ToolError(f"The path {path!r} cannot be opened: {error.strerror}.")

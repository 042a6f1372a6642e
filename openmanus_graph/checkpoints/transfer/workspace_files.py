"""Workspaces: the files of a thread's folder on their way into an archive, and out of one that may be hostile.

What comes out is put together in a new folder that nobody else knows, links last, and takes its place in one step.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from openmanus_graph.checkpoints.transfer.archive import PIECE, ArchiveRecord, ArchiveWriter
from openmanus_graph.errors import ArchiveError, UsageError

MOST_FILES = 1_000_000
"""Files, folders and links of an archive above which it is refused."""
_KINDS = ("file", "folder", "link")


def write_workspace(archive: ArchiveWriter, folder: Path) -> tuple[int, list[str]]:
    """Write the files, folders and links of a workspace into an archive.

    Args:
        archive: The archive.
        folder: The workspace.

    Returns:
        How many files there are, and what was left out: what is no regular file, and links that lead out.
    """
    files, left_out = 0, list[str]()
    for base, folders, names in os.walk(folder):
        for name in sorted(folders + names):
            full = Path(base, name)
            path = full.relative_to(folder).as_posix()
            status = full.lstat()
            mode = stat.S_IMODE(status.st_mode) & 0o777
            if stat.S_ISLNK(status.st_mode):
                target = str(full.readlink())
                if not stays_inside(path, target):
                    left_out.append(f"{path} is a link that leads out")
                    continue
                archive.record({"kind": "link", "path": path, "target": target})
            elif stat.S_ISDIR(status.st_mode):
                archive.record({"kind": "folder", "path": path, "mode": mode})
            elif stat.S_ISREG(status.st_mode):
                archive.record({"kind": "file", "path": path, "mode": mode}, _content(full))
                files += 1
            else:
                left_out.append(f"{path} is no regular file")
        folders[:] = sorted(name for name in folders if not Path(base, name).is_symlink())
    return files, left_out


def _content(path: Path) -> Iterator[bytes]:
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(opened, "rb") as file:
        while data := file.read(PIECE):
            yield data


def stays_inside(path: str, target: str) -> bool:
    """Whether a link at `path`, relative to its workspace, can only point into the workspace.

    It goes up first, if at all, and no higher than the workspace; after a step down, a step up could start elsewhere,
    where another link leads.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    parts = PurePosixPath(target).parts
    up = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return ".." not in parts[up:] and up <= len(PurePosixPath(path).parts) - 1


class Staging:
    """A workspace that is being put together from an archive."""

    def __init__(self, folder: Path) -> None:
        """Prepare; nothing is written yet.

        Args:
            folder: Where the workspace goes.

        Raises:
            UsageError: If there is something.
        """
        self.files = 0
        """Files that it has."""
        self._folder = folder
        self._draft = folder.with_name(f".{folder.name}.{os.urandom(8).hex()}.part")
        self._links: list[tuple[str, str]] = []
        self._modes: list[tuple[Path, int]] = []
        self._made = 0
        self._parents = [parent for parent in self._draft.parents if not parent.exists()]
        self._placed = False
        self._refuse_taken()

    def _refuse_taken(self) -> None:
        if self._folder.is_symlink() or (
            self._folder.exists() and (not self._folder.is_dir() or any(self._folder.iterdir()))
        ):
            raise UsageError(
                f"The folder {str(self._folder)!r} is not empty.", hint="Name another one with: --workspace DIR"
            )

    def add(self, record: ArchiveRecord) -> None:
        """Take over one file, folder or link.

        Raises:
            ArchiveError: If it is none, or would lie outside of the workspace.
        """
        kind, path = record.fields.get("kind"), record.fields.get("path")
        parts = parts_of(path)
        if kind not in _KINDS or parts is None:
            raise _refused(f"an entry {kind!r} at {path!r}")
        self._made += 1
        if self._made > MOST_FILES:
            raise _refused(f"over {MOST_FILES:,} files")
        self._draft.mkdir(mode=0o700, parents=True, exist_ok=True)
        full = self._draft.joinpath(*parts)
        mode = _mode(record.fields.get("mode", 0o644 if kind == "file" else 0o755))
        try:
            # No link is made before everything else is, so every parent is a folder of our own.
            full.parent.mkdir(parents=True, exist_ok=True)
            if kind == "folder":
                full.mkdir(exist_ok=True)
                self._modes.append((full, mode | 0o700))
            elif kind == "link":
                target = record.fields.get("target")
                if not isinstance(target, str) or not stays_inside("/".join(parts), target):
                    raise _refused(f"a link {path!r} that leads to {target!r}")
                self._links.append(("/".join(parts), target))
            else:
                self._write(full, record, mode)
        except OSError as error:
            if error.filename is None or isinstance(error, (FileExistsError, NotADirectoryError, IsADirectoryError)):
                raise _refused(f"two entries that cannot both be there: {path!r}") from error
            raise

    def _write(self, full: Path, record: ArchiveRecord, mode: int) -> None:
        opened = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(opened, "wb") as file:
            for piece in record.pieces():
                file.write(piece)
            os.fchmod(file.fileno(), mode)
        self.files += 1

    def finish(self) -> None:
        """Make the links, and put the workspace in its place."""
        self._draft.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder, mode in reversed(self._modes):
            folder.chmod(mode)
        links = {path for path, _ in self._links}
        for path, target in self._links:
            full = self._draft / path
            above = {str(parent) for parent in PurePosixPath(path).parents}
            if full.exists() or full.is_symlink() or above & links:
                raise _refused(f"two entries that cannot both be there: {path!r}")
            full.parent.mkdir(parents=True, exist_ok=True)
            full.symlink_to(target)
        self._draft.chmod(0o755)
        self._refuse_taken()
        if self._folder.exists():
            self._folder.rmdir()
        self._draft.rename(self._folder)
        self._placed = True

    def undo(self) -> None:
        """Remove what was written."""
        for folder in (self._draft, *((self._folder,) if self._placed else ())):
            if folder.exists():
                shutil.rmtree(folder)
        for parent in self._parents:
            with suppress(OSError):  # it was not made, or is somebody else's by now
                parent.rmdir()


def parts_of(path: Any) -> tuple[str, ...] | None:
    """The components of a path inside a workspace; `None` if it is anything else."""
    if not isinstance(path, str) or not path or "\0" in path or path.startswith("/") or len(path) > 4096:
        return None
    parts = tuple(path.split("/"))
    return None if any(part in ("", ".", "..") for part in parts) else parts


def _mode(mode: Any) -> int:
    return mode & 0o777 if isinstance(mode, int) and not isinstance(mode, bool) else 0o600


def _refused(what: str) -> ArchiveError:
    return ArchiveError(f"The archive has {what}.", hint="Nothing was imported.")

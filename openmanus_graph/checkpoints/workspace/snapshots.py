"""Snapshots: the files of a workspace as of a point, put together from the changes that its steps made."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openmanus_graph.checkpoints.encryption.cipher import is_sealed_file, sealed_without_key
from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.checkpoints.threads import Thread
from openmanus_graph.checkpoints.workspace.file_change_recorder import OUTPUTS, WHOLE
from openmanus_graph.files.safe_paths import SafePath, open_folder, write_file
from openmanus_graph.values.storable_json import path_of

BATCH = 200
"""Contents that are read at a time."""


@dataclass(frozen=True)
class FileState:
    """A file as a step left it."""

    path: str
    """Its path in the workspace."""
    digest: str | None
    """SHA-256 of its content; `None` if that was not read."""
    size: int
    """Bytes."""
    mode: int
    """Permission bits."""
    link: str | None
    """Where it points, if it is a symbolic link."""
    left_out: str | None
    """Why its content is not kept; `None`: it is."""
    mtime_ns: int
    inode: int
    subtask: str | None
    """The subtask whose step left it so; `None`: no step did."""


@dataclass(frozen=True)
class FileChange:
    """One change of one file by one step."""

    number: int
    path: str
    before: str | None
    """Digest of the content before; `None`: there was none, or it was not read."""
    after: str | None
    """Digest of the content after; `None`: it is gone, or was not read."""
    gone: bool
    """Whether it was removed."""
    left_out: str | None
    """Why the content is not kept; `None`: it is."""
    checkpoint_ns: str | None
    checkpoint_id: str | None
    """The checkpoint whose step made it; `None`: no step did."""
    subtask: str | None
    tool: str | None
    call: str | None


async def changes_of(saver: ThreadSaver, thread_id: str) -> list[FileChange]:
    """All changes of a thread's files, in order."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT number, path, before, after, size IS NULL AS gone, left_out, checkpoint_ns, checkpoint_id,"
                " subtask, tool, call FROM file_changes WHERE thread_id = %s ORDER BY number",
                (thread_id,),
            )
        ).fetchall()
    named: list[dict[str, Any]] = [{**row, "path": path_of(row["path"])} for row in rows]
    return [FileChange(**row) for row in named]


def newest_files(rows: Collection[Mapping[str, Any]]) -> dict[str, FileState]:
    """The files that changes, in order, have led to."""
    files: dict[str, FileState] = {}
    for row in rows:
        path = path_of(str(row["path"]))
        files.pop(path, None)
        if row["size"] is None:
            continue
        files[path] = FileState(
            path=path,
            digest=row["after"],
            size=int(row["size"]),
            mode=int(row["mode"]),
            link=None if row["link"] is None else path_of(row["link"]),
            left_out=row["left_out"],
            mtime_ns=int(row["mtime_ns"]),
            inode=int(row["inode"]) % (1 << 64),
            subtask=row["subtask"],
        )
    return files


async def files_of(saver: ThreadSaver, thread_id: str) -> dict[str, FileState]:
    """The files of a thread as its last recorded step left them, by path; the key `.` says that not all are."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute("SELECT * FROM file_changes WHERE thread_id = %s ORDER BY number", (thread_id,))
        ).fetchall()
    return newest_files(rows)


async def contents_of(saver: ThreadSaver, digests: Collection[str]) -> dict[str, bytes]:
    """Contents by their digest; those that are not kept are left out."""
    async with saver.connection() as connection:
        rows = await (
            await connection.execute(
                "SELECT digest, content FROM file_contents WHERE digest = ANY(%s)", (list(digests),)
            )
        ).fetchall()
    contents = {str(row["digest"]): bytes(row["content"]) for row in rows}
    if saver.cipher is not None:
        return {digest: saver.cipher.opened_file(digest, content) for digest, content in contents.items()}
    if any(is_sealed_file(digest, content) for digest, content in contents.items()):
        sealed_without_key()
    return contents


async def restore_files(saver: ThreadSaver, origin: Thread, thread_id: str, folder: Path) -> list[str]:
    """Fill a new thread's folder with the files that its changes say; large outputs come along.

    A file whose content is not kept is copied from the folder of the thread it came from, if it is still the same
    there. Where nothing of that thread is recorded, its folder is copied as it is now.

    Args:
        saver: The store.
        origin: The thread it came from.
        thread_id: The new thread.
        folder: The new folder.

    Returns:
        Files that could not be brought back.
    """
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    files = await files_of(saver, thread_id)
    source = Path(origin.workspace) if origin.workspace else None
    if source is not None and await asyncio.to_thread(source.is_dir):
        if files.pop(WHOLE, None) is not None or not await changes_of(saver, origin.thread_id):
            await asyncio.to_thread(_copy_folder, source, folder)
        else:
            await asyncio.to_thread(_copy_folder, source / OUTPUTS, folder / OUTPUTS)
    missing: list[str] = []
    wanted = list(files.values())
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        contents = await contents_of(saver, {file.digest for file in batch if file.digest and not file.left_out})
        missing += await asyncio.to_thread(_write, batch, contents, source, folder)
    return missing


def _write(batch: Collection[FileState], contents: Mapping[str, bytes], source: Path | None, folder: Path) -> list[str]:
    missing: list[str] = []
    root = folder.resolve()
    for file in batch:
        place = SafePath(root, tuple(file.path.split("/")))
        with open_folder(SafePath(root, place.parts[:-1]), make=True) as parent:
            if file.link is not None:
                if not os.path.lexists(place.full):
                    os.symlink(file.link, place.parts[-1], dir_fd=parent)
                continue
        content = contents.get(file.digest or "")
        if content is not None:
            write_file(place, content, mode=file.mode)
        elif source is None or not _still_there(source / file.path, file):
            missing.append(file.path)
        else:
            shutil.copy2(source / file.path, place.full, follow_symlinks=False)
    return missing


def _still_there(path: Path, file: FileState) -> bool:
    """Whether a file whose content was not kept is still as it was."""
    try:
        status = path.lstat()
    except OSError:
        return False
    now = (status.st_size, status.st_mtime_ns, status.st_ino)
    return stat.S_ISREG(status.st_mode) and now == (file.size, file.mtime_ns, file.inode)


def _copy_folder(source: Path, folder: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True, ignore=_special)


def _special(folder: str, names: list[str]) -> list[str]:
    """Sockets and the like, which have no content to copy."""
    left: list[str] = []
    for name in names:
        mode = Path(folder, name).lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            left.append(name)
    return left

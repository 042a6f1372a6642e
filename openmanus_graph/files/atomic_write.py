"""Atomic write: replaces a file in one step; after a crash either the old or the new content is there.

Where the system has no files without a name, a draft has a hidden one, which a kill leaves behind.
"""

from __future__ import annotations

import errno
import hashlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from openmanus_graph.fault_points import passed, writing

_FLAGS = os.O_WRONLY | os.O_CLOEXEC
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.EXDEV)
_PATIENCE = 20
"""How often a writer finds the same draft in its way before it takes it for one that a kill has left."""


def put_file(
    folder: int,
    name: str,
    data: bytes,
    *,
    mode: int = 0o666,
    prepare: Callable[[int], None] | None = None,
    exclusive: bool = False,
) -> None:
    """Write a file into a folder in one step: its bytes reach the disk before its name does.

    Args:
        folder: The folder's descriptor.
        name: The file's name in it.
        data: Its content.
        mode: Permission bits, of which the umask takes away its own.
        prepare: Called with the draft's descriptor once it is written.
        exclusive: Whether an existing file is refused instead of replaced.

    Raises:
        FileExistsError: If `exclusive` and there is something of this name.
        OSError: If it cannot be written.
    """
    with writing(f"file {name}"):
        if _NAMELESS and _put_nameless(folder, name, data, mode, prepare, exclusive=exclusive):
            return
        _put_named(folder, name, data, mode, prepare, exclusive=exclusive)


def _fill(descriptor: int, data: bytes, prepare: Callable[[int], None] | None) -> None:
    with os.fdopen(descriptor, "wb", closefd=False) as stream:
        stream.write(data)
    if prepare is not None:
        prepare(descriptor)
    os.fsync(descriptor)


def _put_nameless(
    folder: int, name: str, data: bytes, mode: int, prepare: Callable[[int], None] | None, *, exclusive: bool
) -> bool:
    """Write the file without a name first; false where the system has no such files."""
    try:
        draft = os.open(".", _FLAGS | _NAMELESS, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    try:
        _fill(draft, data, prepare)
        passed(f"within file {name}")
        return _name(draft, name, folder, exclusive=exclusive)
    finally:
        os.close(draft)


def _name(draft: int, name: str, folder: int, *, exclusive: bool) -> bool:
    """Give a draft its name; whether the file system has links."""
    source = f"/proc/self/fd/{draft}"
    try:
        os.link(source, name, dst_dir_fd=folder)
    except FileExistsError:
        if exclusive:
            raise
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    else:
        return True
    # Nothing replaces a file by one without a name, so it has another one for an instant: always the same, so that the
    # step that is repeated after a kill takes it away.
    hidden = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.part"
    seen = Counter[int]()
    while True:
        try:
            os.link(source, hidden, dst_dir_fd=folder)
        except FileExistsError:
            _wait_for(hidden, folder, seen)
            continue
        passed(f"within replacement of {name}")
        try:
            os.replace(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:  # another writer took it for a dead one's
            continue
        except OSError:  # a folder of this name, for one
            _remove(hidden, folder)
            raise
        return True


def _wait_for(hidden: str, folder: int, seen: Counter[int]) -> None:
    """Wait a moment for the writer that has the hidden name; one that keeps it was killed, and it is taken away."""
    try:
        found = os.stat(hidden, dir_fd=folder, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return
    seen[found] += 1
    if seen[found] > _PATIENCE:
        _remove(hidden, folder)
    time.sleep(random.uniform(0.0005, 0.002))  # noqa: S311 - so that two that wait do not go on together


def _remove(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _put_named(
    folder: int, name: str, data: bytes, mode: int, prepare: Callable[[int], None] | None, *, exclusive: bool
) -> None:
    hidden = f".{os.urandom(8).hex()}.part"
    draft = os.open(hidden, _FLAGS | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder)
    try:
        try:
            _fill(draft, data, prepare)
        finally:
            os.close(draft)
        if exclusive:
            _put_new(hidden, name, folder)
        else:
            os.replace(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        _remove(hidden, folder)


def _put_new(hidden: str, name: str, folder: int) -> None:
    """Give the file its name, which must be free."""
    try:
        os.link(hidden, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        # A file system without hard links: the check and the renaming are two steps there.
        if _is_there(name, folder):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from error
        os.replace(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True

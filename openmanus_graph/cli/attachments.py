"""Attachments: files that a person hands to a request, copied into the thread's workspace."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkstemp

from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import UsageError
from openmanus_graph.tools.documents.pdf_page import page_picture

LARGEST_FILE = 100 * 1024 * 1024
"""Bytes one attachment may have."""
MOST_FILES = 100
"""Files one request may be handed."""
_PAGE = re.compile(r"(.+)#page=([1-9][0-9]{0,5})", re.DOTALL)


def checked(files: Sequence[str]) -> list[Path]:
    """Paths of the files, checked for existence, type and size before anything is written.

    Raises:
        UsageError: If one cannot be attached.
    """
    if len(files) > MOST_FILES:
        raise UsageError(
            f"{len(files)} files are attached; at most {MOST_FILES} can be.", hint="Put them in an archive."
        )
    return [_checked(Path(_parted(name)[0]).expanduser()) for name in files]


def _parted(name: str) -> tuple[str, int | None]:
    """The file that is named, and the page of it that is to be shown, as in `scan.pdf#page=3`."""
    found = _PAGE.fullmatch(name)
    return (name, None) if found is None or Path(name).expanduser().exists() else (found[1], int(found[2]))


async def page_pictures(files: Sequence[str], copied: Sequence[str], workspace: Path, settings: Settings) -> list[str]:
    """Paths in the workspace of the pages that were named as `FILE.pdf#page=N`, each drawn as a picture.

    Args:
        files: As they were named.
        copied: Their paths in the workspace.
        workspace: The thread's folder.
        settings: How what reads PDFs is confined.

    Raises:
        ToolError: If one cannot be drawn.
    """
    asked = [(path, page) for name, path in zip(files, copied, strict=True) if (page := _parted(name)[1]) is not None]
    return [(await page_picture(workspace, path, page, settings)).path for path, page in asked]


def _checked(path: Path) -> Path:
    try:
        facts = path.stat()
    except OSError as error:
        raise UsageError(f"The file {str(path)!r} cannot be attached: {error.strerror}.") from error
    if not stat.S_ISREG(facts.st_mode):
        kind = "a folder" if stat.S_ISDIR(facts.st_mode) else "no regular file"
        raise UsageError(f"{str(path)!r} cannot be attached: it is {kind}.", hint="Attach files, or an archive.")
    if facts.st_size > LARGEST_FILE:
        raise UsageError(
            f"The file {str(path)!r} has {facts.st_size:,} bytes; at most {LARGEST_FILE:,} can be attached.",
            hint="Put it into the workspace yourself, and name it in the task.",
        )
    if not os.access(path, os.R_OK):
        raise UsageError(f"The file {str(path)!r} cannot be attached: it may not be read.")
    return path


def attach(files: Sequence[Path], workspace: Path) -> list[str]:
    """Copy the files into the workspace; one that is there already with other content is never overwritten.

    Args:
        files: What `checked` gave.
        workspace: The thread's folder; made if it is missing.

    Returns:
        Their paths in the workspace; where a name was taken, the copy has a number.

    Raises:
        UsageError: If the workspace cannot be written.
    """
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        return [_copied(path, workspace) for path in files]
    except OSError as error:
        raise UsageError(
            f"The attachments cannot be copied to {str(workspace)!r}: {error.strerror or error}.",
            hint="Choose another folder with --workspace.",
        ) from error


def _copied(path: Path, workspace: Path) -> str:
    handle, name = mkstemp(prefix=".attaching-", dir=workspace)
    copy = Path(name)
    try:
        with os.fdopen(handle, "wb") as target, path.open("rb") as source:
            shutil.copyfileobj(source, target)
        copy.chmod(0o644)
        for candidate in _names(path):
            place = workspace / candidate
            try:
                os.link(copy, place)  # fails where the name is taken, so that nothing is overwritten
            except FileExistsError:
                if not place.is_symlink() and place.is_file() and filecmp.cmp(copy, place, shallow=False):
                    return candidate
                continue
            return candidate
    finally:
        copy.unlink(missing_ok=True)
    raise FileExistsError(None, "no name is left", str(path))


def _names(path: Path) -> Iterator[str]:
    name = "".join(char if char.isprintable() else "_" for char in path.name)
    yield name
    stem, dot, suffix = name.partition(".") if not name.startswith(".") else (name, "", "")
    for number in range(2, 1000):
        yield f"{stem}-{number}{dot}{suffix}"

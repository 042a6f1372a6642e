"""Artefacts: files that a run left in its workspace, for a report. Links are not followed."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from openmanus_graph.errors import OpenManusGraphError
from openmanus_graph.files.safe_paths import HIDDEN_FOLDER, locate, open_file

MOST_FILES = 500
MOST_SHOWN = 24
"""Files whose content is in the report."""
LONGEST_TEXT = 20_000
"""Bytes of a text that are shown."""
LARGEST_IMAGE = 400_000
"""Bytes up to which an image is shown."""
_IMAGES = {
    ".png": ("image/png", b"\x89PNG\r\n"),
    ".jpg": ("image/jpeg", b"\xff\xd8\xff"),
    ".jpeg": ("image/jpeg", b"\xff\xd8\xff"),
    ".gif": ("image/gif", b"GIF8"),
    ".webp": ("image/webp", b"RIFF"),
}


@dataclass(frozen=True)
class Artefact:
    """One file."""

    path: str
    """Relative to the workspace."""
    size: int
    """Bytes."""
    text: str | None = None
    """Its beginning, if it is a text."""
    image: str | None = None
    """It whole as a `data:` address, if it is a small image."""


def artefacts_in(workspace: str | None) -> tuple[list[Artefact], int]:
    """Files of a workspace by path, and how many more there are.

    Args:
        workspace: The folder; nothing is found where there is none.
    """
    root = Path(workspace) if workspace else None
    if root is None or not root.is_dir():
        return [], 0
    sizes: list[tuple[str, int]] = []
    for folder, folders, files in os.walk(root, followlinks=False):
        folders[:] = sorted(name for name in folders if name != HIDDEN_FOLDER)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink() and path.is_file():
                sizes.append((str(path.relative_to(root)), path.stat().st_size))
    sizes.sort()
    shown = 0
    artefacts: list[Artefact] = []
    for path, size in sizes[:MOST_FILES]:
        artefact = _read(root, path, size) if shown < MOST_SHOWN else Artefact(path, size)
        shown += artefact.text is not None or artefact.image is not None
        artefacts.append(artefact)
    return artefacts, max(len(sizes) - MOST_FILES, 0)


def image_at(workspace: Path, path: str) -> str | None:
    """A small image of a workspace as a `data:` address; `None` of what is none, or gone.

    Args:
        workspace: The folder.
        path: The file, relative to it.
    """
    if Path(path).suffix.lower() not in _IMAGES:
        return None
    try:
        size = workspace.joinpath(path).stat().st_size
    except OSError:
        return None
    return _read(workspace, path, size).image


def _read(root: Path, path: str, size: int) -> Artefact:
    kind = _IMAGES.get(Path(path).suffix.lower())
    if kind is not None and size > LARGEST_IMAGE:
        return Artefact(path, size)
    try:
        with os.fdopen(open_file(locate(root, path)), "rb") as stream:
            data = stream.read(LARGEST_IMAGE if kind else LONGEST_TEXT)
    except (OSError, OpenManusGraphError):  # gone, or not to be read: the list still names it
        return Artefact(path, size)
    if kind is not None and data.startswith(kind[1]):
        return Artefact(path, size, image=f"data:{kind[0]};base64,{base64.b64encode(data).decode()}")
    try:
        text = data.decode("utf-8", "strict" if size <= LONGEST_TEXT else "ignore")
    except UnicodeDecodeError:
        return Artefact(path, size)
    return Artefact(path, size) if "\0" in text else Artefact(path, size, text=text)

"""Folder size: bytes that the files below a folder take on disk."""

from __future__ import annotations

import os
from pathlib import Path


def folder_size(folder: Path) -> int:
    """Bytes of the files below a folder, as they lie on disk; 0 if there is none. Files may come and go meanwhile."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_blocks * 512  # noqa: PTH118 - many files, and often
            except FileNotFoundError:
                continue
    return total

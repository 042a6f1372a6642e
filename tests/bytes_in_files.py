"""Bytes in files: which files below a folder have a word, in one of the ways in which texts are stored."""

from __future__ import annotations

import os
from pathlib import Path


def files_holding(folder: Path, word: str) -> list[str]:
    """The files, by their paths in the folder; capitals and small letters are alike."""
    wanted = [word.lower().encode(), word.lower().encode("utf-16-le")]
    found: list[str] = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                content = path.read_bytes().lower()
            except OSError:
                continue  # a server has removed it, or it is no file
            if any(one in content for one in wanted):
                found.append(str(path.relative_to(folder)))
    return found

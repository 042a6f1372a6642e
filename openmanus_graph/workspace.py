"""Workspace: the folder of a thread."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = "openmanus-work"
"""The folder of workspaces, which is made where a thread begins."""
LONGEST_NAME = 120
"""Characters of a folder's name that are taken from a thread's id; file systems take 255 bytes."""


def default_workspace(thread_id: str) -> Path:
    """`openmanus-work/<thread>` in the current folder; a long or unusual id is made a plain name, never a path."""
    name = re.sub(r"[^A-Za-z0-9._:@-]", "-", thread_id).lstrip(".")[:LONGEST_NAME] or "thread"
    if name != thread_id:
        name += f"-{hashlib.sha256(thread_id.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return Path.cwd() / FOLDER / name


def is_to_be_made(folder: str | None, thread_id: str) -> bool:
    """Whether a thread's folder is named as one that it gets by itself, and is not there yet."""
    own = folder is not None and Path(folder).parts[-2:] == default_workspace(thread_id).parts[-2:]
    return own and not os.path.lexists(str(folder))


def workspace_of(state: Mapping[str, Any], thread_id: str) -> Path:
    """The folder that a state names, else the default one."""
    return Path(state.get("workspace") or default_workspace(thread_id))

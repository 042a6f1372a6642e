"""Locked packages: those of a lock in a folder of their own, beside the project's environment."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path


class PackagesError(Exception):
    """The packages are not to be had; the message says why."""


def pip(*arguments: str | Path) -> None:
    """Run pip.

    Raises:
        PackagesError: If it fails, with its own words.
    """
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise PackagesError(f"pip cannot get what is needed.\n{ran.stderr.strip()}")


def packages_of(lock: Path, around: Path) -> Path:
    """The folder with the packages of a lock, which is made if it is missing.

    Args:
        lock: The lock.
        around: Where such folders are.

    Raises:
        PackagesError: If they cannot be fetched, or are not what the lock says.
    """
    folder = around / f"{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:8]}"
    if folder.is_dir():
        return folder
    draft = folder.with_name("packages.draft")
    shutil.rmtree(draft, ignore_errors=True)
    # What these packages need is in the project's own environment; without --no-deps pip would put a second one here.
    pip("install", "--no-deps", "--require-hashes", "--target", draft, "--requirement", lock)
    draft.rename(folder)
    return folder

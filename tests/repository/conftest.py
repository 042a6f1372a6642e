"""Fixtures about the checkout itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Require

TOP = Path(__file__).parents[2]
PACKAGE = TOP / "openmanus_graph"


@pytest.fixture(scope="session")
def top() -> Path:
    """The checkout's folder."""
    return TOP


@pytest.fixture(scope="session")
def modules() -> list[Path]:
    """Every module of the package, relative to the checkout."""
    return sorted(path.relative_to(TOP) for path in PACKAGE.rglob("*.py") if path.stat().st_size)


@pytest.fixture
def tracked(require: Require) -> list[Path]:
    """Every file that git keeps, except links."""
    require(shutil.which("git") is not None, "git is not installed", "apt-get install git")
    require((TOP / ".git").exists(), "this is not a clone", "git clone the repository")
    # A checkout may belong to someone else than who tests it; git wants to be told that this is fine.
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={TOP}", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True
    )
    names = [name for name in listing.stdout.decode().split("\0") if name]
    return [path for path in map(TOP.joinpath, names) if path.is_file() and not path.is_symlink()]

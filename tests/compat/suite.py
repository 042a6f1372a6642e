"""Suite: LangGraph's own tests, of the installed version: fetched from the package index, checked and unpacked.

Nothing of them is kept in this repository; they are under `build/compat`, which `make clean` removes.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.locked_packages import PackagesError, packages_of, pip

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build" / "compat"

LOCK = TOP / "requirements.lock"
"""Has the hash of LangGraph's source archive beside that of the wheel that is installed."""

HELPERS_LOCK = TOP / "requirements-compat.lock"
"""Packages that the suite imports and the project does not need."""

LIBRARIES_LOCK = TOP / "requirements-libraries.lock"
"""Packages that are built on LangGraph; LangChain among the suite's own would change what LangGraph tells of runs."""

FIXTURES = ("sync_checkpointer", "async_checkpointer")
"""The suite's fixtures that make checkpointers; a test counts here if it takes one."""


class SuiteError(PackagesError):
    """The suite is not to be had; the message says why and what to do."""


@dataclass(frozen=True)
class Suite:
    """Where the suite is, and what it needs."""

    version: str
    """LangGraph's, as installed."""

    folder: Path
    """Holds `tests` and the suite's own configuration of pytest."""

    helpers: Path
    """A folder of packages for the import path."""

    libraries: Path
    """Such a folder for graphs of libraries."""

    @property
    def files(self) -> list[str]:
        """The test files that take a checkpointer, relative to `folder`."""
        words = re.compile(rf"\b({'|'.join(FIXTURES)})\b")
        found = [path for path in (self.folder / "tests").glob("test_*.py") if words.search(path.read_text("utf-8"))]
        return sorted(str(path.relative_to(self.folder)) for path in found)


def prepare() -> Suite:
    """Fetch what is not there yet.

    Raises:
        PackagesError: If it cannot be fetched, or is not what the lock says.
    """
    installed = version("langgraph")
    suite = Suite(
        installed,
        BUILD / f"langgraph-{installed}",
        packages_of(HELPERS_LOCK, BUILD),
        packages_of(LIBRARIES_LOCK, BUILD),
    )
    if not suite.folder.is_dir():
        _unpack(_fetch(installed), suite.folder)
    return suite


def _fetch(wanted: str) -> Path:
    """LangGraph's source archive; pip compares its hash with the lock's."""
    pin = re.search(rf"^langgraph=={re.escape(wanted)} (?:\\\n +--hash=\S+ ?)+", LOCK.read_text("utf-8"), re.MULTILINE)
    if pin is None:
        raise SuiteError(f"LangGraph {wanted!r} is installed, which {LOCK.name} does not have. Run: make setup")
    BUILD.mkdir(parents=True, exist_ok=True)
    wish = BUILD / "langgraph.txt"
    wish.write_text(pin[0], encoding="utf-8")
    # pip builds the archive's metadata; hatchling is installed for our own build, so nothing else is fetched for that.
    options = ("--no-deps", "--no-binary", "langgraph", "--no-build-isolation", "--require-hashes")
    pip("download", *options, "--dest", BUILD, "--requirement", wish)
    return BUILD / f"langgraph-{wanted}.tar.gz"


def _unpack(archive: Path, folder: Path) -> None:
    """Take the tests and their configuration out of the archive, and put our checkpointers in their fixtures' place."""
    draft = folder.with_name("draft")
    shutil.rmtree(draft, ignore_errors=True)
    with tarfile.open(archive) as opened:
        wanted = [
            member
            for member in opened.getmembers()
            if member.name.startswith(f"{folder.name}/tests/") or member.name == f"{folder.name}/pyproject.toml"
        ]
        opened.extractall(draft, wanted, filter="data")
    with (draft / folder.name / "tests" / "conftest.py").open("a", encoding="utf-8") as conftest:
        conftest.write(f"\nfrom compat.fixtures import {', '.join(FIXTURES)}  # added by make compat\n")
    (draft / folder.name).rename(folder)
    draft.rmdir()

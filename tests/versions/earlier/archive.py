"""Archive: a filled database and the folder its program ran in, in one file that names no place of a machine.

Rows name the folder in texts, in JSON and inside stored bytes, where the length of a text stands before it. So the
folder's path has the same length wherever it is, and one path can take the place of another byte for byte: what is
opened are the rows that the earlier program wrote.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import psycopg

LENGTH = 180
"""Characters of the folder's path."""
NOWHERE = "/earlier".ljust(LENGTH, "-")
"""What stands for the folder in an archive."""
FOLDER = Path(__file__).parent
"""Where the archives are, one a release."""
DUMP = "database.sql"
FILES = "folder/"


def archives() -> list[Path]:
    """The databases of earlier versions, oldest version first."""
    return sorted(FOLDER.glob("*.tar.gz"), key=lambda path: [int(part) for part in version_of(path).split(".")])


def version_of(archive: Path) -> str:
    """The version whose program filled it."""
    return archive.name.removesuffix(".tar.gz")


def folder_below(place: Path) -> Path:
    """Make a folder whose path is as long as every such folder's.

    Args:
        place: An existing folder.
    """
    base = str(place.resolve())
    left = LENGTH - len(base) - 1
    if left < 1:
        raise ValueError(f"The folder {base!r} has too long a path; {LENGTH - 2} characters are the most.")
    made = Path(base, "f" * left)
    made.mkdir()
    return made


def _moved(text: str, old: str, new: str) -> str:
    """A dump with another folder, in its texts and in its bytes."""
    return text.replace(old, new).replace(old.encode().hex(), new.encode().hex())


def pack(archive: Path, dump: str, folder: Path) -> None:
    """Write an archive.

    Args:
        archive: The file.
        dump: The database's schema as SQL statements.
        folder: What the program ran in, made by `folder_below`.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        _add(tar, DUMP, _moved(dump, str(folder), NOWHERE).encode())
        for path in sorted(folder.rglob("*")):
            _add(tar, f"{FILES}{path.relative_to(folder)}", None if path.is_dir() else path.read_bytes())
    archive.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def _add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    entry = tarfile.TarInfo(name)  # belongs to nobody and has no time
    if content is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    entry.size = len(content or b"")
    tar.addfile(entry, io.BytesIO(content or b""))


def restore(archive: Path, url: str, place: Path) -> Path:
    """Put an archive's rows into a database without our schema, and its files into a new folder.

    Args:
        archive: The file.
        url: The database.
        place: An existing folder, in which the new one is made.

    Returns:
        The folder in which to go on with the threads.
    """
    folder = folder_below(place)
    with tarfile.open(archive) as tar:
        for entry in tar.getmembers():
            content = tar.extractfile(entry)
            path = folder / entry.name.removeprefix(FILES)
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            elif entry.name == DUMP:
                dump: Any = _moved(content.read().decode(), NOWHERE, str(folder))
                with psycopg.connect(url) as connection:
                    connection.execute(dump)
            else:
                path.write_bytes(content.read())
    return folder

"""Draft files: whole or not there at all, whoever writes or is killed at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openmanus_graph.files import atomic_write
from openmanus_graph.files.atomic_write import put_file


@pytest.fixture(params=["nameless", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A folder, with and without the system's files without a name."""
    if request.param == "named":
        monkeypatch.setattr(atomic_write, "_NAMELESS", 0)
    opened = os.open(tmp_path, os.O_RDONLY)
    yield opened
    os.close(opened)


def test_a_file_is_made_replaced_or_refused(folder: int, tmp_path: Path) -> None:
    put_file(folder, "a", b"one", mode=0o640)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640 & ~_umask()
    with pytest.raises(FileExistsError):
        put_file(folder, "a", b"two", exclusive=True)
    assert (tmp_path / "a").read_bytes() == b"one"
    put_file(folder, "a", b"two", prepare=lambda descriptor: os.fchmod(descriptor, 0o600))
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "a").stat().st_mode & 0o777) == (b"two", 0o600)
    (tmp_path / "below").mkdir()
    with pytest.raises(OSError, match=r"below|directory"):
        put_file(folder, "below", b"three")
    put_file(folder, "n" * 255, b"long")
    put_file(folder, "n" * 255, b"longer")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "below", "n" * 255]


def test_writers_at_the_same_time_leave_one_of_their_files(folder: int, tmp_path: Path) -> None:
    contents = [bytes([65 + number]) * 50_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda data: put_file(folder, "a", data), contents))
            assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


KILLED = """
import os, signal, sys
from openmanus_graph import fault_points
from openmanus_graph.files.atomic_write import put_file
fault_points.watch(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == sys.argv[2] else None)
put_file(os.open(sys.argv[1], os.O_RDONLY), "a", b"new")
"""


@pytest.mark.kill
@pytest.mark.parametrize("moment", ["before file a", "within file a", "within replacement of a", "after file a"])
@pytest.mark.parametrize("exists", [False, True])
def test_a_kill_leaves_the_old_file_or_the_new_one_and_its_repetition_nothing_else(
    moment: str, exists: bool, tmp_path: Path
) -> None:
    if exists:
        (tmp_path / "a").write_bytes(b"old")
    status = subprocess.run([sys.executable, "-c", KILLED, tmp_path, moment], check=False).returncode
    assert status == (0 if moment == "within replacement of a" and not exists else -signal.SIGKILL)
    done = moment == "after file a" or status == 0
    before = (tmp_path / "a").read_bytes() if (tmp_path / "a").exists() else None
    assert before == (b"new" if done else b"old" if exists else None)
    folder = os.open(tmp_path, os.O_RDONLY)
    put_file(folder, "a", b"new")
    os.close(folder)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new"}


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask

"""Shared folder: four processes read and write one folder of Chroma's, and each reads what there is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.errors import VectorIndexError
from openmanus_graph.memory.semantic import chroma_access
from openmanus_graph.memory.semantic.chroma_access import ChromaFolder, file_system_of
from tests.conftest import Require
from tests.memory.conftest import NO_CHROMA

TOP = Path(__file__).resolve().parents[2]
PROCESSES = 4


def run_together(folder: Path, *options: str, operations: int = 50) -> list[dict[str, Any]]:
    """What each of the processes has counted."""
    command = [sys.executable, "-m", "tests.memory.shared_folder", str(folder)]
    started = [
        subprocess.Popen(
            [*command, str(seed), str(operations), str(PROCESSES), *options],
            cwd=TOP,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(PROCESSES)
    ]
    ended = [(*process.communicate(timeout=240), process.returncode) for process in started]
    assert [code for _, _, code in ended] == [0] * PROCESSES, ended
    return [json.loads(out.splitlines()[-1]) for out, _, _ in ended]


@pytest.mark.programs
@pytest.mark.parametrize("operations", [15, pytest.param(50, marks=pytest.mark.chaos)])
def test_every_read_is_right(operations: int, tmp_path: Path, require: Require) -> None:
    require(*NO_CHROMA)
    counted = run_together(tmp_path / "chroma", operations=operations)

    assert [one["wrong"] for one in counted] == [[]] * PROCESSES
    assert sum(one["writes"] for one in counted) > operations * 0.8
    assert sum(one["reads"] for one in counted) > operations * 1.6
    assert sum(one["reopened"] for one in counted) > PROCESSES


@pytest.mark.chaos
@pytest.mark.programs
def test_without_the_counter_the_same_reads_are_wrong(tmp_path: Path, require: Require) -> None:
    """What the counter is for: should Chroma see foreign writes by itself one day, it can go."""
    require(*NO_CHROMA)

    assert any(one["wrong"] for one in run_together(tmp_path / "chroma", "--without-counter"))


def test_the_folder_is_for_its_account_alone(tmp_path: Path, require: Require) -> None:
    require(*NO_CHROMA)
    folder = ChromaFolder(tmp_path / "a" / "chroma")
    folder.use(lambda client: client.heartbeat(), write=True)
    folder.close()
    folder.close()

    assert (tmp_path / "a" / "chroma").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "chroma" / "lock").stat().st_mode & 0o777 == 0o600


def test_the_folder_has_one_name_on_every_host_and_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ChromaFolder(tmp_path / "chroma")
    name = here.target
    here.close()
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "other", "", "", "")))
    (tmp_path / "chroma").rename(tmp_path / "mounted")
    there, another = ChromaFolder(tmp_path / "mounted"), ChromaFolder(tmp_path / "chroma")

    assert there.target == name != another.target
    assert sorted(path.name for path in (tmp_path / "mounted").iterdir()) == ["id"]
    there.close()
    another.close()


def test_a_failure_is_one_sentence_and_the_next_use_works(tmp_path: Path, require: Require) -> None:
    require(*NO_CHROMA)
    folder = ChromaFolder(tmp_path / "chroma")
    with pytest.raises(VectorIndexError, match=r"fails: Collection .*none.* does not exist"):
        folder.use(lambda client: client.get_collection("none"), write=False)

    assert folder.use(lambda client: client.list_collections(), write=False) == []
    folder.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, require: Require) -> None:
    require(*NO_CHROMA)
    (tmp_path / "file").touch()
    folder = ChromaFolder(tmp_path / "file" / "chroma")
    with pytest.raises(VectorIndexError, match=r"The folder '.*' cannot be used: Not a directory\."):
        folder.use(lambda client: client.heartbeat(), write=False)
    folder.close()


@pytest.mark.parametrize("kind", ["nfs4", "nfs", "cifs", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nhost:/x {tmp_path} {kind} rw 0 0\n/dev/b /elsewhere tmpfs rw 0 0\n")
    monkeypatch.setattr(chroma_access, "file_system_of", lambda folder: file_system_of(folder, mounts))

    with pytest.raises(VectorIndexError, match=f"network file system '{kind}'"):
        ChromaFolder(tmp_path / "chroma")


def test_the_kind_of_a_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    spaced = str(tmp_path / "a b").replace(" ", "\\040")
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nx {tmp_path} xfs rw 0 0\ny {spaced} btrfs rw 0 0\n")

    assert file_system_of(tmp_path / "a b" / "c", mounts) == "btrfs"
    assert file_system_of(tmp_path / "a", mounts) == "xfs"
    assert file_system_of(Path("/usr"), mounts) == "ext4"
    assert file_system_of(tmp_path, tmp_path / "none") == ""
    assert file_system_of(Path(os.sep)) != ""

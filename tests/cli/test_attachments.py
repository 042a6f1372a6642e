"""Attachments: copied into the workspace, bounded, and never over something else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from openmanus_graph.cli import attachments
from openmanus_graph.cli.attachments import attach, checked
from openmanus_graph.cli.options import RunOptions
from openmanus_graph.cli.run import attached, handed
from openmanus_graph.errors import ToolError, UsageError
from openmanus_graph.files.picture import picture_in
from tests.pdf_file import pdf


def refused(folder: Path, *names: str) -> str:
    """The sentence with which files of the folder are refused; nothing is written for those that could be."""
    before = sorted(folder.iterdir())
    with pytest.raises(UsageError) as raised:
        checked([str(folder / name) for name in names])
    assert sorted(folder.iterdir()) == before
    return raised.value.message


def test_a_file_is_copied_and_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n")
    (tmp_path / "data.csv").chmod(0o600)
    workspace = tmp_path / "deep" / "workspace"
    assert attach(checked([str(tmp_path / "data.csv")]), workspace) == ["data.csv"]
    assert (workspace / "data.csv").read_text() == "a,b\n"
    assert (workspace / "data.csv").stat().st_mode & 0o044, "confined tools run under another account"
    assert [path.name for path in workspace.iterdir()] == ["data.csv"]


def test_nothing_is_overwritten_and_the_same_file_is_there_once(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "notes.tar.gz").write_text("mine")
    (tmp_path / "notes.tar.gz").write_text("theirs")
    given = checked([str(tmp_path / "notes.tar.gz")])
    assert attach(given, workspace) == ["notes-2.tar.gz"]
    assert attach(given, workspace) == ["notes-2.tar.gz"]
    assert (workspace / "notes.tar.gz").read_text() == "mine"
    assert (workspace / "notes-2.tar.gz").read_text() == "theirs"


def test_a_link_in_the_workspace_is_not_followed(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (tmp_path / "outside").write_text("kept")
    (workspace / "a.txt").symlink_to(tmp_path / "outside")
    (tmp_path / "a.txt").write_text("new")
    assert attach(checked([str(tmp_path / "a.txt")]), workspace) == ["a-2.txt"]
    assert (tmp_path / "outside").read_text() == "kept"


def nothing(path: Path) -> None:
    """Leave it missing."""


def large(path: Path) -> None:
    """A file of one byte more than may be attached; it takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(attachments.LARGEST_FILE + 1)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (nothing, "The file {path!r} cannot be attached: No such file or directory."),
        (Path.mkdir, "{path!r} cannot be attached: it is a folder."),
        (os.mkfifo, "{path!r} cannot be attached: it is no regular file."),
        (large, "The file {path!r} has 104,857,601 bytes; at most 104,857,600 can be attached."),
    ],
    ids=["missing", "folder", "pipe", "large"],
)
def test_what_cannot_be_attached_is_named_before_anything_is_written(
    tmp_path: Path, make: Callable[[Path], None], reason: str
) -> None:
    (tmp_path / "fine").write_text("x")
    make(tmp_path / "given")
    assert refused(tmp_path, "fine", "given") == reason.format(path=str(tmp_path / "given"))


def test_what_may_not_be_read_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fine").write_text("x")
    (tmp_path / "given").write_text("x")
    # The administrator may read whatever its mode says, and may be who runs the tests.
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path).name == "given" and mode & os.R_OK))
    path = str(tmp_path / "given")
    assert refused(tmp_path, "fine", "given") == f"The file {path!r} cannot be attached: it may not be read."


def test_too_many_files_are_counted_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "fine").write_text("x")
    assert refused(tmp_path, *["fine"] * 101) == "101 files are attached; at most 100 can be."
    assert len(checked([str(tmp_path / "fine")] * 100)) == 100


def test_odd_names_become_printable_ones(tmp_path: Path) -> None:
    odd = tmp_path / "a\nb\x1b.txt"
    odd.write_text("x")
    assert attach(checked([str(odd)]), tmp_path / "w") == ["a_b_.txt"]


def test_a_recording_that_nothing_can_listen_to_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "call.mp3").write_bytes(b"ID3")
    options = RunOptions(workspace=str(tmp_path / "work"))

    assert attached([tmp_path / "call.mp3"], "t", None, options) == ["call.mp3"]
    assert "'call.mp3' is sound, and nothing can listen to it here. No model transcribes: name one in" in (
        capsys.readouterr().err
    )
    monkeypatch.setenv("OPENMANUS_GRAPH_MODELS", '{"transcription": {"model": "openai/whisper-1"}}')
    attached([tmp_path / "call.mp3"], "t", None, options)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("needs_pdfium")
async def test_a_page_of_a_pdf_comes_as_a_picture_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.pdf").write_bytes(pdf("", pages=2))
    (tmp_path / "odd.pdf#page=1").write_bytes(b"a file of this name")
    options = RunOptions(workspace=str(tmp_path / "work"))

    given = await handed(["scan.pdf#page=2", "odd.pdf#page=1"], "t", None, options)

    assert given[:2] == ["scan.pdf", "odd.pdf#page=1"]
    assert picture_in(tmp_path / "work", given[2]).height == 1568
    with pytest.raises(ToolError, match="has 2 pages"):
        await handed(["scan.pdf#page=3"], "t", None, options)
    with pytest.raises(UsageError, match=r"'none\.pdf' cannot be attached"):
        checked(["none.pdf#page=1"])

"""Attachments: copied into the workspace, bounded, and never over something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openmanus_graph.cli import attachments
from openmanus_graph.cli.attachments import attach, checked
from openmanus_graph.errors import UsageError


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


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "large", "many"])
def test_what_cannot_be_attached_is_named_before_anything_is_written(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / kind
    files = [str(path)]
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "large":
        monkeypatch.setattr(attachments, "LARGEST_FILE", 10)
        path.write_text("x" * 11)
    elif kind == "many":
        path.write_text("")
        files *= 101
    with pytest.raises(UsageError) as raised:
        checked(files)
    assert kind in str(raised.value) or "101" in str(raised.value)


def test_odd_names_become_printable_ones(tmp_path: Path) -> None:
    odd = tmp_path / "a\nb\x1b.txt"
    odd.write_text("x")
    assert attach(checked([str(odd)]), tmp_path / "w") == ["a_b_.txt"]

"""Workspace: the default folder's name, made of any thread id and safe as one folder."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph.workspace import default_workspace


@given(st.text(min_size=1, max_size=600))
def test_any_id_gives_one_plain_folder(thread_id: str) -> None:
    folder = default_workspace(thread_id)
    assert folder.parent == Path.cwd() / "openmanus-work"
    assert len(folder.name.encode()) <= 255
    assert not folder.name.startswith(".")


def test_a_plain_id_is_the_name() -> None:
    assert default_workspace("tour").name == "tour"


def test_long_ids_with_the_same_beginning_have_different_folders() -> None:
    one, other = (default_workspace("a" * 300 + end).name for end in "xy")
    assert one != other
    assert one.startswith("a" * 100)

"""Fixtures for tests of built-in tools."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.settings import Settings


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def context(workspace: Path) -> Iterator[ToolContext]:
    """A call is running in `workspace`."""
    made = ToolContext(thread_id="t", subtask_id="s", workspace=workspace, settings=Settings())
    with using_tool_context(made):
        yield made

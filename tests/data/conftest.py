"""Fixtures for tests of tables and charts: a workspace with data, and a call that is running in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.sandbox import probe

LEVELS: list[SandboxChoice] = [*(report.level for report in probe(Settings()) if report.works), "none"]
SALES = "town,n,price\nAlm,4200,1.5\nBirk,12000,2.25\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with one file, below one that only its owner enters."""
    folder = tmp_path / "private" / "work"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    (folder / "sales.csv").write_text(SALES)
    return folder


@pytest.fixture
def level() -> SandboxChoice:
    """How tools are confined, unless a test is parametrized by it."""
    return "auto"


@pytest.fixture
def context(workspace: Path, level: SandboxChoice) -> Iterator[ToolContext]:
    """A call is running in the workspace."""
    made = ToolContext("t", "s", workspace, Settings(), level)
    with using_tool_context(made):
        yield made

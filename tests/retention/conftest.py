"""Fixtures of retention tests: a folder of their own, and the agent on a scripted provider."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.conftest import build, provider
from tests.cli.conftest import program, program_in

__all__ = ["build", "own_folder", "program", "program_in", "provider"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own, where workspaces go by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

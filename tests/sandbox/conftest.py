"""Fixtures for what runs confined: the levels this machine offers, and a folder to work in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from openmanus_graph.config.settings import SandboxChoice, Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.sandbox import Level, probe

OFFERED: list[Level] = [report.level for report in probe(Settings()) if report.works]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`level` is each confining level that works here, `any_level` each of them and no confinement."""
    if "level" in metafunc.fixturenames:
        metafunc.parametrize("level", OFFERED)
    if "any_level" in metafunc.fixturenames:
        metafunc.parametrize("any_level", [*OFFERED, "none"])


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty folder below one of mode 0700, as below a home."""
    folder = tmp_path / "private" / "work"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    return folder


@pytest.fixture
def settings() -> Settings:
    """The defaults."""
    return Settings()


@pytest.fixture
async def context(workspace: Path, settings: Settings, any_level: SandboxChoice) -> AsyncIterator[ToolContext]:
    """A subtask at `any_level`, its sessions closed at the end."""
    made = ToolContext("thread", "subtask", workspace, settings, any_level)
    with using_tool_context(made):
        yield made
    await made.sessions.aclose()


@pytest.fixture
def marker() -> Iterator[str]:
    """A duration for `sleep` that no other process has; whatever still sleeps it is ended."""
    text = f"9{os.getpid()}.{os.urandom(4).hex().translate(str.maketrans('abcdef', '012345'))}"
    yield text
    for pid in sleeping(text):
        os.kill(pid, 9)


def sleeping(marker: str) -> list[int]:
    """The processes of the machine that sleep for `marker`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if words[:1] == [b"sleep"] and marker.encode() in words:
                found.append(int(entry.name))
    return found


async def gone(marker: str) -> bool:
    """Whether nothing sleeps for `marker` within a minute."""
    deadline = time.monotonic() + 60
    while sleeping(marker):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True

"""An agent on a scripted provider: every test runs in a folder of its own, with its own database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import ScriptedServer

Build = Callable[..., DurableGraph]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run each test in a folder of its own, where workspaces go by default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    """A scripted provider that each test fills with replies."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def build(provider: ScriptedServer, saver: ThreadSaver, tmp_path: Path) -> Build:
    """Builds the agent on the provider, compiled with the test's database."""

    def make(*, settings: dict[str, Any] | None = None, **options: Any) -> DurableGraph:
        chosen = Settings.load(
            home=tmp_path / "home",
            llm_model="openai/scripted",
            llm_base_url=provider.base_url,
            llm_api_key="sk-scripted",
            **(settings or {}),
        )
        return build_manus_graph(settings=chosen, **options).compile(checkpointer=saver)

    return make

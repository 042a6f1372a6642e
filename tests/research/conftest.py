"""A research on a site, a search engine and a model of rules, all on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver, make_durable
from openmanus_graph.graphs.deep_research import build_deep_research
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.testing import ScriptedServer
from tests.cli.conftest import program_in  # noqa: F401 - a fixture
from tests.research.web import (
    Rules,
    Web,
    all_supported,
    claims_of_notes,
    nothing_missing,
    question,
    sentences_noted,
    serving,
)

PAGES = {
    "/opened": "<title>Opening</title><h1>History</h1><p>The bridge of Alm was opened in 1931. It is red.</p>",
    "/mayor": "<title>Mayor</title><h2>Facts</h2><p>The mayor opened the bridge of Alm in 1933.</p>",
    "/toll": "<title>Toll</title><p>Crossing the bridge costs 3 crowns.</p>",
    "/archive": "<title>Archive</title><p>The toll of the bridge was 2 crowns until 1999.</p>",
}
FOUND = {
    "bridge Alm opened": ["/opened", "/mayor"],
    "bridge Alm toll": ["/toll", "/gone"],
    "bridge Alm toll before": ["/toll", "/archive"],
}
QUESTIONS = {
    "questions": [
        question("When was the bridge of Alm opened?", "bridge Alm opened"),
        question("What does crossing it cost?", "bridge Alm toll"),
    ]
}
QUERY = "Tell me of the bridge of Alm."

Research = Callable[..., DurableGraph]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web(PAGES, FOUND)) as found:
        yield found


@pytest.fixture
def rules() -> Rules:
    """Rules that plan two questions, note sentences with numbers, claim each note and find all supported."""
    return Rules(
        questions=lambda _: QUESTIONS,
        note=sentences_noted,
        gaps=nothing_missing,
        report=claims_of_notes,
        check=all_supported,
    )


@pytest.fixture
def model(rules: Rules) -> Iterator[ScriptedServer]:
    with ScriptedServer(rules) as server:
        yield server


@pytest.fixture
def settings(model: ScriptedServer, web: Web, tmp_path: Path) -> Callable[..., Settings]:
    def make(**more: Any) -> Settings:
        given: dict[str, Any] = {
            "home": tmp_path / "home",
            "llm_model": "openai/scripted",
            "llm_base_url": model.base_url,
            "llm_api_key": "sk-scripted",
            "searxng_url": web.url,
            "allow_hosts": ["127.0.0.1"],
        }
        return Settings.load(**{**given, **more})

    return make


@pytest.fixture
def research(settings: Callable[..., Settings], saver: ThreadSaver) -> Research:
    """The graph by itself, on the test's database."""

    def make(**more: Any) -> DurableGraph:
        chosen = settings(**more)
        return make_durable(build_deep_research(settings=chosen), saver, settings=chosen)

    return make

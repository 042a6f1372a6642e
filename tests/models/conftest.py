"""Fixtures for models: a scripted server, and a role that asks it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool

from openmanus_graph.call_site import CallSite
from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.events import Event
from openmanus_graph.models.catalog import ModelsChoice
from openmanus_graph.models.gateway import Models
from openmanus_graph.models.structured import Structured
from openmanus_graph.scope import Scope
from openmanus_graph.testing import ScriptedServer

PLACE = CallSite("executor", "s1")
HELLO = [HumanMessage("Hello.")]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key or setting of the person who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("LLM_", "OPENMANUS_GRAPH_")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@dataclass
class Asker:
    """One role of one run."""

    settings: Settings
    chosen: ModelsChoice | None = None
    events: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        self.models = Models(self.settings, self.chosen)
        self.scope = Scope("thread", self.settings, None)

    async def ask(self, messages: Sequence[BaseMessage] = HELLO, tools: Sequence[BaseTool] = ()) -> AIMessage:
        return await self.models.reply(PLACE, messages, scope=self.scope, emit=self.events.append, tools=tools)

    async def ask_object(self, schema: dict[str, Any], messages: Sequence[BaseMessage] = HELLO) -> Structured:
        return await self.models.structured(
            PLACE, messages, scope=self.scope, emit=self.events.append, schema=schema, name="answer"
        )

    def said(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.get("type") == kind]


@dataclass
class Maker:
    """Makes askers of the scripted server."""

    server: ScriptedServer
    home: Path

    def __call__(self, chosen: ModelsChoice | None = None, /, *, roles: Any = None, **table: Any) -> Asker:
        """An asker; `table` is what is set for the role, `roles` more tables."""
        given = {name.lower(): value for name, value in self.server.environment.items()}
        tables = {"executor": ModelSettings(**table), **(roles or {})}
        return Asker(Settings.load(home=self.home, models=tables, **given), chosen)


@pytest.fixture
def asker(server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setattr("openmanus_graph.models.call.backoff", lambda attempt: 0.01 * attempt)
    return Maker(server, tmp_path)

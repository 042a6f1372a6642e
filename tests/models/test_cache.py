"""Cache: a reply to the same words is given again, at no cost, and says so; off unless it is set."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from openmanus_graph.config.sections import CacheSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.models.gateway import Models, usage_of
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.conftest import Require
from tests.models.conftest import Asker, Maker
from tests.models.tools import bash


@pytest.fixture
def cached(asker: Maker, require: Require) -> Asker:
    require(importlib.util.find_spec("diskcache") is not None, "diskcache is missing", "pip install diskcache")
    made = asker(input_usd_per_million=1.0, output_usd_per_million=1.0)
    return Asker(made.settings.model_copy(update={"model_cache": CacheSettings(kind="disk")}))


async def test_the_same_question_is_answered_from_the_cache(server: ScriptedServer, cached: Asker) -> None:
    server.add(Reply("Let me see.", [ToolUse("bash", {"command": "ls"}, "c1")], usage=(100, 20)), Reply("Other."))

    first = await cached.ask(tools=[bash])
    again = await Asker(cached.settings).ask(tools=[bash])  # as another process would
    other = await cached.ask([HumanMessage("Something else.")], tools=[bash])

    assert len(server.requests) == 2
    assert (again.text, again.tool_calls) == (first.text, first.tool_calls)
    assert (usage_of(first)["cache_hits"], usage_of(again)["cache_hits"], usage_of(other)["cache_hits"]) == (0, 1, 0)
    assert usage_of(first)["cost_usd"] == pytest.approx(0.00012)
    assert usage_of(again)["cost_usd"] == 0.0
    assert cached.scope.spending.total["calls"] == 2


async def test_a_reply_that_was_cut_is_not_kept(server: ScriptedServer, cached: Asker) -> None:
    server.add(Reply("It beg", finish_reason="length"), Reply("It is whole."))

    await cached.ask()

    assert (await cached.ask()).text == "It is whole."


async def test_without_it_every_question_is_asked(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("One."), Reply("Two."))
    role = asker()

    await role.ask()

    assert (await role.ask()).text == "Two."


def test_what_it_needs_is_said_when_the_models_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)  # as where the package is not installed
    with pytest.raises(SettingsError, match="pip install diskcache"):
        Models(Settings.load(home=tmp_path, model_cache=CacheSettings(kind="disk")))


def test_redis_needs_the_name_of_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.delenv("REDIS_URL", raising=False)
    for choice, words in (
        (CacheSettings(kind="redis"), "url_env"),
        (CacheSettings(kind="redis", url_env="REDIS_URL"), "REDIS_URL"),
    ):
        with pytest.raises(SettingsError, match=words):
            Models(Settings.load(home=tmp_path, model_cache=choice))

"""Choice: which model a role gets, and which key goes where."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import HumanMessage
from pydantic import SecretStr

from openmanus_graph.call_site import CallSite
from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import NoModelError
from openmanus_graph.models.catalog import Catalog
from openmanus_graph.models.gateway import Models
from openmanus_graph.models.overview import describe_models
from openmanus_graph.scope import Scope


def settings(**given: object) -> Settings:
    return Settings.load(home=Path("/nonexistent/home"), **given)


def test_without_a_model_it_is_said_what_to_set() -> None:
    with pytest.raises(NoModelError) as raised:
        Models(settings()).require()

    assert raised.value.exit_code == 2
    for words in ("LLM_MODEL", "LLM_API_KEY", "openai/gpt-5-mini", "ollama_chat/qwen3"):
        assert words in str(raised.value)


def test_a_role_without_a_model_is_named() -> None:
    with pytest.raises(NoModelError, match="planner"):
        Models(settings(), {"executor": "openai/a"}).require()


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(NoModelError, match="no role 'plannr'"):
        Models(settings(), {"plannr": "openai/a"})


def test_the_nearest_choice_wins() -> None:
    given = settings(
        llm_model="openai/from-variable",
        models={"default": ModelSettings(model="openai/from-default"), "planner": ModelSettings(model="openai/own")},
    )

    assert Models(given).names["executor"] == "openai/from-default"
    assert Models(given).names["planner"] == "openai/own"
    assert Models(settings(llm_model="openai/from-variable")).names["verifier"] == "openai/from-variable"
    assert set(Models(given, "openai/given").names.values()) == {"openai/given"}
    assert Models(given, {"planner": "openai/given"}).names["executor"] == "openai/from-default"


def test_a_chat_model_shows_its_own_name() -> None:
    models = Models(settings(), GenericFakeChatModel(messages=iter([])))

    assert models.names["planner"] == "GenericFakeChatModel"
    assert not models.importable
    assert Models(settings(), {"planner": "openai/a"}).importable


def test_a_table_fills_in_from_the_default_one() -> None:
    default = ModelSettings(model="openai/a", base_url="http://here/v1", temperature=0.1, retries=7, window=5000)
    planner = ModelSettings(model="openai/b", temperature=0.9)
    (target,) = Catalog(settings(models={"default": default, "planner": planner})).targets("planner")

    table = target.settings
    assert (table.model, table.base_url, table.temperature, table.retries) == ("openai/b", "http://here/v1", 0.9, 7)
    assert table.window is None  # another model's


def test_another_providers_model_gets_neither_url_nor_key() -> None:
    given = settings(
        llm_model="openai/a",
        llm_base_url="http://here/v1",
        llm_api_key=SecretStr("sk-mine-123456"),
        models={
            "planner": ModelSettings(model="anthropic/claude-x"),
            "verifier": ModelSettings(model="openai/b", fallbacks=("anthropic/claude-x",)),
        },
    )

    (planner,) = Catalog(given).targets("planner")
    verifier, fallback = Catalog(given).targets("verifier")
    assert (planner.api_key, planner.settings.base_url) == (None, None)
    assert (verifier.api_key, verifier.settings.base_url) == ("sk-mine-123456", "http://here/v1")
    assert (fallback.api_key, fallback.settings.base_url) == (None, None)


def test_a_model_given_in_python_gets_no_key_of_another_provider() -> None:
    given = settings(llm_model="openai/a", llm_api_key=SecretStr("sk-mine-123456"))

    (other,) = Catalog(given, "anthropic/claude-x").targets("planner")
    (same,) = Catalog(given, "openai/b").targets("planner")
    (only,) = Catalog(settings(llm_api_key=SecretStr("sk-mine-123456")), "anthropic/claude-x").targets("planner")

    assert (other.api_key, same.api_key, only.api_key) == (None, "sk-mine-123456", "sk-mine-123456")


def test_a_bare_name_behind_a_url_is_openai_compatible() -> None:
    (target,) = Catalog(settings(llm_model="qwen3-8b", llm_base_url="http://localhost:8000/v1")).targets("planner")

    assert target.litellm_name == "openai/qwen3-8b"
    assert target.name == "qwen3-8b"


def test_a_key_by_name_must_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(models={"default": ModelSettings(model="openai/a", api_key_env="TEAM_KEY")})
    with pytest.raises(NoModelError, match="TEAM_KEY"):
        Catalog(given).targets("planner")

    monkeypatch.setenv("TEAM_KEY", "sk-team-123456")
    (target,) = Catalog(given).targets("planner")

    assert target.api_key == "sk-team-123456"
    assert "sk-team" not in repr(target)


def test_keys_in_the_env_file_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("LLM_MODEL=openai/a\nOPENAI_API_KEY=sk-in-the-file-1\nTEAM_KEY=sk-in-the-file-2\n")
    (own,) = Catalog(settings()).targets("planner")
    (named,) = Catalog(settings(models={"planner": ModelSettings(api_key_env="TEAM_KEY")})).targets("planner")

    assert (own.api_key, named.api_key) == ("sk-in-the-file-1", "sk-in-the-file-2")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("openai/gpt-4o", "OPENAI_API_KEY is not set"),
        ("anthropic/claude-x", "ANTHROPIC_API_KEY is not set"),
        ("nonsense/model", "no provider that LiteLLM knows"),
        ("just-a-name", "no provider that LiteLLM knows"),
    ],
)
async def test_a_model_that_cannot_be_called_is_said_before_the_call(name: str, words: str) -> None:
    given = settings(llm_model=name)
    models, scope = Models(given), Scope("t", given, None)
    events: list[object] = []

    with pytest.raises(NoModelError, match=words):
        await models.reply(CallSite("planner"), [HumanMessage("Plan.")], scope=scope, emit=events.append)


def test_the_overview_names_variables_and_never_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-value-123456")
    given = settings(
        llm_model="openai/a",
        models={
            "planner": ModelSettings(model="anthropic/b", fallbacks=("openai/c",)),
            "verifier": ModelSettings(model="ollama_chat/d", base_url="http://user:pass@box:11434"),
            "reporter": ModelSettings(model="openai/e", api_key_env="MISSING_KEY"),
        },
    )
    rows = {row.role: row for row in describe_models(given)}

    assert (rows["executor"].key, rows["executor"].key_is_set) == ("OPENAI_API_KEY", True)
    assert (rows["planner"].key, rows["planner"].key_is_set) == ("ANTHROPIC_API_KEY", False)
    assert rows["planner"].fallbacks == ("openai/c",)
    assert (rows["verifier"].server, rows["verifier"].key) == ("box:11434", None)
    assert "MISSING_KEY" in str(rows["reporter"].problem)
    assert "sk-value" not in str(rows)
    assert "pass" not in str(rows)
    assert describe_models(settings())[0].model is None

"""Catalog: which model serves which role, where it answers, and which key it takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dotenv import dotenv_values
from langchain_core.language_models import BaseChatModel

from openmanus_graph.call_site import ROLES
from openmanus_graph.config.sections import ModelSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import NoModelError

ModelsChoice = str | BaseChatModel | Mapping[str, str | BaseChatModel]
"""A model's name, a LangChain chat model, or either by role, with `default` for the rest."""

REPLAY_PREFIX = "replay:"
"""Prefix of a model's name when a recording takes its place."""

DEFAULT = "default"
"""The table, or the key of a choice, for every role that has none of its own."""

_OF_THE_SERVER = ("base_url", "api_key_env", "keep_alive", "extra", "requests_per_minute", "tokens_per_minute")
_OF_THE_MODEL = ("window", "input_usd_per_million", "output_usd_per_million", "tool_calling", "images")

EXAMPLES = "Set LLM_MODEL, as in LLM_MODEL=openai/gpt-5-mini with LLM_API_KEY, or LLM_MODEL=ollama_chat/qwen3."


def provider_of(name: str) -> str:
    """The part of a model's name before the first slash; empty without one."""
    provider, slash, _ = name.partition("/")
    return provider if slash else ""


def variable(name: str) -> str | None:
    """An environment variable, else one of `.env` in the current folder, as for the settings; empty ones are none."""
    return os.environ.get(name) or dotenv_values(".env").get(name) or None


@dataclass(frozen=True)
class ModelTarget:
    """One model that a role may call: its first choice, or a fallback."""

    role: str
    """The role it was looked up for."""
    name: str
    """The name as the user wrote it, shown in events, usage and errors."""
    settings: ModelSettings
    """Its settings, inheritance resolved."""
    api_key: str | None = field(default=None, repr=False)
    """The key to send; `None` leaves it to the provider's own variable."""
    key_from: str | None = None
    """Name of the environment variable the key came from; `None` for the provider's own."""
    chat_model: BaseChatModel | None = field(default=None, repr=False)
    """The LangChain object that was given; `None` when LiteLLM makes the calls."""

    @property
    def replay(self) -> str | None:
        """The file of a `replay:FILE` model."""
        return self.name.removeprefix(REPLAY_PREFIX) if self.name.startswith(REPLAY_PREFIX) else None

    @property
    def litellm_name(self) -> str:
        """The name in LiteLLM's words: a bare one behind a base URL is an OpenAI-compatible server's."""
        if self.settings.base_url and not provider_of(self.name):
            return f"openai/{self.name}"
        return self.name


def name_of(chat_model: BaseChatModel) -> str:
    """The model's name in a LangChain object, else the name of the class."""
    for attribute in ("model_name", "model", "model_id"):
        name = getattr(chat_model, attribute, None)
        if isinstance(name, str) and name:
            return name
    return type(chat_model).__name__


class Catalog:
    """Resolves roles to models, from the caller's choice and the user's settings."""

    def __init__(self, settings: Settings, chosen: ModelsChoice | None = None) -> None:
        """Look roles up in `chosen`, then in the settings.

        Args:
            settings: The user's settings.
            chosen: The caller's choice, or `None`.
        """
        self._settings = settings
        self._chosen = self._by_role(chosen)

    @staticmethod
    def _by_role(chosen: ModelsChoice | None) -> dict[str, str | BaseChatModel]:
        if chosen is None:
            return {}
        if not isinstance(chosen, Mapping):
            return {DEFAULT: chosen}
        if unknown := [role for role in chosen if role not in (*ROLES, DEFAULT)]:
            raise NoModelError(
                f"There is no role {unknown[0]!r} to give a model to.",
                hint=f"Roles are: {', '.join(ROLES)}, {DEFAULT}.",
            )
        return dict(chosen)

    @property
    def importable(self) -> bool:
        """Whether another process can make the same choice from names alone."""
        return all(isinstance(choice, str) for choice in self._chosen.values())

    def names(self) -> dict[str, str]:
        """The first model of every role that has one."""
        models: dict[str, str] = {}
        for role in ROLES:
            name = self._first_name(role)
            if name is not None:
                models[role] = name
        return models

    def require(self) -> None:
        """Check that every role has a model.

        Raises:
            NoModelError: With what to set, and two examples.
        """
        for role in ROLES:
            if self._first_name(role) is None:
                which = "No model is set" if not self.names() else f"No model is set for the role {role!r}"
                raise NoModelError(f"{which}.", hint=EXAMPLES)

    def targets(self, role: str) -> list[ModelTarget]:
        """The models of a role: its own, then its fallbacks, in order.

        Raises:
            NoModelError: If there is none, or its key is missing.
        """
        chosen = self._choice(role)
        if chosen is not None and not isinstance(chosen, str):
            table = self._table(role, name_of(chosen))
            first = ModelTarget(role, name_of(chosen), table, chat_model=chosen)
        else:
            name = self._first_name(role)
            if name is None:
                raise NoModelError(f"No model is set for the role {role!r}.", hint=EXAMPLES)
            first = self._target(role, name, self._table(role, name))
        targets = [first]
        targets += [self._fallback(role, name, first.settings) for name in first.settings.fallbacks]
        return targets

    def _choice(self, role: str) -> str | BaseChatModel | None:
        return self._chosen.get(role, self._chosen.get(DEFAULT))

    def _first_name(self, role: str) -> str | None:
        chosen = self._choice(role)
        if chosen is not None:
            return chosen if isinstance(chosen, str) else name_of(chosen)
        for table in self._tables(role):
            if table.model:
                return table.model
        return self._settings.llm_model or None

    def _tables(self, role: str) -> Iterator[ModelSettings]:
        for name in (role, DEFAULT):
            if name in self._settings.models:
                yield self._settings.models[name]

    def _table(self, role: str, name: str) -> ModelSettings:
        """The settings of a role that fit the model: URL and key of another provider are left out."""
        merged: dict[str, Any] = {}
        for table in reversed(list(self._tables(role))):
            owner = table.model or (self._settings.llm_model if table is self._settings.models.get(DEFAULT) else name)
            for key in table.model_fields_set:
                if key in _OF_THE_MODEL and owner != name:
                    continue
                if key in _OF_THE_SERVER and provider_of(owner or "") != provider_of(name):
                    continue
                merged[key] = getattr(table, key)
        return self._with_variables(name, ModelSettings.model_validate({**merged, "model": name}))

    def _with_variables(self, name: str, table: ModelSettings) -> ModelSettings:
        """The settings with `LLM_BASE_URL`, for the model of `LLM_MODEL` and others of its provider."""
        url = self._settings.llm_base_url
        if url and table.base_url is None and self._is_of_variables(name):
            return table.model_copy(update={"base_url": url})
        return table

    def _is_of_variables(self, name: str) -> bool:
        """Whether `LLM_API_KEY` and `LLM_BASE_URL` are this model's: a key never goes to another provider."""
        main = self._settings.llm_model
        if main is None:
            default, chosen = self._settings.models.get(DEFAULT), self._chosen.get(DEFAULT)
            main = chosen if isinstance(chosen, str) else default.model if default else None
        return main is None or name == main or provider_of(name) == provider_of(main)

    def _fallback(self, role: str, name: str, first: ModelSettings) -> ModelTarget:
        table = self._settings.models.get(name)
        if table is not None and table.model:
            return self._target(role, table.model, self._table(name, table.model))
        settings = self._table(role, name)
        return self._target(role, name, settings.model_copy(update={"timeout_s": first.timeout_s}))

    def _target(self, role: str, name: str, table: ModelSettings) -> ModelTarget:
        if name.startswith(REPLAY_PREFIX):
            return ModelTarget(role, name, table)
        if table.api_key_env:
            key = variable(table.api_key_env)
            if not key:
                raise NoModelError(
                    f"The model {name!r} of the role {role!r} takes its key from {table.api_key_env!r}, "
                    "which is not set.",
                    hint=f"Set it: export {table.api_key_env}=…",
                )
            return ModelTarget(role, name, table, key, table.api_key_env)
        key = self._settings.llm_api_key
        if key is not None and key.get_secret_value() and self._is_of_variables(name):
            return ModelTarget(role, name, table, key.get_secret_value(), "LLM_API_KEY")
        own = f"{provider_of(name).upper()}_API_KEY"
        if table.base_url is None and not os.environ.get(own) and (own_key := variable(own)):
            return ModelTarget(role, name, table, own_key, own)  # in `.env`, where the provider's client does not look
        return ModelTarget(role, name, table)

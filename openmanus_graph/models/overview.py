"""Overview: the model of each role and the source of its key, for `doctor`; the value of no key is in it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from openmanus_graph.call_site import ROLES
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import NoModelError
from openmanus_graph.models.catalog import Catalog, ModelTarget, provider_of, variable

KEYLESS = ("ollama", "ollama_chat", "hosted_vllm", "lm_studio", "llamafile")
"""Providers of local models, which ask for no key."""


@dataclass(frozen=True)
class RoleModel:
    """One role's model as the settings have it."""

    role: str
    """The role."""
    model: str | None
    """The model's name; `None` when none is set."""
    server: str | None
    """Host and port of its base URL; `None` for the provider's own place."""
    key: str | None
    """Name of the environment variable its key is taken from; `None` when it needs none."""
    key_is_set: bool
    """Whether that variable has a value; true when no key is needed."""
    fallbacks: tuple[str, ...] = ()
    """Models tried when it fails for good."""
    problem: str | None = None
    """Why it cannot be used, or `None`."""


def describe_models(settings: Settings) -> list[RoleModel]:
    """The model of each role; nothing is called, and LiteLLM is not imported.

    Args:
        settings: The user's settings.
    """
    catalog = Catalog(settings)
    return [_described(catalog, role) for role in ROLES]


def _described(catalog: Catalog, role: str) -> RoleModel:
    name = catalog.names().get(role)
    try:
        first, *others = catalog.targets(role)
    except NoModelError as error:
        return RoleModel(role, name, None, None, key_is_set=False, problem=error.message)
    key = _key(first)
    is_set = key is None or first.api_key is not None or bool(variable(key))
    server = urlsplit(first.settings.base_url or "").netloc.rpartition("@")[2] or None
    problem = None if is_set else f"The variable {key!r} is not set."
    return RoleModel(role, name, server, key, is_set, tuple(other.name for other in others), problem)


def _key(target: ModelTarget) -> str | None:
    if target.key_from:
        return target.key_from
    provider = provider_of(target.name)
    if target.replay is not None or target.settings.base_url or provider in KEYLESS:
        return None
    return f"{provider.upper()}_API_KEY" if provider else "LLM_API_KEY"

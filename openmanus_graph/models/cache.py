"""Cache: replies kept by request, in LiteLLM's disk or Redis cache; off by default."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, message_to_dict, messages_from_dict

from openmanus_graph import shell_commands
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.models.catalog import ModelTarget, variable
from openmanus_graph.models.request_adapter import Shape

_PACKAGES = {"disk": "diskcache", "redis": "redis"}


class ReplyCache:
    """Replies by request: same messages, model and settings."""

    def __init__(self, settings: Settings) -> None:
        """Set the cache up as configured.

        Args:
            settings: The user's settings.

        Raises:
            SettingsError: If the package it needs is not installed, or its URL is not set.
        """
        self._settings = settings
        self._choice = settings.model_cache
        self._opened: Any = None
        package = _PACKAGES.get(self._choice.kind)
        if package is not None and importlib.util.find_spec(package) is None:
            raise SettingsError(
                f"The setting 'model_cache.kind' is {self._choice.kind!r}, and {package} is not installed.",
                hint=f"Install it with: {shell_commands.install(package)}",
            )
        if self._choice.kind == "redis":
            self._url()

    @property
    def on(self) -> bool:
        """Whether replies are kept."""
        return self._choice.kind != "off"

    def key(self, target: ModelTarget, request: Shape) -> str:
        """The cache key of a request; no key of a provider is part of it."""
        table = target.settings
        asked = {
            "model": target.litellm_name,
            "server": table.base_url,
            "settings": [table.temperature, table.max_tokens],
            "extra": sorted(table.extra),
            "messages": [_plain(message) for message in request.messages],
            "tools": request.tools,
            "tool_choice": request.tool_choice,
            "format": request.response_format,
        }
        text = json.dumps(asked, sort_keys=True, default=str)
        return f"openmanus-graph:{hashlib.sha256(text.encode()).hexdigest()}"

    async def get(self, key: str) -> AIMessage | None:
        """The reply kept under a key, or `None`."""
        stored: Any = await self._cache().async_get_cache(key)
        if stored is None:
            return None
        fields = cast("dict[str, Any]", json.loads(stored) if isinstance(stored, str) else stored)
        (reply,) = messages_from_dict([fields])
        return cast("AIMessage", reply)

    async def put(self, key: str, reply: AIMessage) -> None:
        """Keep a reply."""
        options: dict[str, Any] = {} if self._choice.ttl_s is None else {"ttl": self._choice.ttl_s}
        await self._cache().async_set_cache(key, json.dumps(message_to_dict(reply), default=str), **options)

    def _cache(self) -> Any:
        if self._opened is None:
            if self._choice.kind == "disk":
                from litellm.caching.disk_cache import DiskCache

                self._opened = DiskCache(disk_cache_dir=str(self._settings.home / "model-replies"))
            else:
                from litellm.caching.redis_cache import RedisCache

                self._opened = RedisCache(url=self._url())
        return self._opened

    def _url(self) -> str:
        name = self._choice.url_env
        url = variable(name) if name else None
        if not url:
            raise SettingsError(
                f"The Redis cache takes its URL from {name!r}, which is not set."
                if name
                else "The Redis cache has no 'model_cache.url_env', the variable with its URL.",
                hint="Set both, as in url_env = 'REDIS_URL' and REDIS_URL=redis://localhost:6379/0.",
            )
        return url


def _plain(message: BaseMessage) -> dict[str, Any]:
    """The fields of a message that a provider reads; id and metadata, which differ from run to run, are left out."""
    calls = [
        {"name": call["name"], "args": call["args"], "id": call["id"]} for call in getattr(message, "tool_calls", ())
    ]
    return {
        "type": message.type,
        "content": message.content,
        "calls": calls,
        "call": getattr(message, "tool_call_id", None),
    }

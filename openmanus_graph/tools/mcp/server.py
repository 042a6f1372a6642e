"""Server: the MCP servers that the settings name, in their own table and in a file as other programs have it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from openmanus_graph.config.sections import McpServerSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError, ToolError

_NOT_OF_LISTS = {"timeout_s", "start_timeout_s", "disabled", "env", "headers", "sampling"}
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)\}")


def servers_of(settings: Settings) -> dict[str, McpServerSettings]:
    """The servers by name, those of `mcp_file` first, without those that are switched off.

    Raises:
        SettingsError: If the file cannot be read, or a server says neither or both of `command` and `url`.
    """
    found = {**({} if settings.mcp_file is None else _from_file(settings.mcp_file)), **settings.mcp_servers}
    for name, server in found.items():
        if (server.command is None) == (server.url is None):
            raise SettingsError(
                f"The MCP server {name!r} has {'neither' if server.command is None else 'both'} 'command' and 'url'.",
                hint="Give 'command' for a program that is started, or 'url' for one that runs.",
            )
    return {name: server for name, server in found.items() if not server.disabled}


def _from_file(path: Path) -> dict[str, McpServerSettings]:
    path = path.expanduser()
    try:
        read: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingsError(f"The file {str(path)!r} of MCP servers cannot be read: {why}.") from error
    table: Any = cast("dict[str, Any]", read).get("mcpServers") if isinstance(read, dict) else None
    if not isinstance(table, dict):
        raise SettingsError(f"The file {str(path)!r} has no 'mcpServers'.", hint="It looks as other programs have it.")
    known = set(McpServerSettings.model_fields) | {"transport"}
    found: dict[str, McpServerSettings] = {}
    for name, given in cast("dict[str, Any]", table).items():
        fields = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        kept = {key: value for key, value in fields.items() if key in known}  # others are other programs' own
        try:
            found[name] = McpServerSettings.model_validate({"type": kept.pop("transport", None), **kept})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise SettingsError(
                f"The MCP server {name!r} in {str(path)!r} has {place!r} = {first.get('input')!r}: {first['msg']}."
            ) from error
    return found


def filled(name: str, texts: Mapping[str, str]) -> dict[str, str]:
    """Values of `env` or `headers` with `${NAME}` replaced by what the environment has, which is in no file then.

    Args:
        name: The server.
        texts: The values by key.

    Raises:
        ToolError: If a variable is not set.
    """

    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found[1])
        if known is None:
            raise ToolError(f"The MCP server {name!r} needs the variable {found[1]!r}, which is not set.")
        return known

    return {key: _VARIABLE.sub(value, text) for key, text in texts.items()}


def fingerprint_of(server: McpServerSettings) -> str:
    """Names what a server's list of tools depends on, without any secret."""
    stated = server.model_dump(mode="json", exclude=_NOT_OF_LISTS)
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()[:16]

"""Capability: features of models besides text, set by the user, known to LiteLLM, or learned from a refusal."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from openmanus_graph.models.catalog import ModelTarget

Feature = Literal["tools", "forced_tool", "json_schema"]
"""`tools`: it calls tools; `forced_tool`: it can be made to call one; `json_schema`: it takes a `response_format`."""

LEARNED_FOR_S = 7 * 24 * 3600
"""How long a refusal is remembered: servers are started again with other options."""


class Capabilities:
    """Features that models lack, kept in a file so that no process finds them out twice."""

    def __init__(self, home: Path) -> None:
        """Keep learned features below the data folder.

        Args:
            home: The data folder; one that cannot be written is no fault, then only this process remembers.
        """
        self._file = home / "models.json"
        self._learned: dict[str, dict[str, float]] | None = None

    def lacks(self, target: ModelTarget, feature: Feature, known: Mapping[str, Any]) -> bool:
        """Whether a model is known to lack a feature; an unknown feature is tried.

        Args:
            target: The model.
            feature: The feature.
            known: LiteLLM's entry for the model.
        """
        if feature == "tools" and target.settings.tool_calling is not None:
            return not target.settings.tool_calling
        if feature == "json_schema" and target.chat_model is not None:
            return True  # how a response format is asked for differs from class to class
        if self._refused(target, feature):
            return True
        flag = {"tools": "supports_function_calling", "json_schema": "supports_response_schema"}.get(feature, "")
        return known.get(flag) is False

    def _refused(self, target: ModelTarget, feature: Feature) -> bool:
        when = self._read().get(_name(target), {}).get(feature)
        return when is not None and time.time() - when < LEARNED_FOR_S

    def learn(self, target: ModelTarget, feature: str) -> None:
        """Remember that a model refused a feature."""
        self._read().setdefault(_name(target), {})[feature] = time.time()
        if target.chat_model is None:
            self._write(_name(target), feature)

    def _read(self) -> dict[str, dict[str, float]]:
        if self._learned is None:
            self._learned = self._stored()
        return self._learned

    def _stored(self) -> dict[str, dict[str, float]]:
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or cut by a full disk: it is only a cache
            return {}
        if not isinstance(content, dict):
            return {}
        return {
            str(name): {str(key): float(value) for key, value in cast("dict[str, Any]", features).items()}
            for name, features in cast("dict[str, Any]", content).items()
            if isinstance(features, dict)
        }

    def _write(self, name: str, feature: str) -> None:
        """Merge into the file as it is now: another process may have learned other features."""
        stored = self._stored()
        stored.setdefault(name, {})[feature] = time.time()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name_of_new = tempfile.mkstemp(dir=self._file.parent, prefix=".models-")
            with os.fdopen(descriptor, "w", encoding="utf-8") as new:
                json.dump(stored, new, indent=1)
            Path(name_of_new).replace(self._file)
        except OSError:  # a data folder that cannot be written: this process remembers all the same
            return


def _name(target: ModelTarget) -> str:
    server = urlsplit(target.settings.base_url or "").netloc.rpartition("@")[2]
    return f"{target.litellm_name}@{server}" if server else target.litellm_name

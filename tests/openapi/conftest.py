"""Fixtures for tests of web services with an OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.context import ToolContext
from openmanus_graph.tools.openapi.service import Service as Api
from tests.tools.conftest import Service, elsewhere, service

__all__ = ["Service", "elsewhere", "service"]

Document = dict[str, Any]
Make = Callable[..., Api]


def described(operations: dict[str, Any], **more: Any) -> Document:
    """A document with operations by `METHOD /path`."""
    paths: dict[str, Any] = {}
    for request, operation in operations.items():
        method, _, path = request.partition(" ")
        paths.setdefault(path, {})[method.lower()] = {"responses": {"200": {"description": "ok"}}, **operation}
    return {"openapi": "3.1.0", "info": {"title": "Test", "version": "1"}, "paths": paths, **more}


def parameter(name: str, where: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {}, **more}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(home=tmp_path / "home", allow_hosts=("127.0.0.1",))


@pytest.fixture
def context(workspace: Path, settings: Settings) -> ToolContext:
    return ToolContext("t", "s", workspace, settings, call_id="c", idempotency_key="key-of-the-call")


@pytest.fixture
def api(tmp_path: Path, settings: Settings, service: Service) -> Make:
    """Makes a service of a document, whose requests go to the local server."""

    def make(document: Document | str, **stated: Any) -> Api:
        text = document if isinstance(document, str) else json.dumps(document)
        file = tmp_path / "api.json"
        file.write_text(text)
        fields = {"document": str(file), "server": service.url, **stated}
        return Api.of("shop", OpenApiSettings.model_validate(fields), settings)

    return make

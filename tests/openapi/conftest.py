"""Fixtures for tests of web services with an OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.context import ToolContext
from openmanus_graph.tools.openapi.service import Service as Api
from openmanus_graph.tools.openapi.tools import MOST_TOOLS
from openmanus_graph.tools.rebuild import available_tools
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


def body(media: str, schema: Any, **more: Any) -> dict[str, Any]:
    return {"operationId": "make", "requestBody": {"required": True, "content": {media: {"schema": schema, **more}}}}


SHOP = described(
    {
        "GET /orders": {
            "operationId": "listOrders",
            "summary": "List the orders",
            "parameters": [
                parameter("page", schema={"type": "integer"}),
                parameter("per_page", schema={"type": "integer"}),
            ],
        },
        "GET /orders/{id}": {
            "operationId": "getOrder",
            "summary": "Get an order",
            "parameters": [parameter("id", "path", schema={"type": "string"})],
        },
        "POST /orders": {
            "summary": "Create an order",
            **body(
                "application/json",
                {
                    "type": "object",
                    "required": ["item"],
                    "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
                },
            ),
            "operationId": "createOrder",
        },
        "DELETE /orders/{id}": {"operationId": "deleteOrder", "parameters": [parameter("id", "path")]},
    }
)


def large() -> Document:
    """The shop with so many operations that they are called by one tool."""
    more = {f"GET /things{n}": {"operationId": f"getThing{n}", "tags": ["things"]} for n in range(MOST_TOOLS)}
    made = described(more)
    made["paths"] |= SHOP["paths"]
    return made


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


Run = Callable[..., Any]


@pytest.fixture
def given_settings(tmp_path: Path, service: Service) -> Callable[..., Settings]:
    def make(document: Document, *, credentials: Any = None, **stated: Any) -> Settings:
        (tmp_path / "api.json").write_text(json.dumps(document))
        fields = {"document": str(tmp_path / "api.json"), "server": service.url, **stated}
        return Settings.load(
            home=tmp_path / "home",
            allow_hosts=("127.0.0.1",),
            openapi={"shop": OpenApiSettings.model_validate(fields)},
            credentials=credentials or {},
        )

    return make


@pytest.fixture
def run(given_settings: Callable[..., Settings], saver: ThreadSaver, tmp_path: Path) -> Run:
    """Runs a plan with the tools of the service `shop`; the results."""

    async def execute(
        document: Document, *subtasks: dict[str, Any], policy: Any = "allow", thread: str = "t", **stated: Any
    ) -> Any:
        settings = given_settings(document, **stated)
        tools = await asyncio.to_thread(lambda: list(available_tools((), settings).values()))
        graph = build_plan_graph(tools, settings=settings, policy=policy).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": thread, "workspace": str(tmp_path / "work")}}
        return (await graph.ainvoke({"plan": {"subtasks": list(subtasks)}}, config))["results"]

    return execute


def call(name: str, operation: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": f"shop_{operation}", "args": args}


def by_name(name: str, operation: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": "shop_call", "args": {"operation": operation, "arguments": args}}

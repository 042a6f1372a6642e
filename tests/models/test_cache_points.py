"""Prompt caches: providers that cache only what they are told to are told where."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from openmanus_graph import Settings
from openmanus_graph.call_site import CallSite
from openmanus_graph.errors import ModelError
from openmanus_graph.models.gateway import Models
from openmanus_graph.scope import Scope
from openmanus_graph.testing import Reply, ScriptedServer

CONVERSATION = [
    SystemMessage("You work."),
    HumanMessage("Look."),
    AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1"}]),
    ToolMessage("It is blue.", tool_call_id="1", name="look"),
]


class Listener(ThreadingHTTPServer):
    """Keeps what it is sent, and answers that it is no provider."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Listener  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(json.loads(body))
        answer = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}).encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


async def ask(model: str, base_url: str) -> None:
    settings = Settings.load(llm_model=model, llm_base_url=base_url, llm_api_key="sk-x")
    scope = Scope("t", settings, None)
    await Models(settings).reply(CallSite("executor", turn=1), CONVERSATION, scope=scope, emit=lambda _: None)


async def test_a_model_that_caches_as_told_gets_its_breakpoints(listener: Listener) -> None:
    with pytest.raises(ModelError):
        await ask("anthropic/claude-sonnet-4-5", f"http://127.0.0.1:{listener.server_port}")
    body = listener.bodies[0]
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" in json.dumps(body["messages"][-1])
    assert "cache_control" not in json.dumps(body["messages"][:-1])


async def test_others_are_sent_nothing_of_it() -> None:
    with ScriptedServer() as provider:
        provider.add(Reply("Blue."))
        await ask("openai/scripted", provider.base_url)
        assert "cache" not in json.dumps(provider.requests[0].body)

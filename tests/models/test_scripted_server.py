"""Scripted server: what tests and benchmarks build on says what its script says, and counts truly."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse

ASK: dict[str, Any] = {"model": "scripted", "messages": [{"role": "user", "content": "Hello."}]}


def post(server: ScriptedServer, **more: Any) -> httpx.Response:
    return httpx.post(f"{server.base_url}/chat/completions", json={**ASK, **more}, timeout=5)


def test_a_reply_comes_whole() -> None:
    with ScriptedServer([Reply("Hi.", [ToolUse("bash", {"command": "ls"}, "c1")], usage=(3, 4))]) as server:
        body = post(server).json()

    choice = body["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", "Hi.")
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"command": "ls"}
    assert body["usage"]["total_tokens"] == 7


def test_a_reply_comes_in_pieces() -> None:
    with ScriptedServer([Reply("One two three four five six seven eight nine ten.")]) as server:
        text = post(server, stream=True, stream_options={"include_usage": True}).text

    lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
    pieces = [json.loads(line) for line in lines[:-1]]
    said = "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces if piece["choices"])
    assert lines[-1] == "[DONE]"
    assert said == "One two three four five six seven eight nine ten."
    assert len(pieces) > 4
    assert pieces[-1]["usage"]["prompt_tokens"] > 0


def test_a_function_may_be_the_script() -> None:
    def script(body: dict[str, Any]) -> Reply | Fault:
        return Reply(body["messages"][-1]["content"].upper())

    with ScriptedServer(script) as server:
        assert post(server).json()["choices"][0]["message"]["content"] == "HELLO."


def test_requests_are_logged_with_times_and_tokens() -> None:
    with ScriptedServer([Reply("One."), Reply("Two.", delay_s=0.05)], latency=lambda _: 0.05) as server:
        post(server)
        post(server, tools=[{"type": "function", "function": {"name": "bash", "parameters": {}}}])

    first, second = server.requests
    assert first.prompt_tokens == len(json.dumps(ASK["messages"])) // 4
    assert second.prompt_tokens > first.prompt_tokens
    assert server.prompt_tokens == first.prompt_tokens + second.prompt_tokens
    assert second.tools == ["bash"]
    assert first.finished_at is not None
    assert second.finished_at is not None
    assert first.finished_at - first.at >= 0.05
    assert second.finished_at - second.at >= 0.1
    assert second.at >= first.finished_at


def test_faults_are_what_they_say() -> None:
    with ScriptedServer([Fault.rate_limit(3), Fault.breaks_off(Reply("x" * 200)), Fault(418, "Tea.")]) as server:
        limited = post(server)
        with pytest.raises(httpx.HTTPError):
            post(server, stream=True)
        teapot = post(server)
        beyond = post(server)

    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert (teapot.status_code, teapot.json()["error"]["message"]) == (418, "Tea.")
    assert "no more replies" in beyond.text


def test_models_are_listed() -> None:
    with ScriptedServer() as server:
        assert httpx.get(f"{server.base_url}/models").json()["data"][0]["id"] == "scripted"


async def test_it_serves_async_code_too() -> None:
    async with ScriptedServer([Reply("Hi.")]) as server, httpx.AsyncClient() as client:
        answer = await client.post(f"{server.base_url}/chat/completions", json=ASK)

    assert answer.json()["choices"][0]["message"]["content"] == "Hi."


def test_a_stopped_server_cuts_what_hangs() -> None:
    with ScriptedServer([Fault.hang()]) as server, pytest.raises(httpx.HTTPError):
        httpx.post(f"{server.base_url}/chat/completions", json=ASK, timeout=0.2)
    with pytest.raises(httpx.HTTPError):
        post(server)

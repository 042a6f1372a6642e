"""Odd servers: what is not quite OpenAI's interface is understood, or the error says what the server said."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmanus_graph.errors import ModelError, ModelRefusedError
from openmanus_graph.models import providers
from openmanus_graph.models.faults import ServerSaidError
from openmanus_graph.models.wire import ReadingTransport, StreamReader
from openmanus_graph.testing import Raw, Reply, ScriptedServer
from tests.models.conftest import Maker
from tests.models.tools import bash

DONE = "[DONE]"
LS = {"command": "ls"}


def chunk(delta: Any, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
        "choices": [choice],
        **more,
    }


def whole(message: dict[str, Any], finish_reason: str | None = "stop") -> Raw:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 32}
    frame = {"id": "c", "object": "chat.completion", "created": 1, "model": "scripted"}
    return Raw({**frame, "choices": [choice], "usage": usage})


def piece(arguments: Any, *, index: int | None = 0, name: str | None = "bash", call_id: str | None = "a") -> Any:
    made: dict[str, Any] = {"type": "function", "function": {"arguments": arguments}}
    if index is not None:
        made["index"] = index
    if name is not None:
        made["function"]["name"] = name
    if call_id is not None:
        made["id"] = call_id
    return made


def calls(*pieces: Any) -> Raw:
    return Raw.events(*(chunk({"tool_calls": [one]}) for one in pieces), chunk({}, "tool_calls"), DONE)


TEXTS: dict[str, Raw] = {
    "parts": Raw.events(
        chunk({"role": "assistant", "content": [{"type": "text", "text": "Hello "}]}),
        chunk({"content": ["there", {"type": "text", "text": "."}]}),
        chunk({}, "stop"),
        DONE,
    ),
    "thoughts as parts": Raw.events(
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
        chunk({"content": "Hello there."}, "stop"),
        DONE,
    ),
    "not streamed": whole({"content": "Hello there."}),
    "not streamed, parts": whole({"content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there."}]}),
    "not streamed, no reason": whole({"content": "Hello there."}, None),
    "a stream by another name": Raw(
        Raw.events(chunk({"content": "Hello there."}, "stop"), DONE).body, kind="text/plain"
    ),
    "one event with all": Raw.events(whole({"content": "Hello there."}).content.decode(), DONE),
    "no delta": Raw.events(chunk(None), chunk({"content": "Hello there."}), chunk(None, "stop"), DONE),
    "no end": Raw.events(chunk({"content": "Hello there."}, "stop")),
    "a refusal": Raw.events(
        chunk({"role": "assistant", "content": None, "refusal": "Hello "}),
        chunk({"refusal": "there."}),
        chunk({}, "stop"),
        DONE,
    ),
    "a refusal, not streamed": whole({"content": None, "refusal": "Hello there."}),
}
CALLS: dict[str, tuple[Raw, list[tuple[str, Any]]]] = {
    "the name in every chunk": (calls(piece('{"comm'), piece('and": '), piece('"ls"}')), [("bash", LS)]),
    "the name, without the id": (calls(piece('{"comm'), piece('and": "ls"}', call_id=None)), [("bash", LS)]),
    "a name in two pieces": (calls(piece("", name="ba"), piece('{"command": "ls"}', name="sh")), [("bash", LS)]),
    "two calls, each with its name": (
        calls(
            *(piece(text, index=index, call_id=f"c{index}") for index in (0, 1) for text in ('{"command"', ': "ls"}'))
        ),
        [("bash", LS), ("bash", LS)],
    ),
    "two calls under one index": (
        calls(piece('{"command": "ls"}'), piece('{"command": ', call_id="b"), piece('"pwd"}', call_id=None, name=None)),
        [("bash", LS), ("bash", {"command": "pwd"})],
    ),
    "no index": (calls(piece('{"command": "ls"}', index=None)), [("bash", LS)]),
    "arguments that are no text": (calls(piece(LS)), [("bash", LS)]),
    "not streamed": (
        whole({"content": None, "tool_calls": [piece('{"command": "ls"}', index=None)]}, None),
        [("bash", LS)],
    ),
    "not streamed, two": (
        whole({"tool_calls": [piece('{"command": "ls"}', index=None, call_id=one) for one in "ab"]}, "tool_calls"),
        [("bash", LS), ("bash", LS)],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
async def test_text_is_understood(server: ScriptedServer, asker: Maker, name: str) -> None:
    server.add(TEXTS[name])
    role = asker()

    reply = await role.ask()

    assert reply.content == "Hello there."
    assert "".join(str(event.get("text")) for event in role.said("model_tokens")) == "Hello there."
    assert len(server.requests) == 1
    if name.startswith("not streamed"):
        assert role.scope.spending.total["input_tokens"] == 30


@pytest.mark.parametrize("name", CALLS)
async def test_calls_are_understood(server: ScriptedServer, asker: Maker, name: str) -> None:
    raw, expected = CALLS[name]
    server.add(raw)

    reply = await asker().ask(tools=[bash])

    assert [(call["name"], call["args"]) for call in reply.tool_calls] == expected
    assert reply.invalid_tool_calls == []
    assert len({call["id"] for call in reply.tool_calls}) == len(expected)
    assert len(server.requests) == 1


ERRORS: dict[str, tuple[Raw, str]] = {
    "a mapping": (Raw({"error": {"message": "The GPU is busy.", "code": 503}}), "status 503: The GPU is busy"),
    "text": (Raw({"error": "No GPU is free."}), "answers with an error: No GPU is free"),
    "first in a stream": (
        Raw.events({"error": {"message": "Busy.", "type": "server_error"}}, DONE),
        "status 500: Busy",
    ),
    "within a stream": (
        Raw.events(chunk({"content": "Hel"}), {"error": {"message": "The GPU burnt.", "code": "502"}}, DONE),
        "status 502: The GPU burnt",
    ),
    "in a chunk": (
        Raw.events(chunk({"content": "Hel"}), chunk({}, "error", error={"message": "Cut off."}), DONE),
        "answers with an error: Cut off",
    ),
    "in a choice": (
        Raw.events(
            {"id": "c", "choices": [{"index": 0, "delta": {}, "error": {"message": "Lost.", "code": 500}}]}, DONE
        ),
        "status 500: Lost",
    ),
    "a detail": (Raw({"detail": [{"loc": ["body"], "msg": "field required"}]}), "field required"),
    "a page": (
        Raw("<html><script>var x;</script><body><h1>Please</h1> log in</body></html>", kind="text/html"),
        "what it sent is no reply: Please log in",
    ),
    "nothing": (Raw(""), "its answer is empty"),
    "a limit": (Raw({"error": {"message": "Slow down.", "type": "rate_limit_error"}}), "limits the rate: Slow down"),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_says_what_the_server_said_and_is_tried_again(
    server: ScriptedServer, asker: Maker, name: str
) -> None:
    raw, words = ERRORS[name]
    server.add(raw, raw)
    role = asker(retries=1)

    with pytest.raises(ModelError) as caught:
        await role.ask()

    assert words in str(caught.value)
    assert len(server.requests) == 2
    assert words in str(role.said("model_retrying")[0].get("error"))

    server.add(raw, Reply("At last."))
    assert (await role.ask()).text == "At last."


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            Raw({"error": {"message": "Invalid API key.", "code": "invalid_api_key"}}),
            "refuses the key: Invalid API key",
        ),
        (Raw({"object": "error", "message": "No model x.", "code": 404}), "is not there: No model x"),
        (Raw.events(chunk({"content": ""}), chunk({}, "content_filter"), DONE), "filters its reply out"),
    ],
)
async def test_what_only_the_user_can_mend_is_not_tried_again(
    server: ScriptedServer, asker: Maker, raw: Raw, words: str
) -> None:
    server.add(raw, Reply("Never asked for."))

    with pytest.raises(ModelRefusedError) as caught:
        await asker().ask()

    assert words in str(caught.value)
    assert len(server.requests) == 1


def read(parts: list[bytes]) -> tuple[bytes, list[str]]:
    heard: list[ServerSaidError] = []
    reader = StreamReader(heard)
    ready = [piece for part in parts for piece in reader.feed(part)]
    return b"".join([*ready, *reader.end()]), [error.message for error in heard]


BODIES = [raw.content for raw in (*TEXTS.values(), *(raw for raw, _ in (*CALLS.values(), *ERRORS.values())))]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_it_does_not_matter_in_which_pieces_an_answer_comes(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert read(parts) == read([body])


def test_an_ordinary_stream_is_passed_on_as_it_is() -> None:
    body = Raw.events(
        chunk({"role": "assistant", "content": "Hällo 😀"}),
        chunk(
            {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "x", "arguments": ""}}]}
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
        DONE,
    ).content
    assert read([b": keep alive\r\n\r\n" + body]) == (b": keep alive\r\n\r\n" + body, [])


async def test_requests_of_others_are_left_alone(server: ScriptedServer) -> None:
    raw = whole({"content": [{"type": "text", "text": "parts"}]})
    server.add(raw, raw)

    async def given() -> httpx.AsyncClient:
        return inner

    async with httpx.AsyncClient() as inner, httpx.AsyncClient(transport=ReadingTransport(given)) as client:
        url = f"{server.base_url}/chat/completions"
        plain = await client.post(url, json={"messages": [], "said": '{"stream": true}'})
        streamed = await client.post(url, json={"messages": [], "stream": True})

    assert plain.json() == json.loads(raw.content)
    assert streamed.text.startswith("data: ")
    assert [request.headers["accept-encoding"] == "identity" for request in server.requests] == [False, True]


def test_connections_are_closed_with_the_loop_that_opened_them(server: ScriptedServer, asker: Maker) -> None:
    for _ in range(2):
        server.add(Reply("Hello."))
        gc.collect()
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            asyncio.run(asker().ask())
            gc.collect()
    assert providers._clients == {}  # pyright: ignore[reportPrivateUsage] - nothing else tells

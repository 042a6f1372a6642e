"""Wire: what an OpenAI-compatible server sends, put into the form that its clients read.

Servers and gateways answer in ways of their own: content as parts, the whole reply to a request for a stream, an error
under the status 200, the name of a tool in every chunk. Clients drop such a reply in silence, or misread it. Here it is
understood where that is possible; else what the server said is kept, for the error.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, cast

import httpx

from openmanus_graph.models.faults import ServerSaidError

_STREAM_ASKED = re.compile(rb'"stream"\s*:\s*true')
_TAGS = re.compile(r"<(script|style).*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_SHOWN = 300
_STATUS = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 503,
    "server_error": 500,
    "context_length_exceeded": 400,
}
"""Status of errors that are told by a word."""
_CHUNK = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": ""}

heard: ContextVar[list[ServerSaidError] | None] = ContextVar("openmanus_graph_heard", default=None)
"""Takes the errors that a server's answers hold, of the calls that are made in this context."""

Fields = dict[str, Any]


class ReadingTransport(httpx.AsyncBaseTransport):
    """Sends requests through other clients, and reads along what is answered to those that ask for a stream."""

    def __init__(self, client: Callable[[], Awaitable[httpx.AsyncClient]]) -> None:
        """Send through another client.

        Args:
            client: Gives the client of the event loop that runs.
        """
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; a streamed answer comes in the form that clients read."""
        streams = _is_asked_to_stream(request)
        if streams:
            request.headers["accept-encoding"] = "identity"
        client = await self._client()
        response = await client.send(request, stream=True, follow_redirects=False)
        plain = response.headers.get("content-encoding", "identity") == "identity"
        if streams and plain and response.is_success:
            response.stream = _Understood(cast("httpx.AsyncByteStream", response.stream), heard.get())
        return response


def _is_asked_to_stream(request: httpx.Request) -> bool:
    if not request.url.path.endswith("/chat/completions"):
        return False
    try:
        return _STREAM_ASKED.search(request.content) is not None
    except httpx.RequestNotRead:
        return False


class _Understood(httpx.AsyncByteStream):
    """The bytes of a reply, understood."""

    def __init__(self, inner: httpx.AsyncByteStream, heard: list[ServerSaidError] | None) -> None:
        self._inner = inner
        self._reader = StreamReader([] if heard is None else heard)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._inner:
            if ready := b"".join(self._reader.feed(data)):
                yield ready
        if ready := b"".join(self._reader.end()):
            yield ready

    async def aclose(self) -> None:
        await self._inner.aclose()


class StreamReader:
    """Reads the body of an answer as it comes, and gives it as a stream of events."""

    def __init__(self, heard: list[ServerSaidError]) -> None:
        """Begin to read.

        Args:
            heard: Takes the errors that it holds.
        """
        self._heard = heard
        self._waiting = b""
        self._streams: bool | None = None
        self._names: dict[int, str] = {}
        self._ids: dict[int, str] = {}
        self._places: dict[int, int] = {}

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take some bytes; give what can be passed on."""
        self._waiting += data
        if self._streams is None and (begun := self._waiting.lstrip()[:6]):
            if len(begun) < len(b"event:") and not begun.startswith((b"data:", b":", b"{", b"<")):
                return
            self._streams = begun.startswith((b"data:", b"event:", b"id:", b"retry:", b":"))
        if self._streams:
            *lines, self._waiting = self._waiting.split(b"\n")
            for line in lines:
                yield self._line(line) + b"\n"

    def end(self) -> Iterator[bytes]:
        """Give what is left."""
        if self._streams:
            if self._waiting:
                yield self._line(self._waiting) + b"\n\n"
            return
        text = self._waiting.decode("utf-8", "replace").strip()
        try:
            body: Any = json.loads(text)
        except ValueError:
            body = None
        fields = _fields(body)
        if not fields:
            told = " ".join(_TAGS.sub(" ", text).split())[:_SHOWN]
            message = f"what it sent is no reply: {told}" if told else "its answer is empty"
            yield _event(self._error({"message": message}))
        else:
            yield _event(self._chunk(fields))
        yield b"data: [DONE]\n\n"

    def _line(self, line: bytes) -> bytes:
        if not line.startswith(b"data:"):
            return line
        try:
            given: Any = json.loads(line.removeprefix(b"data:"))
        except ValueError:
            return line
        made = self._chunk(_fields(given)) if isinstance(given, dict) else given
        return line if made == given else f"data: {json.dumps(made)}".encode()

    def _chunk(self, given: Fields) -> Fields:
        """A chunk in the form that clients read; a whole reply becomes one."""
        choices: Any = given.get("choices")
        error = given.get("error") or next((choice["error"] for choice in _all(choices) if choice.get("error")), None)
        if error is None and not isinstance(choices, list) and "usage" not in given:
            told = given.get("message") or given.get("detail") or given.get("msg")
            error = given if given.get("object") == "error" or told else None
        if error is not None:
            return self._error(error)
        made = [{**choice, "delta": self._delta(choice)} for choice in _all(choices)]
        if not any("message" in choice for choice in made):
            return {**given, "choices": made}
        for choice in made:
            choice.pop("message", None)
            called = bool(choice["delta"].get("tool_calls"))
            choice["finish_reason"] = choice.get("finish_reason") or ("tool_calls" if called else "stop")
        return {**_CHUNK, **given, "object": _CHUNK["object"], "choices": made}

    def _error(self, error: Any) -> Fields:
        fields = _fields(error) or {"message": error}
        told = fields.get("message") or fields.get("detail") or fields.get("msg") or fields
        message = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
        self._heard.append(ServerSaidError(message, _status(fields)))
        return {"error": {**fields, "message": message}}

    def _delta(self, choice: Fields) -> Fields:
        delta = dict(_fields(choice.get("delta")) or _fields(choice.get("message")))
        content: Any = delta.get("content")
        if isinstance(content, list):
            text, thoughts = _parts(cast("list[Any]", content))
            delta["content"] = text
            if thoughts:
                delta["reasoning_content"] = f"{delta.get('reasoning_content') or ''}{thoughts}"
        if isinstance(delta.get("refusal"), str) and delta["refusal"] and not delta.get("content"):
            delta["content"] = delta["refusal"]  # it is what the model says
        calls: Any = delta.get("tool_calls")
        if isinstance(calls, list):
            whole = "message" in choice
            listed = enumerate(cast("list[Any]", calls))
            delta["tool_calls"] = [self._call(_fields(call), number, whole=whole) for number, call in listed]
        return delta

    def _call(self, call: Fields, number: int, *, whole: bool) -> Fields:
        """A piece of a call: its index and id its own, its name told once, its arguments text."""
        stated: Any = call.get("index")
        given = number if whole or not isinstance(stated, int) else stated
        place = self._places.setdefault(given, given)
        call_id = call.get("id") or ""
        if call_id and self._ids.get(place, call_id) != call_id:  # another call under the same index
            place = max(self._ids) + 1
            self._places[given] = place
        if call_id:
            self._ids[place] = call_id
        function = dict(_fields(call.get("function")))
        name = function.get("name")
        if name and self._names.get(place) == name:
            function["name"] = None
        elif name:
            self._names[place] = f"{self._names.get(place, '')}{name}"
        arguments: Any = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            function["arguments"] = json.dumps(arguments, ensure_ascii=False)
        return {**call, "index": place, "function": function}


def _fields(value: Any) -> Fields:
    return cast("Fields", value) if isinstance(value, dict) else {}


def _all(choices: Any) -> list[Fields]:
    return [_fields(choice) for choice in cast("list[Any]", choices)] if isinstance(choices, list) else []


def _event(chunk: Fields) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _parts(content: list[Any]) -> tuple[str, str]:
    """The text of content that comes as parts, and what was thought."""
    text, thoughts = "", ""
    for part in content:
        fields = _fields(part)
        inner: Any = fields.get("thinking") or fields.get("reasoning")
        if inner:
            thoughts += _parts(cast("list[Any]", inner))[0] if isinstance(inner, list) else str(inner)
        else:
            told: Any = part if isinstance(part, str) else fields.get("text") or fields.get("refusal") or ""
            text += told if isinstance(told, str) else str(_fields(told).get("value") or "")
    return text, thoughts


def _status(error: Fields) -> int | None:
    """The status that an error means."""
    for key in ("code", "status", "status_code", "type"):
        value = error.get(key)
        if isinstance(value, str):
            value = int(value) if value.isdigit() else _STATUS.get(value)
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    return None

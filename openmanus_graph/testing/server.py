"""Server: a model provider with OpenAI's interface on loopback, whose replies are scripted."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Self, cast

from openmanus_graph.testing.script import Fault, Raw, Received, Reply, Script, ToolUse, count_tokens

MODEL = "scripted"
"""The model's name."""

_PIECE = 24
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class ScriptedServer:
    """Answers `/v1/chat/completions`, streamed and whole, `/v1/models`, and Ollama's `/api/chat`, as its script says.

    It runs in a thread of its own, so it serves sync and async code alike:

        with ScriptedServer([Reply("Hello.")]) as server:
            ...  # LLM_MODEL=openai/scripted, LLM_BASE_URL=server.base_url
    """

    def __init__(
        self,
        script: Script | Iterable[Reply | Fault | Raw] = (),
        *,
        latency: Callable[[dict[str, Any]], float] | float = 0.0,
    ) -> None:
        """Prepare a server.

        Args:
            script: What says the reply to each request, or replies in order.
            latency: Seconds before each reply, or what says them from the request.
        """
        self.requests: list[Received] = []
        self._queue: deque[Reply | Fault | Raw] = deque()
        self._script: Script = script if callable(script) else self._next
        if not callable(script):
            self._queue.extend(script)
        self._latency = latency
        self._began = time.monotonic()
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._calls = 0

    def add(self, *outcomes: Reply | Fault | Raw) -> None:
        """Put more at the end of the queue."""
        self._queue.extend(outcomes)

    @property
    def base_url(self) -> str:
        """Where it answers, for `LLM_BASE_URL`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make it the model of every role."""
        return {"LLM_MODEL": f"openai/{MODEL}", "LLM_BASE_URL": self.base_url, "LLM_API_KEY": "sk-scripted-key"}

    @property
    def prompt_tokens(self) -> int:
        """Prompt tokens of all requests."""
        return sum(request.prompt_tokens for request in self.requests)

    def _next(self, body: dict[str, Any]) -> Reply | Fault | Raw:
        del body
        if not self._queue:
            return Fault(400, "The script has no more replies.")
        return self._queue.popleft()

    def start(self) -> None:
        """Start to answer."""
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="scripted server", daemon=True)
        self._thread.start()
        if not started.wait(10):
            raise RuntimeError("The scripted server does not start.")

    def stop(self) -> None:
        """Stop, and cut what is still open."""
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._stopping.set)
            thread.join(10)
        self._loop = self._thread = None

    def _run(self, started: threading.Event) -> None:
        asyncio.run(self._serve(started))

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stopping.wait()
        server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._open.add(task)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the server stops
        finally:
            self._open.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request on a connection; says whether another may follow."""
        line = await reader.readline()
        if not line:
            return False
        method, path, _ = line.decode().split(" ", 2)
        headers: dict[str, str] = {}
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path.split("?")[0].endswith("/models"):
            _send_json(writer, 200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif method == "POST" and path.endswith(("/chat/completions", "/api/chat")):
            return await self._complete(path, json.loads(body), headers, writer)
        else:
            _send_json(writer, 404, {"error": {"message": f"There is nothing at {path}."}})
        await writer.drain()
        return True

    async def _complete(
        self, path: str, body: dict[str, Any], headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        tokens = count_tokens(body.get("messages"), body.get("tools"))
        received = Received(body, headers, time.monotonic() - self._began, tokens)
        self.requests.append(received)
        try:
            outcome = self._script(body)
        except Exception as error:  # noqa: BLE001 - a wrong script must fail its test, not hang it
            outcome = Fault(400, f"The script failed: {error!r}")
        received.outcome = outcome
        latency = self._latency(body) if callable(self._latency) else self._latency
        await asyncio.sleep(latency + (outcome.delay_s if isinstance(outcome, Reply) else 0.0))
        if isinstance(outcome, Fault) and outcome.breaks is None:
            await self._fail(outcome, writer)
        elif isinstance(outcome, Raw):
            _send(writer, outcome.status, outcome.kind, outcome.content)
        elif isinstance(outcome, Reply) and path.endswith("/api/chat"):
            _send_lines(writer, ollama_lines(outcome, received))
        elif body.get("stream"):
            if not await self._stream(body, received, outcome, writer):
                return False
        elif isinstance(outcome, Fault):
            writer.transport.abort()
            return False
        else:
            _send_json(writer, 200, {**self._frame(body), **_whole(outcome, received)})
        await writer.drain()
        received.finished_at = time.monotonic() - self._began
        return True

    async def _fail(self, fault: Fault, writer: asyncio.StreamWriter) -> None:
        if fault.hangs:
            await self._stopping.wait()
        more = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
        error = {"message": fault.message, "type": "error", "param": None, "code": fault.code}
        _send_json(writer, fault.status, {"error": error}, more)

    async def _stream(
        self, body: dict[str, Any], received: Received, outcome: Reply | Fault, writer: asyncio.StreamWriter
    ) -> bool:
        """Send a reply in pieces; says whether it was sent to its end."""
        reply = outcome.breaks if isinstance(outcome, Fault) else outcome
        assert reply is not None  # noqa: S101 - a fault without one is answered before
        _send_head(writer, 200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        options = cast("dict[str, Any]", body.get("stream_options") or {})
        usage = bool(options.get("include_usage"))
        frame, count = self._frame(body, "chat.completion.chunk"), 0
        async for piece in _pieces(reply, received, usage=usage):
            if isinstance(outcome, Fault) and count >= outcome.pieces:
                break
            count += 1
            _send_chunk(writer, f"data: {json.dumps({**frame, **piece})}\n\n".encode())
            await writer.drain()
        if isinstance(outcome, Fault) and not outcome.politely:
            writer.transport.abort()
            return False
        if not isinstance(outcome, Fault):
            _send_chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        return True

    def _frame(self, body: Mapping[str, Any], kind: str = "chat.completion") -> dict[str, Any]:
        self._calls += 1
        created = int(time.time())
        return {"id": f"chatcmpl-{self._calls}", "object": kind, "created": created, "model": body.get("model", MODEL)}


def ollama_lines(reply: Reply, received: Received) -> list[dict[str, Any]]:
    """A reply as Ollama says it, one object a line."""
    calls = [{"function": {"name": call.name, "arguments": call.args}} for call in reply.tool_calls]
    message = {"role": "assistant", "content": reply.text, **({"tool_calls": calls} if calls else {})}
    usage, frame = _usage(reply, received), {"model": MODEL, "created_at": "2026-01-01T00:00:00Z"}
    counts = {"prompt_eval_count": usage["prompt_tokens"], "eval_count": usage["completion_tokens"]}
    ending = {"done": True, "done_reason": "length" if reply.ending == "length" else "stop", **counts}
    empty = {"role": "assistant", "content": ""}
    return [{**frame, "message": message, "done": False}, {**frame, "message": empty, **ending}]


def _usage(reply: Reply, received: Received) -> dict[str, int]:
    counted = received.prompt_tokens, count_tokens(reply.text, *(call.arguments for call in reply.tool_calls))
    prompt, completion = reply.usage or counted
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _call(call: ToolUse, index: int, received: Received) -> dict[str, Any]:
    name = call.id or f"call_{int(received.at * 1e6)}_{index}"
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _whole(reply: Reply, received: Received) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = [_call(call, index, received) for index, call in enumerate(reply.tool_calls)]
    choice = {"index": 0, "message": message, "finish_reason": reply.ending}
    return {"choices": [choice], "usage": _usage(reply, received)}


async def _pieces(reply: Reply, received: Received, *, usage: bool) -> AsyncIterator[dict[str, Any]]:
    def delta(fields: dict[str, Any], ending: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": fields, "finish_reason": ending}]}

    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": reply.text[at : at + _PIECE]} for at in range(0, len(reply.text), _PIECE)]
    for index, call in enumerate(reply.tool_calls):
        sent = _call(call, index, received)
        deltas.append({"tool_calls": [{**sent, "index": index, "function": {"name": call.name, "arguments": ""}}]})
        text = call.arguments
        for at in range(0, len(text), _PIECE):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + _PIECE]}}]})
    for fields in deltas:
        yield delta(fields)
        await asyncio.sleep(reply.piece_delay_s)
    yield delta({}, reply.ending)
    if usage:
        yield {"choices": [], "usage": _usage(reply, received)}


def _send_head(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())


def _send_json(
    writer: asyncio.StreamWriter, status: int, value: Mapping[str, Any], more: Mapping[str, str] | None = None
) -> None:
    _send(writer, status, "application/json", json.dumps(value).encode(), more)


def _send_lines(writer: asyncio.StreamWriter, lines: Iterable[Mapping[str, Any]]) -> None:
    _send(writer, 200, "application/x-ndjson", "".join(f"{json.dumps(line)}\n" for line in lines).encode())


def _send(
    writer: asyncio.StreamWriter, status: int, kind: str, body: bytes, more: Mapping[str, str] | None = None
) -> None:
    _send_head(writer, status, {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})})
    writer.write(body)


def _send_chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

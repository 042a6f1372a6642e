"""Site: a small web server on loopback whose pages a test writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """A request as the site received it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    """What the site answers."""

    body: str | bytes = ""
    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    kind: str = "text/html; charset=utf-8"
    wait_s: float = 0


Given = str | Answer | Callable[[Asked], "Answer | str"]


class Site:
    """Answers by path, and remembers what it was asked."""

    def __init__(self, pages: Mapping[str, Given] | None = None) -> None:
        self.pages: dict[str, Given] = dict(pages or {})
        self.asked: list[Asked] = []
        self._server: asyncio.Server | None = None
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()

    def requests(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path == path]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            with suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
                await self._answer(reader, writer)
        finally:
            self._serving.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await self._read(reader)
        self.asked.append(asked)
        found = self.pages.get(asked.path, Answer("nothing here", 404))
        answer = found(asked) if callable(found) else found
        if isinstance(answer, str):
            answer = Answer(answer)
        await asyncio.sleep(answer.wait_s)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        fields = [("Content-Type", answer.kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        lines = [f"HTTP/1.1 {answer.status} So", *(f"{name}: {value}" for name, value in fields + answer.headers)]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return Asked(method, parts.path, query, headers, body)

"""Fixtures for tests of built-in tools."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from tests.cli.conftest import program_in  # noqa: F401 - a fixture


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def context(workspace: Path) -> Iterator[ToolContext]:
    """A call is running in `workspace`."""
    made = ToolContext(thread_id="t", subtask_id="s", workspace=workspace, settings=Settings())
    with using_tool_context(made):
        yield made


@dataclass
class Asked:
    """A request as a service received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Given:
    """What a service answers."""

    body: bytes | str = b""
    status: int = 200
    kind: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    wait_s: float = 0
    broken: bool = False


class Service:
    """A web service on loopback: answers by path, the query left aside, and remembers what it was asked."""

    def __init__(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def answer(self) -> None:
                service.answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self.asked: list[Asked] = []
        self.answers: dict[str, Given] = {}
        self.ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def gives(self, path: str, body: bytes | str = b"", **more: Any) -> str:
        self.answers[path] = Given(body, **more)
        return self.url + path

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append(Asked(handler.command, handler.path, headers, handler.rfile.read(length)))
        given = self.answers.get(handler.path.partition("?")[0], Given(b"{}", 404))
        self.ended.wait(given.wait_s)
        body = given.body.encode() if isinstance(given.body, str) else given.body
        handler.send_response(given.status)
        handler.send_header("Content-Type", given.kind)
        handler.send_header("Content-Length", str(len(body) + (100 if given.broken else 0)))
        for name, value in given.headers:
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.close()


@pytest.fixture
def elsewhere() -> Iterator[Service]:
    """Another service, on another port."""
    made = Service()
    yield made
    made.close()

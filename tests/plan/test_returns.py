"""The fields that a plan may name are those that the built-in tools return."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Sessions, ToolContext, using_tool_context
from openmanus_graph.plans.output_shape import ANY, TEXT, shape_of
from openmanus_graph.tools.registry import builtin
from tests.agent.shown import chart

RESULTS = b'{"results": [{"title": "T", "url": "https://example.com/", "content": "C"}]}'


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        if self.path.startswith("/search?"):
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(RESULTS)
            return
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>T</title><a href='/x'>link</a>")

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


async def _look(path: str, sha256: str, question: str) -> str:
    return f"{path}, of which {sha256} is the hash: {question}"


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def shape_fits(value: Any, shape: Any) -> bool:
    if shape == ANY:
        return True
    if isinstance(shape, dict):
        fields = cast("dict[str, Any]", shape)
        return set(value) == set(fields) and all(shape_fits(value[key], fields[key]) for key in fields)
    if isinstance(shape, list):
        return isinstance(value, list) and all(shape_fits(item, cast("list[Any]", shape)[0]) for item in value)
    assert shape == TEXT
    return value is None or isinstance(value, str | int | float)


async def test_the_outputs_have_exactly_the_described_fields(tmp_path: Path, address: str) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    chart(tmp_path / "a.png")
    calls: dict[str, dict[str, Any]] = {
        "str_replace_editor": {"command": "view", "path": "a.txt"},
        "list_files": {"pattern": "*"},
        "view_image": {"path": "a.png"},
        "search_files": {"pattern": "t"},
        "fetch_page": {"urls": [address]},
        "crawl4ai": {"urls": address},
        "http_request": {"method": "GET", "url": address},
        "planning": {"command": "create", "title": "T", "steps": ["one"]},
        "create_chat_completion": {"response_schema": {"type": "integer"}, "response": "3"},
        "terminate": {"status": "success", "answer": "done"},
        "web_search": {"query": "words"},
    }
    if shutil.which("bash"):
        calls["bash"] = {"command": "echo one; echo two >&2"}
    calls["python_execute"] = {"code": "open('b.txt', 'w').close(); print(1)\n{'any': 'value'}"}
    settings = Settings(home=tmp_path / "home", sandbox="none", allow_hosts=("127.0.0.1",), searxng_url=address)
    sessions = Sessions()
    context = ToolContext("t", "s", tmp_path, settings, sandbox="none", sessions=sessions, look=_look)
    try:
        with using_tool_context(context):
            for name, args in calls.items():
                output = await asyncio.wait_for(builtin(name).ainvoke(args), 30)
                assert shape_fits(output, shape_of(builtin(name))), (name, output)
    finally:
        await sessions.aclose()

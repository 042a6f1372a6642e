"""Endless server: speaks the protocol over HTTP by hand, and answers a call without end."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class EndlessHandler(BaseHTTPRequestHandler):
    """Answers as JSON."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "id" not in request:
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if request["method"] == "tools/call":
            self._endless()
            return
        found = self._result(request)
        said = {"error": {"code": -32601, "message": "unknown"}} if found is None else {"result": found}
        body = json.dumps({"jsonrpc": "2.0", "id": request["id"], **said}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _result(self, request: dict[str, Any]) -> Any:
        match request["method"]:
            case "initialize":
                info = {"name": "endless", "version": "1"}
                version = request["params"]["protocolVersion"]
                return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            case "tools/list":
                return {"tools": [{"name": "talk", "inputSchema": {"type": "object", "properties": {}}}]}
            case _:
                return None

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        try:
            self.wfile.write(b'{"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "')
            while True:
                self.wfile.write(b"x" * 1_000_000)
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        self.send_response(405)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def endless_server() -> ThreadingHTTPServer:
    """A server that listens at a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), EndlessHandler)
    server.daemon_threads = True
    return server

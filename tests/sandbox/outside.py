"""Outside: a small server on loopback that a sandbox may be let out to, and what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HOST = "127.0.0.2"
"""Of loopback, but not what programs take for their own machine and reach without a proxy."""


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        target = server.redirects.get(self.path)
        if target is None:
            super().do_GET()
            return
        self.send_response(302)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.upper())

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


class Outside:
    """Serves a folder."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        self.folder, self._host = folder, host
        self._server: Any = ThreadingHTTPServer((host, 0), partial(_Handler, directory=str(folder)))
        self._server.daemon_threads = True
        self._server.asked, self._server.redirects = [], {}

    @property
    def place(self) -> str:
        return f"{self._host}:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}"

    @property
    def asked(self) -> list[str]:
        """The paths that were asked for."""
        return self._server.asked

    @property
    def redirects(self) -> dict[str, str]:
        """Addresses that paths lead to."""
        return self._server.redirects

    @contextmanager
    def running(self) -> Iterator[Outside]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

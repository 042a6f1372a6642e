"""Site: the small shop that the demo serves on loopback, and the log of who asked it for what."""

from __future__ import annotations

import json
import mimetypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources.abc import Traversable
from types import TracebackType
from typing import Any, cast

HOST = "127.0.0.1"
USUAL_PORT = 47310
"""Taken if it is free, so that two demos look alike."""
PAGE_SECONDS = 0.7
"""How long a page takes, as pages do."""
LONGEST_BODY = 10_000
"""Bytes of a request for a quote that are read."""


@dataclass
class SiteLog:
    """Requests that the site received."""

    pages: list[str] = field(default_factory=list[str])
    """Paths of the pages asked for, also of one that does not exist, in order."""
    quotes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Requests for a quote, by their idempotency key."""
    posts: int = 0
    """How often a quote was requested, the same request again included."""


class Site:
    """Serves pages while it is entered."""

    def __init__(self, pages: Traversable, port: int | None = None) -> None:
        """Take a port; nothing is answered before the site is entered.

        Args:
            pages: The folder of the pages.
            port: The port; `None` takes the usual one, or another one where that is taken.

        Raises:
            OSError: If the port is not free.
        """
        self.log = SiteLog()
        self.reached: Callable[[str], None] | None = None
        """Called with the path of each page that is asked for, before it is answered."""
        self._pages = pages
        self._server = self._bound(port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="demo site", daemon=True)

    def _bound(self, port: int | None) -> ThreadingHTTPServer:
        handler = _handler_for(self)
        if port is not None:
            return _Server((HOST, port), handler)
        try:
            return _Server((HOST, USUAL_PORT), handler)
        except OSError:
            return _Server((HOST, 0), handler)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"{HOST}:{self._server.server_port}"

    @property
    def address(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://{self.host}"

    def __enter__(self) -> Site:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, path: str) -> tuple[int, str, bytes]:
        """Status, type and content of a page."""
        self.log.pages.append(path)
        if self.reached is not None:
            self.reached(path)
        time.sleep(PAGE_SECONDS)
        names = [name for name in path.split("/") if name]
        page = self._pages.joinpath(*names) if ".." not in names else self._pages / "-"
        if page.is_dir():
            page = page / "index.html"
        if not page.is_file():
            return 404, "text/html; charset=utf-8", b"<title>Not here</title><p>There is no such page.</p>"
        return 200, mimetypes.guess_type(page.name)[0] or "text/plain", page.read_bytes()

    def quote(self, key: str, asked: Any) -> tuple[int, dict[str, Any]]:
        """Status and answer to a request for a quote; the same key gets the same number."""
        self.log.posts += 1
        fields = cast("dict[str, Any]", asked) if isinstance(asked, dict) else {}
        missing = [name for name in ("supplier", "item", "quantity") if not fields.get(name)]
        if missing:
            return 400, {"error": f"A request for a quote needs {', '.join(missing)}."}
        known = self.log.quotes
        if key not in known:
            known[key] = {"number": f"Q-{fields['quantity']}-{len(known) + 1}", **fields}
        return 201, known[key]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Someone else's server on the port must be noticed, and not be shared with.
    allow_reuse_port = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: who asked was killed, which is what the demo is about."""


def _handler_for(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*site.page(self.path.partition("?")[0]))

        def do_POST(self) -> None:
            size = min(int(self.headers.get("content-length") or 0), LONGEST_BODY)
            body = self.rfile.read(size)
            if self.path != "/quotes":
                self._answer(404, "text/plain", b"Quotes are at /quotes.")
                return
            time.sleep(PAGE_SECONDS)
            try:
                asked = json.loads(body)
            except ValueError:
                asked = None
            status, reply = site.quote(self.headers.get("idempotency-key") or body.decode(errors="replace"), asked)
            self._answer(status, "application/json", json.dumps(reply).encode())

        def _answer(self, status: int, kind: str, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler

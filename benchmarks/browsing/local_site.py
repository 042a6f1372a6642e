"""Local site: pages on loopback, on two ports so that there are two origins, with what was sent to them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class LocalSite:
    """Pages by path; `$OTHER` in a page is the address of the same pages under another origin."""

    pages: dict[str, str]
    """The pages."""
    url: str = ""
    """Its address."""
    other: str = ""
    """Its address under the other origin."""
    sent: list[str] = field(default_factory=list[str])
    """Each request: method, path with query, and body."""


def _handler(site: LocalSite) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("latin-1")
            site.sent.append(f"{self.command} {self.path} {body}")
            path = urlsplit(self.path).path
            page = site.pages.get(path)
            status = 200
            if path == "/sent":
                page = f"<!doctype html><title>Sent</title><h1>Thank you</h1><a href=/>Home</a><p>{self.command}"
            if path == "/moved":
                status, page = 302, ""
            if page is None:
                status, page = 404, "<!doctype html><title>Missing</title><h1>There is no such page</h1>"
            content = page.replace("$OTHER", site.other).encode()
            self.send_response(status)
            file = path.endswith(".csv")
            self.send_header("Content-Type", "text/csv" if file else "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            if file:
                self.send_header("Content-Disposition", f'attachment; filename="{path[1:]}"')
            if status == 302:
                self.send_header("Location", "/arrived")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer  # noqa: N815 - http.server looks for these names

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    return Handler


@contextmanager
def local_site(pages: dict[str, str]) -> Iterator[LocalSite]:
    """Serve pages on two ports of loopback.

    Args:
        pages: Their HTML by path.
    """
    site = LocalSite(pages)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(site)) for _ in range(2)]
    site.url, site.other = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()

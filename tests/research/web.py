"""Web: a small site with a search engine on loopback, and a model of rules that researches it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openmanus_graph.testing import Fault, Reply, ToolUse

Answer = Callable[[str], dict[str, Any] | Reply | Fault]
"""Takes the text of a request, and gives the object that is asked for, or the reply itself."""

_FENCED = re.compile(r"^(~~~+)\n(.*?)\n\1$", re.DOTALL | re.MULTILINE)


class Web:
    """A site: pages by path, `/search` in SearXNG's JSON, and what was asked for."""

    def __init__(self, pages: Mapping[str, str], found: Mapping[str, list[str]]) -> None:
        self.pages = dict(pages)
        self.found = dict(found)
        self.read: list[str] = []
        self.searched: list[str] = []
        self.slow: dict[str, float] = {}
        self.hangs: set[str] = set()
        self.together: dict[str, threading.Barrier] = {}
        """Pages that are answered once all of a barrier are asked for, or not at all."""
        self.titled: dict[str, str] = {}
        """Titles that results have, by path, in place of it."""
        self.elsewhere: dict[str, list[str]] = {}
        """More results of a search: addresses of other servers."""
        self._open = threading.Event()
        self.url = ""

    def page(self, path: str) -> str:
        return f"{self.url}{path}"

    def go_on(self) -> None:
        """Answer what hangs, and let nothing hang any more."""
        self.hangs = set()
        self._open.set()

    def answer(self, target: str) -> tuple[int, str, str]:
        parts = urlsplit(target)
        if parts.path == "/search":
            query = parse_qs(parts.query)["q"][0]
            self.searched.append(query)
            if query in self.hangs:
                self._open.wait()
            results = [
                {"title": self.titled.get(path, path), "url": self.page(path), "content": self.titled.get(path, "")}
                for path in self.found.get(query, [])
            ]
            results += [{"title": url, "url": url, "content": ""} for url in self.elsewhere.get(query, [])]
            return 200, "application/json", json.dumps({"results": results})
        self.read.append(parts.path)
        page = self.pages.get(target, self.pages.get(parts.path))
        if parts.path in self.hangs:
            self._open.wait()
        if parts.path in self.together:
            self.together[parts.path].wait(60)
        time.sleep(self.slow.get(parts.path, 0.0))
        return (200 if page is not None else 404), "text/html", page or "gone"


def cited_sentences(report: str) -> list[str]:
    """The sentences of a report's text, each of which must end with numbers of sources."""
    body = report.partition("## Sources")[0].partition("## What is missing")[0]
    lines = [line.removeprefix("- ") for line in body.splitlines() if line and not line.startswith("#")]
    return [one for line in lines for one in re.split(r"(?<=\])\s+(?=[A-Z\"])", line)]


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, text = web.answer(self.path)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked was killed
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        web.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield web
        finally:
            web.go_on()
            server.shutdown()
            thread.join()


def fenced_parts(text: str) -> list[str]:
    """What stands between fences in a request."""
    return [found[1] for found in _FENCED.findall(text)]


class Rules:
    """A model that answers each kind of request of a research by a rule of its own."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.system: dict[str, str] = {}

    def __call__(self, body: dict[str, Any]) -> Reply | Fault:
        name = str(body["tools"][0]["function"]["name"])
        kind = name.removeprefix("research_")
        text = "\n".join(str(message["content"]) for message in body["messages"] if message["role"] == "user")
        self.asked.append(kind)
        self.texts.append((kind, text))
        self.system[kind] = str(body["messages"][0]["content"])
        if kind not in self.answers:
            return Fault(400, f"There is no rule for {kind}.")
        found = self.answers[kind](text)
        return found if isinstance(found, Reply | Fault) else Reply(tool_calls=[ToolUse(name, found)])

    def of(self, kind: str) -> list[str]:
        return [text for asked, text in self.texts if asked == kind]


def question(text: str, *queries: str) -> dict[str, Any]:
    return {"text": text, "queries": list(queries)}


def sentences_noted(text: str) -> dict[str, Any]:
    """Notes of each sentence of a page that has a number in it."""
    page = fenced_parts(text)[1]
    found = [one.strip() for one in re.split(r"(?<=[.!?])\s+|\n", page) if re.search(r"\d", one)]
    return {"notes": [{"says": one, "quotation": one} for one in found if len(one) > 15]}


def notes_in(text: str) -> dict[str, str]:
    """The notes of a request, by id with what they say."""
    return dict(re.findall(r"^(q\d+\.\d+\.\d+\.\d+): (.*)$", text, re.MULTILINE))


def claims_of_notes(text: str) -> dict[str, Any]:
    """A claim for each note."""
    claims = [{"question": key.split(".")[0], "text": says, "notes": [key]} for key, says in notes_in(text).items()]
    return {"claims": claims, "differences": []}


def all_supported(text: str) -> dict[str, Any]:
    listed = json.loads(fenced_parts(text)[0])
    return {"verdicts": [{"claim": one["claim"], "supported": True, "why": ""} for one in listed]}


def nothing_missing(text: str) -> dict[str, Any]:
    return {"answered": True, "queries": []}

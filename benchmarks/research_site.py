"""Research site: 60 pages on towns with contradictions, dead ends and false figures, and a model of rules.

The facts stand somewhere in pages of filler. The model knows the towns' names and how a fact is worded, and no number:
it says what stands in the request before it, whoever asks.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from openmanus_graph.testing import Fault, Reply, ToolUse
from openmanus_graph.testing.script import count_tokens

TOWNS = ("Almby", "Birkby", "Cedarby", "Dalby", "Elmby", "Firby")
RENAMED = {"Elmby": "Ulmby", "Firby": "Furby"}
"""Towns whose figures stand only under their newer name, which the pages on the old one tell."""
DIFFERING = ("Birkby", "Dalby")
"""Towns on which two good pages contradict each other."""
FALSE = ("Almby", "Cedarby", "Dalby")
"""Towns on which an almanac has false figures."""
QUERY = f"How many inhabitants does each of these towns have? The towns are: {', '.join(TOWNS)}."
CHARACTERS, PAGES = 6_000, 60

_TEXT = (
    "the town lies on a quiet bay where boats were built of oak and pine and its market is held on the square below "
    "the old church every week from spring until the first snow when the road over the hills is closed for carts"
)
_FACT = re.compile(r"The town of (\w+) has ([\d,]+) inhabitants\.")
_NAMED = re.compile(r"Since 1990 the town of (\w+) is called (\w+)\.")


def inhabitants(town: str, source: str = "") -> str:
    """The number that a source has."""
    return f"{random.Random(f'{town}{source}').randrange(2_000, 90_000):,}"


def _filler(name: str, *sentences: str) -> str:
    """A page of filler with sentences at random places."""
    chance = random.Random(name)
    words = _TEXT.split()
    parts = [" ".join(chance.choices(words, k=60)).capitalize() + "." for _ in range(CHARACTERS // 330)]
    for sentence in sentences:
        parts.insert(chance.randrange(len(parts)), sentence)
    return f"<title>{name}</title><h1>{name}</h1>" + "".join(f"<p>{part}</p>" for part in parts)


def fact(town: str, number: str) -> str:
    """A fact as all pages word it."""
    return f"The town of {town} has {number} inhabitants."


def _pages() -> tuple[dict[str, str], dict[str, list[str]]]:
    """The pages by path, and what a search finds."""
    pages: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for town in TOWNS:
        name = RENAMED.get(town, town)
        true = inhabitants(name)
        other = inhabitants(name, "census") if town in DIFFERING else true
        pages[f"/{name}/facts"] = _filler(f"Facts on {name}", fact(name, true))
        pages[f"/{name}/census"] = _filler(f"Census of {name}", fact(name, other))
        pages[f"/{name}/visit"] = _filler(f"Visit {name}")
        pages[f"/{name}/harbour"] = _filler(f"The harbour of {name}")
        results = [f"/{name}/visit", f"/{name}/facts", f"/{name}/census"]
        results.append("/almanac" if town in FALSE else f"/{name}/gone")
        found[f"{name} number of inhabitants"] = results
        if town in RENAMED:
            pages[f"/{town}/history"] = _filler(
                f"History of {town}", f"Since 1990 the town of {town} is called {name}."
            )
            pages[f"/{town}/church"] = _filler(f"The church of {town}")
            found[f"{town} number of inhabitants"] = [f"/{town}/church", f"/{town}/history", f"/{town}/gone"]
    pages["/almanac"] = _filler("An almanac", *(fact(town, inhabitants(town, "almanac")) for town in FALSE))
    for number in range(PAGES - len(pages)):
        pages[f"/other/{number}"] = _filler(f"Another page {number}")
    return pages, found


SITE, FOUND = _pages()


def facts_in(text: str) -> set[tuple[str, str]]:
    """The facts that a text states."""
    return set(_FACT.findall(text))


@contextmanager
def serving() -> Iterator[str]:
    """Serve the pages and a search engine with SearXNG's JSON; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/search":
                base = f"http://127.0.0.1:{server.server_address[1]}"
                paths = FOUND.get(parse_qs(parts.query)["q"][0], [])
                results = [{"title": path, "url": f"{base}{path}", "content": ""} for path in paths]
                self._send(200, "application/json", json.dumps({"results": results}))
            else:
                self._send(200 if parts.path in SITE else 404, "text/html", SITE.get(parts.path, "gone"))

        def _send(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class Scholar:
    """The script of a scripted server: who asks it sees by the tools that are offered."""

    def __init__(self, latency: Callable[[int], float]) -> None:
        """Begin a run; `latency` says the seconds that a reply takes, by its tokens."""
        self._latency = latency

    def __call__(self, body: dict[str, Any]) -> Reply | Fault:
        """The reply to a request."""
        reply = self._reply(body)
        tokens = count_tokens(reply.text, *(one.arguments for one in reply.tool_calls))
        return Reply(reply.text, reply.tool_calls, delay_s=self._latency(tokens))

    def _reply(self, body: dict[str, Any]) -> Reply:
        name = str(body["tools"][0]["function"]["name"])
        if name not in _RULES:
            return _loop(body["messages"], one_at_a_time=body.get("parallel_tool_calls") is False)
        text = "\n".join(str(one["content"]) for one in body["messages"] if one["role"] == "user")
        return Reply(tool_calls=[ToolUse(name, _RULES[name](text))])


def _asked_towns(text: str) -> list[str]:
    (listed,) = re.findall(r"The towns are: ([\w, ]+)\.", text)[:1]
    return [one.strip() for one in listed.split(",")]


def _questions(text: str) -> dict[str, Any]:
    return {
        "questions": [
            {"text": f"How many inhabitants does {town} have?", "queries": [f"{town} number of inhabitants"]}
            for town in _asked_towns(text)
        ]
    }


def _note(text: str) -> dict[str, Any]:
    (town,) = re.findall(r"How many inhabitants does (\w+) have", text)[:1]
    names = {town, RENAMED.get(town, town)}  # a page that calls it so was found by a search for it
    said = [match[0] for match in _FACT.finditer(text) if match[1] in names]
    said += [match[0] for match in _NAMED.finditer(text) if match[1] == town]
    return {"notes": [{"says": one, "quotation": one} for one in dict.fromkeys(said)]}


def _gaps(text: str) -> dict[str, Any]:
    named = _NAMED.findall(text)
    is_answered = bool(facts_in(text)) or not named
    return {"answered": is_answered, "queries": [] if is_answered else [f"{named[0][1]} number of inhabitants"]}


def _report(text: str) -> dict[str, Any]:
    notes: dict[tuple[str, str], dict[str, list[str]]] = {}
    for key, town, number in re.findall(
        r"^(q[\d.]+): The town of (\w+) has ([\d,]+) inhabitants\.", text, re.MULTILINE
    ):
        notes.setdefault((key.partition(".")[0], town), {}).setdefault(number, []).append(key)
    claims: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    for (question, town), numbers in notes.items():
        keys = [key for named in numbers.values() for key in named]
        if len(numbers) == 1:
            claims.append({"question": question, "text": fact(town, next(iter(numbers))), "notes": keys})
        else:
            differences.append({"question": question, "text": _differing(town, list(numbers)), "notes": keys})
    return {"claims": claims, "differences": differences}


def _differing(town: str, numbers: list[str]) -> str:
    return f"On the inhabitants of {town} pages differ: {' and '.join(sorted(numbers))}."


def _check(text: str) -> dict[str, Any]:
    claims = re.findall(r'"claim": (\d+),\s*"text": "([^"]*)",\s*"quotations": \[(.*?)\]', text, re.DOTALL)
    verdicts = [
        {"claim": int(number), "supported": all(one in quoted for one in re.findall(r"\d[\d,]*\d", said)), "why": ""}
        for number, said, quoted in claims
    ]
    return {"verdicts": verdicts}


_RULES: dict[str, Callable[[str], dict[str, Any]]] = {
    "research_questions": _questions,
    "research_note": _note,
    "research_gaps": _gaps,
    "research_report": _report,
    "research_check": _check,
}


def _loop(messages: list[dict[str, Any]], *, one_at_a_time: bool) -> Reply:
    """The next reply of a ReAct loop that looks into the same pages."""
    made = [call["function"] for one in messages for call in one.get("tool_calls") or []]
    calls = [(one["name"], json.loads(one["arguments"])) for one in made]
    results = [str(one["content"]) for one in messages if one["role"] == "tool"]
    text = "\n".join(results)
    searched = {args["query"] for name, args in calls if name == "search"}
    read = {args["url"] for name, args in calls if name == "read_page"}
    names = [*_asked_towns(str(messages[1]["content"])), *(new for _, new in _NAMED.findall(text))]
    wanted = [
        ToolUse("search", {"query": query})
        for one in names
        if (query := f"{one} number of inhabitants") not in searched
    ]
    found = re.findall(r"^result: (\S+)$", text, re.MULTILINE)
    wanted += [ToolUse("read_page", {"url": url}) for url in dict.fromkeys(found) if url not in read]
    if wanted:
        return Reply(tool_calls=wanted[:1] if one_at_a_time else wanted)
    numbers: dict[str, dict[str, list[str]]] = {}
    pages = [(args["url"], result) for (name, args), result in zip(calls, results, strict=True) if name == "read_page"]
    for url, result in pages:
        for town, number in facts_in(result):
            if town in names:
                numbers.setdefault(town, {}).setdefault(number, []).append(url)
    lines = [
        f"{fact(town, next(iter(said))) if len(said) == 1 else _differing(town, list(said))} "
        f"({', '.join(url for urls in said.values() for url in urls)})"
        for town, said in numbers.items()
    ]
    return Reply("\n".join(lines))

"""Openapi: how soon 1,200 operations are ready, what they cost a prompt, which are found, and what a call takes.

The published descriptions are measured where `make openapi` has got them; a made-up one of 1,200 operations always is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
from langchain_core.tools import BaseTool

from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.openapi_documents import NAMES, file_of
from benchmarks.openapi_questions import LOOKED_AT, UNSEEN
from benchmarks.store import temporary_folder
from openmanus_graph import Settings
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.context import ToolContext
from openmanus_graph.memory.embedding.minilm import MiniLMEmbedder
from openmanus_graph.tools.openapi.service import Service
from openmanus_graph.tools.openapi.tools import openapi_tools
from openmanus_graph.tools.spec import schema_of

OPERATIONS = 1_200
COLD_S, KEPT_S, TOKENS, FOUND, FOUND_BY_MEANING, AMONG = 3.0, 0.3, 600, 0.8, 0.9, 5
CALLS = 200


def made_up() -> dict[str, Any]:
    """A description of 1,200 operations with schemas that refer to one another."""
    fields = {f"field{n}": {"type": "string", "description": f"What field {n} of it is."} for n in range(12)}
    schemas = {
        f"Thing{n}": {
            "type": "object",
            "properties": {**fields, "next": {"$ref": f"#/components/schemas/Thing{n // 10 * 10 + (n + 1) % 10}"}},
        }
        for n in range(300)
    }
    answer = {
        "200": {
            "description": "ok",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing1"}}},
        }
    }
    paths: dict[str, Any] = {}
    for n in range(OPERATIONS // 4):
        one = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/Thing{n}"}}}
        body = {"requestBody": {"required": True, "content": content}, "responses": answer}
        paths[f"/things{n}"] = {
            "get": {"operationId": f"listThings{n}", "summary": f"List the things {n}", "responses": answer},
            "post": {"operationId": f"createThing{n}", "summary": f"Create a thing {n}", **body},
        }
        paths[f"/things{n}/{{id}}"] = {
            "parameters": [one],
            "get": {"operationId": f"getThing{n}", "summary": f"Get a thing {n}", "responses": answer},
            "put": {"operationId": f"updateThing{n}", "summary": f"Change a thing {n}", **body},
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Made up", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def ready(name: str, file: Path, home: Path, times: int) -> Iterator[Figure]:
    """How soon the tools of a document are there, and what they cost a prompt."""
    settings = Settings.load(home=home, openapi={"api": OpenApiSettings(document=str(file))})
    stated, cold, kept = settings.openapi["api"], [], []
    count, tokens = 0, 0
    for _ in range(times):
        began = time.perf_counter()
        count = len(Service.of("api", stated, settings, anew=True).operations)
        cold.append(time.perf_counter() - began)
        began = time.perf_counter()
        tools, _ = openapi_tools(settings)
        kept.append(time.perf_counter() - began)
        tokens = sum(map(_characters, tools.values())) // 4
    yield Figure(f"{name}, {count:,} operations: ready, cold", middle(cold), "s", COLD_S)
    yield Figure(f"{name}: ready from the index", middle(kept), "s", KEPT_S)
    if count > 25:
        yield Figure(f"{name}: its tools in a prompt", float(tokens), "tok", TOKENS)


def _characters(tool: BaseTool) -> int:
    """The characters of a tool as a provider is sent it."""
    schema = {key: value for key, value in schema_of(tool).items() if key != "description"}
    return len(json.dumps({"name": tool.name, "description": tool.description, "parameters": schema}))


async def found(home: Path) -> list[Figure]:
    """How many questions have a right operation among the first five, and how long a search takes."""
    figures: list[Figure] = []
    embed = MiniLMEmbedder().embed
    for given, what in ((LOOKED_AT, "looked at while it was made"), (UNSEEN, "unseen")):
        asked = sum(map(len, given.values()))
        for by, least in (("words", FOUND), ("words and meaning", FOUND_BY_MEANING)):
            hits, took = 0, []
            for name, questions in given.items():
                service = Service.of(name, OpenApiSettings(document=str(file_of(name))), Settings.load(home=home))
                search = service.search
                await search.find_by_meaning("first", embed, most=AMONG)
                for question, right in questions:
                    began = time.perf_counter()
                    if by == "words":
                        best = search.find(question, most=AMONG)
                    else:
                        best = await search.find_by_meaning(question, embed, most=AMONG)
                    took.append(time.perf_counter() - began)
                    hits += any(one.name in right for one in best)
            target = least if given is UNSEEN else None
            label = f"right operation among the first {AMONG} of {asked} questions {what}, by {by}"
            figures.append(Figure(label, hits / asked, "of 1", target, at_least=True))
            if given is UNSEEN:
                figures.append(Figure(f"a search by {by}", middle(took) * 1e3, "ms"))
    return figures


@contextmanager
def answering() -> Iterator[str]:
    """A server that answers at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def called(file: Path, home: Path, calls: int) -> Figure:
    """What a call takes beside the bare client with a connection of its own for each, as ours has."""
    with answering() as url:
        stated = OpenApiSettings(document=str(file), server=url)
        settings = Settings.load(home=home, allow_hosts=("127.0.0.1",))
        service = Service.of("api", stated, settings)
        context = ToolContext("t", "s", home, settings, idempotency_key="key")
        operation = service.operations["createThing1"]
        ours: list[float] = []
        bare: list[float] = []
        for _ in range(calls):
            began = time.perf_counter()
            assert not list(service.problems_of(operation, {"field1": "x"}))
            await service.call(operation, {"field1": "x"}, context)
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            async with httpx2.AsyncClient(verify=False) as client:
                (await client.post(f"{url}/things1", json={"field1": "x"})).json()
            bare.append(time.perf_counter() - began)
    return Figure("a call, checked and sent", middle(ours) * 1e3, "ms", None, middle(bare) * 1e3, "bare httpx2")


def measure(home: Path, *, quick: bool) -> Iterator[Figure]:
    """The rows of the table."""
    file = home / "made-up.json"
    file.write_text(json.dumps(made_up()), encoding="utf-8")
    times = 2 if quick else 5
    yield from ready("made up", file, home / "home", times)
    missing = [name for name in NAMES if not file_of(name).exists()]
    if missing:
        say(f"Not measured: {', '.join(missing)}. Get them with: make openapi")
    else:
        for name in NAMES:
            yield from ready(name, file_of(name), home / "home", times)
        yield from asyncio.run(found(home / "home"))
    yield asyncio.run(called(file, home / "home", 20 if quick else CALLS))


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.openapi", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    given = parser.parse_args(arguments)
    with temporary_folder() as home:
        return list(measure(home, quick=given.quick))


if __name__ == "__main__":
    say(machine())
    print(table(main()))

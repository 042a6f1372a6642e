"""Research: deep research beside ReAct loops on a site with contradictions, dead ends and false figures."""

from __future__ import annotations

import argparse
import asyncio
import gc
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from benchmarks.agent import MEDIAN_S, SCALE, SIGMA
from benchmarks.figure import Figure, machine, middle, say, table
from benchmarks.mind import log_normal
from benchmarks.react import ask, react_agent
from benchmarks.research_site import DIFFERING, FALSE, QUERY, RENAMED, SITE, TOWNS, Scholar, facts_in, serving
from benchmarks.store import our_saver, temporary_folder
from openmanus_graph import ThreadSaver, build_deep_research, make_durable
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.testing import ScriptedServer
from openmanus_graph.tools.fetch_page import fetch
from openmanus_graph.tools.web.engines import Query
from openmanus_graph.tools.web_search import thread_search

FASTER, TOKENS = 2.0, 0.7
"""How many times faster than the plain loop, and the share of its tokens."""
ALLOWED = ("127.0.0.1",)
_URL = re.compile(r"http://127\.0\.0\.1:\d+(/[\w/]+)")

Answer = Callable[[], Awaitable[str]]
Run = tuple[float, float, int, int]
"""Seconds, the share of statements with a right source, calls and prompt tokens."""


def _tools(settings: Settings) -> list[BaseTool]:
    """What the rivals have: the same search and the same reader."""

    async def search(query: str) -> str:
        """Search the Web."""
        found = await thread_search(Query(query, 6, "en", None), settings, None)
        return "\n".join(f"result: {hit.url}" for hit in found.hits) or "nothing"

    async def read_page(url: str) -> str:
        """Read a page."""
        try:
            return str((await fetch([url], ALLOWED))["pages"][0]["markdown"])
        except ToolError as error:
            return error.message

    return [StructuredTool.from_function(coroutine=one, name=one.__name__) for one in (search, read_page)]


def statements_of(answer: str) -> list[tuple[str, list[str]]]:
    """The statements of an answer with the paths of the pages that each names, numbers looked up."""
    numbered = {
        number: path for number, path in re.findall(r"^(\d+)\. .*?<http://[^/]+(/[^>]*)>", answer, re.MULTILINE)
    }
    found: list[tuple[str, list[str]]] = []
    for line in answer.partition("## Sources")[0].splitlines():
        for said in re.split(r"(?<=\])\s+(?=[A-Z])", line):
            if re.search(r"\d,\d", said):
                paths = [numbered[one] for one in re.findall(r"\[(\d+)\]", said)] or _URL.findall(said)
                found.append((said, paths))
    return found


def _has_source(said: str, paths: list[str]) -> bool:
    """Whether each number of a statement stands in one of its pages, and none of them is without any."""
    numbers = re.findall(r"\d[\d,]*\d(?= inhabitants| and |\.| \()", _URL.sub("", said))
    known = [{number for _, number in facts_in(SITE.get(path, ""))} for path in paths]
    return bool(paths) and all(any(one in page for page in known) for one in numbers) and all(known)


def judge(name: str, answer: str) -> float:
    """The share of statements with a right source; raises unless each town and each contradiction is told."""
    told = statements_of(answer)
    for town in TOWNS:
        if not any(RENAMED.get(town, town) in said for said, _ in told):
            raise RuntimeError(f"{name} says nothing of {town}: {answer}")
    for town in {*DIFFERING, *FALSE}:
        if not any(f"inhabitants of {town} pages differ" in said for said, _ in told):
            raise RuntimeError(f"{name} does not say that pages on {town} differ: {answer}")
    return sum(_has_source(said, paths) for said, paths in told) / len(told)


async def _measured(name: str, server: ScriptedServer, answer: Answer) -> Run:
    gc.collect()
    server.requests.clear()
    began = time.perf_counter()
    said = await answer()
    took = time.perf_counter() - began
    tokens = server.prompt_tokens
    return took, judge(name, said), len(server.requests), tokens


def _answer(name: str, settings: Settings, server: ScriptedServer, saver: ThreadSaver) -> Answer:
    """What answers the question."""
    if name != "deep research":
        loop = react_agent(server.base_url, _tools(settings), parallel=name.startswith("parallel"))
        return lambda: ask(loop, QUERY)
    app = make_durable(build_deep_research(settings=settings), saver, settings=settings)

    async def answer() -> str:
        config: Any = {"configurable": {"thread_id": uuid.uuid4().hex}}
        return str((await app.ainvoke({"query": QUERY}, config))["report"])

    return answer


async def _all(home: Path, saver: ThreadSaver, seeds: int, scale: float) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {}
    for seed in range(seeds):
        for name in ("deep research", "sequential ReAct", "parallel ReAct"):
            scholar = Scholar(log_normal(seed, MEDIAN_S, SIGMA, 0.01, scale))
            with serving() as site, ScriptedServer(scholar) as server:
                settings = Settings.load(
                    home=home,
                    llm_model="openai/scripted",
                    llm_base_url=server.base_url,
                    llm_api_key="sk-scripted",
                    searxng_url=site,
                    allow_hosts=list(ALLOWED),
                )
                answer = _answer(name, settings, server, saver)
                runs.setdefault(name, []).append(await _measured(name, server, answer))
    return runs


async def _run(url: str | None, seeds: int, scale: float) -> list[Figure]:
    with temporary_folder() as home:
        async with our_saver(home, url) as saver:
            await _all(home, saver, 1, 0.0)  # imports, connections
            runs = await _all(home, saver, seeds, scale)
    ours = runs["deep research"]
    figures = [Figure("deep research: statements with a right source", _middle(ours, 1), "×", 1.0, at_least=True)]
    for name in ("sequential ReAct", "parallel ReAct"):
        theirs = runs[name]
        say(f"{name}: {_middle(theirs, 1):.2f} of its statements with a right source")
        took, tokens = _middle(theirs, 0), _middle(theirs, 3)
        figures += [
            Figure("wall time", _middle(ours, 0), "s", round(took / FASTER, 2), took, name),
            Figure("prompt tokens", _middle(ours, 3), "tok", round(tokens * TOKENS), tokens, name),
            Figure("calls of the model", _middle(ours, 2), "", None, _middle(theirs, 2), name),
        ]
    return figures


def _middle(runs: Sequence[Run], part: int) -> float:
    return middle([float(run[part]) for run in runs])


def main(arguments: list[str] | None = None) -> list[Figure]:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.research", description=__doc__)
    parser.add_argument("--url", help="a Postgres to use; an embedded one by default")
    parser.add_argument("--quick", action="store_true", help="one seed instead of three, everything a fifth as long")
    given = parser.parse_args(arguments)
    return asyncio.run(_run(given.url, *((1, SCALE) if given.quick else (3, 1.0))))


if __name__ == "__main__":
    figures = main()
    say(machine())
    print(table(figures))

"""Web_search: the tool that asks search engines, one after the other until one answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import Searches, tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.tools.fetch_page import fetch
from openmanus_graph.tools.spec import ToolSpec, builtin_tool
from openmanus_graph.tools.web.address import Resolver, resolve
from openmanus_graph.tools.web.download import Downloader
from openmanus_graph.tools.web.engines import Engine, Hit, Query, engines_of

ENGINE_SECONDS = 10.0
"""Seconds an engine may take before the next one is asked."""
PAGE_SECONDS = 15.0
"""Seconds each page of `fetch_content` may take."""
PAGE_CHARACTERS = 10_000
"""Characters kept of each page of `fetch_content`."""
CACHE_SECONDS = 300.0
"""Seconds for which the same search gives the same results where no thread keeps them."""
MAX_CACHED = 128
"""Searches that are remembered."""

_RESULT = dict.fromkeys(("position", "title", "url", "description", "text", "engine"), TEXT)


def _read_addresses(args: Mapping[str, Any], output: Any) -> list[str]:
    """The addresses of the results whose pages were read, not of those that were only found."""
    if not args.get("fetch_content"):
        return []
    return [found["url"] for found in output["results"] if found["text"] and not _NOT_READ.fullmatch(found["text"])]


_SPEC = ToolSpec(
    effect="read",
    idempotent=True,
    returns={"results": [_RESULT], "note": TEXT},
    free_text=("title", "url", "description", "text"),
    source=_read_addresses,
)
_NOT_READ = re.compile(r"\[[^\[\]\n]*\.\]")
"""What stands in place of a page's text if it could not be read."""


class SearchArguments(BaseModel):
    """What to search for."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=1000, description="The words.")
    num_results: int = Field(default=5, ge=1, le=20, description="How many results.")
    lang: str = Field(default="en", pattern="^[A-Za-z]{2}$", description="Language of results, two letters.")
    country: str | None = Field(default=None, pattern="^[A-Za-z]{2}$", description="Country, two letters.")
    fetch_content: bool = Field(default=False, description="Whether to read the pages too.")
    fresh: bool = Field(default=False, description="Whether to ask anew what this thread has searched for before.")


@dataclass(frozen=True)
class Found:
    """What came of a search."""

    engine: str
    """The engine that answered."""
    hits: list[Hit]
    """Its results."""
    age_s: float | None = None
    """How many seconds ago the thread had found them; `None` if an engine was asked now."""

    @property
    def note(self) -> str:
        """What is to be known of where they come from; empty if they are new."""
        if self.age_s is None:
            return ""
        return f"Found by this thread's own search {self.age_s:.0f} s ago, not now; `fresh` asks again."


class Cache:
    """Results of searches, for a short while, in this process."""

    def __init__(self, seconds: float = CACHE_SECONDS) -> None:
        """Start empty."""
        self._seconds = seconds
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, str, list[Hit]]] = OrderedDict()

    def get(self, key: tuple[Any, ...]) -> tuple[str, list[Hit]] | None:
        """What was found, and by which engine, unless it is too long ago."""
        found = self._kept.get(key)
        if found is None or time.monotonic() - found[0] > self._seconds:
            return None
        return found[1], found[2]

    def put(self, key: tuple[Any, ...], engine: str, hits: list[Hit]) -> None:
        """Keep what was found, and forget the oldest if it is too much."""
        self._kept[key] = (time.monotonic(), engine, hits)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_CACHED:
            self._kept.popitem(last=False)

    def forget(self, key: tuple[Any, ...]) -> None:
        """Forget what was found."""
        self._kept.pop(key, None)


_cache = Cache()


@builtin_tool("web_search", SearchArguments, _SPEC)
async def web_search(
    query: str,
    num_results: int = 5,
    lang: str = "en",
    country: str | None = None,
    fetch_content: bool = False,
    fresh: bool = False,
) -> dict[str, Any]:
    """Search the Web.

    Each result has position, title, url, description, engine, and with fetch_content the page's Markdown as text.
    """
    context = tool_context()
    asked = Query(query.strip(), num_results, lang.lower(), country)
    context.report(f"searching for {asked.text!r}")
    found = await thread_search(asked, context.settings, context.searches, fresh=fresh)
    if found.note:
        context.report(found.note)
    engine, hits = found.engine, found.hits
    texts = await _texts(hits, context.settings) if fetch_content and hits else {}
    return {
        "note": found.note,
        "results": [
            {
                "position": position,
                "title": hit.title,
                "url": hit.url,
                "description": hit.description,
                "text": texts.get(hit.url, ""),
                "engine": engine,
            }
            for position, hit in enumerate(hits, start=1)
        ],
    }


async def thread_search(query: Query, settings: Settings, kept: Searches | None, *, fresh: bool = False) -> Found:
    """What the thread has found not long ago, else the results of the first engine that answers, which are kept.

    Args:
        query: What to search for.
        settings: The engines, and for how long results are used again.
        kept: What the thread has found; `None` where nothing outlives the process.
        fresh: Whether to ask an engine in any case.

    Raises:
        ToolError: If no engine answers.
    """
    engines = engines_of(settings, os.environ)
    if kept is None:
        if fresh:
            _cache.forget(_cached_as(query, engines))
        return Found(*await search(query, engines, settings.allow_hosts, cache=_cache))
    key = _kept_as(query, engines)
    if not fresh and (known := await kept.find(key, settings.search_age_s)) is not None:
        found, age_s = known
        return Found(found["engine"], [Hit(**hit) for hit in found["hits"]], age_s)
    engine, hits = await search(query, engines, settings.allow_hosts, cache=Cache())
    if hits and settings.search_age_s:
        await kept.keep(key, {"engine": engine, "hits": [asdict(hit) for hit in hits]})
    return Found(engine, hits)


def _kept_as(query: Query, engines: Sequence[Engine]) -> str:
    """The digest by which a thread keeps what a search found."""
    asked = [asdict(query), [(engine.name, engine.own_host) for engine in engines]]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _cached_as(query: Query, engines: Sequence[Engine]) -> tuple[Any, ...]:
    return (query, *((engine.name, engine.own_host) for engine in engines))


async def search(
    query: Query,
    engines: Sequence[Engine],
    allow_hosts: tuple[str, ...],
    *,
    cache: Cache,
    resolver: Resolver = resolve,
    seconds: float = ENGINE_SECONDS,
) -> tuple[str, list[Hit]]:
    """Ask one engine after the other until one has results.

    Args:
        query: What to search for.
        engines: The engines, in order.
        allow_hosts: Hosts that may be reached although their address is not public.
        cache: Where results are kept.
        resolver: How host names are resolved.
        seconds: What each engine may take.

    Returns:
        The engine that answered and its results, none if no engine has any.

    Raises:
        ToolError: If every engine failed; it names each with its reason.
    """
    key = _cached_as(query, engines)
    if (known := cache.get(key)) is not None:
        return known
    failures: dict[str, str] = {}
    empty: str | None = None
    for engine in engines:
        own = () if engine.own_host is None else (engine.own_host,)
        downloader = Downloader((*allow_hosts, *own), resolver=resolver)
        try:
            async with asyncio.timeout(seconds):
                hits = _proper(await engine.search(query, downloader))[: query.count]
        except TimeoutError:
            failures[engine.name] = f"It did not answer within {seconds:g} s."
            continue
        except ToolError as error:
            failures[engine.name] = error.message
            continue
        except Exception as error:  # noqa: BLE001 - an engine may answer anything; the next one is asked, and all are told
            failures[engine.name] = f"{type(error).__name__}: {error}"
            continue
        finally:
            await downloader.aclose()
        if hits:
            cache.put(key, engine.name, hits)
            return engine.name, hits
        empty = empty or engine.name
    if empty is not None:
        return empty, []
    reasons = " ".join(f"{name}: {why}" for name, why in failures.items())
    raise ToolError(
        f"No search engine answered. {reasons}",
        hint="Configure another one: OPENMANUS_GRAPH_SEARXNG_URL, TAVILY_API_KEY or BRAVE_API_KEY.",
    )


def _proper(hits: list[Hit]) -> list[Hit]:
    """Results with addresses of the Web, each once."""
    found: dict[str, Hit] = {}
    for hit in hits:
        try:
            is_web = urlsplit(hit.url).scheme in ("http", "https")
        except ValueError:
            is_web = False
        if is_web:
            found.setdefault(hit.url, hit)
    return list(found.values())


async def _texts(hits: list[Hit], settings: Settings) -> dict[str, str]:
    """The pages as Markdown, by address; one that cannot be read says so."""
    urls = [hit.url for hit in hits]
    try:
        hosts = settings.allow_hosts
        fetched = await fetch(urls, hosts, timeout=PAGE_SECONDS, max_chars=PAGE_CHARACTERS, settings=settings)
    except ToolError as error:
        return dict.fromkeys(urls, f"[{error.message}]")
    pages = zip(urls, fetched["pages"], strict=True)
    return {url: page["markdown"] if page["error"] is None else f"[{page['error']}]" for url, page in pages}

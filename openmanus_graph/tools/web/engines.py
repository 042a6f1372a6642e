"""Search engines: one small class each; `web_search` asks them in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from openmanus_graph._version import __version__
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import ToolError
from openmanus_graph.loading.plugins import SEARCH_ENGINES, find_objects
from openmanus_graph.tools.web.charset import page_text
from openmanus_graph.tools.web.download import Download, Downloader
from openmanus_graph.tools.web.markdown import collapsed
from openmanus_graph.tools.web.markup import Element, parse


@dataclass(frozen=True)
class Query:
    """A search: words, number of results, language and country."""

    text: str
    """The words."""
    count: int = 5
    """How many results are wanted."""
    lang: str = "en"
    """Language of the results, two letters."""
    country: str | None = None
    """Country they are for, two letters; `None` means any."""


@dataclass(frozen=True)
class Hit:
    """One result of an engine."""

    title: str
    """The page's title."""
    url: str
    """Its address."""
    description: str
    """What the engine shows of it."""


@runtime_checkable
class Engine(Protocol):
    """A search engine: gives results, no results, or an error that says why it cannot search."""

    @property
    def name(self) -> str:
        """As in the setting `search_engines`."""
        ...

    @property
    def own_host(self) -> str | None:
        """The host and port that the user named for it, which may be any address; `None` for a public one."""
        ...

    async def search(self, query: Query, downloader: Downloader) -> list[Hit]:
        """Search.

        Raises:
            ToolError: If the engine does not answer, or refuses.
        """
        ...


class SearXNG:
    """A SearXNG server of one's own, with its JSON format switched on."""

    name = "searxng"

    def __init__(self, url: str) -> None:
        """Know where the server answers."""
        self._url = url.rstrip("/")
        self.own_host = urlsplit(self._url).netloc.rpartition("@")[2] or None

    async def search(self, query: Query, downloader: Downloader) -> list[Hit]:
        """Ask the server."""
        language = f"{query.lang}-{query.country.upper()}" if query.country else query.lang
        asked = {"q": query.text, "format": "json", "language": language}
        answer = await downloader.get(f"{self._url}/search?{urlencode(asked)}")
        return _hits(_listed(_json(answer), "results"), "title", "url", "content")


class Tavily:
    """Tavily's search, with a key."""

    name = "tavily"
    own_host = None

    def __init__(self, key: str, url: str = "https://api.tavily.com") -> None:
        """Keep the key for requests to `url` only."""
        self._key, self._url = key, url

    async def search(self, query: Query, downloader: Downloader) -> list[Hit]:
        """Ask Tavily."""
        content = json.dumps({"query": query.text, "max_results": query.count}).encode()
        fields = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        answer = await downloader.request("POST", f"{self._url}/search", lambda _: fields, content)
        return _hits(_listed(_json(answer), "results"), "title", "url", "content")


class Brave:
    """Brave's search, with a key."""

    name = "brave"
    own_host = None

    def __init__(self, key: str, url: str = "https://api.search.brave.com") -> None:
        """Keep the key for requests to `url` only."""
        self._key, self._url = key, url

    async def search(self, query: Query, downloader: Downloader) -> list[Hit]:
        """Ask Brave."""
        asked = {"q": query.text, "count": str(query.count), "search_lang": query.lang, "text_decorations": "false"}
        if query.country:
            asked["country"] = query.country.upper()
        host = urlsplit(self._url).hostname
        answer = await downloader.request(
            "GET",
            f"{self._url}/res/v1/web/search?{urlencode(asked)}",
            lambda hop: (
                {"accept": "application/json"} | ({"x-subscription-token": self._key} if hop.host == host else {})
            ),
        )
        return _hits(_listed(_json(answer).get("web"), "results"), "title", "url", "description")


class DuckDuckGo:
    """DuckDuckGo's page without scripts, which needs no key."""

    name = "duckduckgo"
    own_host = None

    def __init__(self, url: str = "https://html.duckduckgo.com") -> None:
        """Know where the page is."""
        self._url = url

    async def search(self, query: Query, downloader: Downloader) -> list[Hit]:
        """Read the page of results."""
        asked = {"q": query.text}
        if query.country:
            asked["kl"] = f"{query.country.lower()}-{query.lang.lower()}"
        agent = f"Mozilla/5.0 (compatible; openmanus-graph/{__version__})"
        answer = await downloader.get(
            f"{self._url}/html/?{urlencode(asked)}", {"user-agent": agent, "accept-language": f"{query.lang},*;q=0.5"}
        )
        _check(answer)
        page = parse(page_text(answer.body, answer.charset))
        hits: list[Hit] = []
        for element in page.elements():
            if _has_class(element, "result__a"):
                url = _target(urljoin(answer.url, element.attributes.get("href", "")))
                hits.append(Hit(collapsed(element.text()), url, ""))
            elif _has_class(element, "result__snippet") and hits and not hits[-1].description:
                hits[-1] = Hit(hits[-1].title, hits[-1].url, collapsed(element.text()))
        if not hits and (answer.status == 202 or any(_has_class(block, "anomaly-modal") for block in page.elements())):
            raise ToolError("It asks whether a person is searching.")
        if not hits and not any(_has_class(element, "no-results") for element in page.elements()):
            raise ToolError("Its page has no results that can be read.")
        return [hit for hit in hits if not _is_advertisement(hit.url)]


def _searxng(settings: Settings, environment: Mapping[str, str]) -> Engine | None:
    del environment
    return SearXNG(settings.searxng_url) if settings.searxng_url else None


def _tavily(settings: Settings, environment: Mapping[str, str]) -> Engine | None:
    del settings
    key = _key("TAVILY_API_KEY", environment)
    return Tavily(key) if key else None


def _brave(settings: Settings, environment: Mapping[str, str]) -> Engine | None:
    del settings
    key = _key("BRAVE_API_KEY", environment)
    return Brave(key) if key else None


def _duckduckgo(settings: Settings, environment: Mapping[str, str]) -> Engine | None:
    del settings, environment
    return DuckDuckGo()


Maker = Callable[[Settings, Mapping[str, str]], Engine | None]

ENGINES: Mapping[str, tuple[str, Maker]] = {
    "searxng": ("OPENMANUS_GRAPH_SEARXNG_URL", _searxng),
    "tavily": ("TAVILY_API_KEY", _tavily),
    "brave": ("BRAVE_API_KEY", _brave),
    "duckduckgo": ("", _duckduckgo),
}
"""By name: the variable that an engine needs, and how it is made, `None` where that is not set."""
LAST = "duckduckgo"
"""The engine that needs nothing: where the settings name none, engines of plug-ins are asked before it."""


def engines_of(settings: Settings, environment: Mapping[str, str]) -> list[Engine]:
    """The engines to try, in order: those of the settings, or every one that is configured.

    An engine of a plug-in takes the place of a built-in one of the same name.

    Raises:
        ToolError: If the settings name an engine that there is not, or one that is not configured.
    """
    plugged = find_objects(SEARCH_ENGINES, Engine)
    known = list(dict.fromkeys([*(name for name in ENGINES if name != LAST), *plugged, LAST]))
    found: list[Engine] = []
    for name in settings.search_engines or known:
        if name not in known:
            raise ToolError(f"There is no search engine {name!r}.", hint=f"The engines are {', '.join(known)}.")
        if name in plugged:
            found.append(plugged[name])
            continue
        variable, make = ENGINES[name]
        engine = make(settings, environment)
        if engine is not None:
            found.append(engine)
        elif settings.search_engines:
            raise ToolError(f"The search engine {name!r} is not configured.", hint=f"Set {variable}.")
    return found


def _key(variable: str, environment: Mapping[str, str]) -> str | None:
    """The key in a variable; `None` where it is not set."""
    key = environment.get(variable, "").strip()
    # A header field could not hold any other, and the error that says so would show it.
    if not all("!" <= character <= "~" for character in key):
        raise ToolError(f"The variable {variable!r} holds other than visible characters.")
    return key or None


def _check(answer: Download) -> None:
    if answer.status >= 300:
        raise ToolError(f"It answered {answer.status} {answer.reason}.")


def _json(answer: Download) -> dict[str, Any]:
    _check(answer)
    try:
        found = json.loads(answer.body)
    except ValueError as error:
        raise ToolError(f"Its answer is not JSON but {answer.content_type or 'nothing'!r}.") from error
    if not isinstance(found, dict):
        raise ToolError("Its answer is not a JSON object.")
    return cast("dict[str, Any]", found)


def _listed(found: Any, key: str) -> list[Any]:
    inside = cast("dict[str, Any]", found).get(key) if isinstance(found, dict) else None
    return cast("list[Any]", inside) if isinstance(inside, list) else []


def _hits(found: list[Any], title: str, url: str, description: str) -> list[Hit]:
    hits: list[Hit] = []
    for entry in found:
        if isinstance(entry, dict):
            fields = cast("dict[str, Any]", entry)
            if isinstance(fields.get(url), str):
                words = [collapsed(str(fields.get(key) or "")) for key in (title, description)]
                hits.append(Hit(words[0], fields[url], words[1]))
    return hits


def _has_class(element: Element, name: str) -> bool:
    return name in element.attributes.get("class", "").split()


def _target(url: str) -> str:
    """The address of a result: the page links to it through one of its own."""
    inside = parse_qs(urlsplit(url).query).get("uddg")
    return inside[0] if inside else url


def _is_advertisement(url: str) -> bool:
    parts = urlsplit(url)
    return (parts.hostname or "").endswith("duckduckgo.com") and parts.path.startswith("/y.js")

"""Web_search: engines in order, each on a server that stands in for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.tools import web_search as module
from openmanus_graph.tools.web.engines import Brave, DuckDuckGo, Engine, Hit, Query, SearXNG, Tavily, engines_of
from openmanus_graph.tools.web_search import Cache, search, web_search

from .conftest import Service

LOOPBACK = ("127.0.0.1",)
FOUND = [{"title": "One", "url": "https://one.example/", "content": "First  text"}]
DUCK = """
<div class="result"><a class="result__a" href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fone.example%2Fa%3Fb%3D1&rut=x">
<b>One</b> page</a><a class="result__snippet" href="#">First <b>text</b></a></div>
<div class="result"><a class="result__a" href="https://duckduckgo.com/y.js?ad_domain=x">Ad</a></div>
<div class="result"><a class="result__a" href="https://two.example/">Two</a></div>
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_cache", Cache())
    for name in ("TAVILY_API_KEY", "BRAVE_API_KEY"):
        monkeypatch.delenv(name, raising=False)


async def ask(*engines: Engine, cache: Cache | None = None, text: str = "a b", **more: Any) -> tuple[str, list[Hit]]:
    return await search(Query(text, **more), engines, LOOPBACK, cache=cache or Cache(), seconds=1)


class TestEngines:
    async def test_searxng(self, service: Service) -> None:
        service.gives("/base/search", json.dumps({"results": FOUND}))

        found = await ask(SearXNG(f"{service.url}/base/"), lang="de", country="at")

        assert found == ("searxng", [Hit("One", "https://one.example/", "First text")])
        assert service.asked[0].path == "/base/search?q=a+b&format=json&language=de-AT"

    async def test_tavily(self, service: Service) -> None:
        service.gives("/search", json.dumps({"results": FOUND}))

        found = await ask(Tavily("key", service.url), count=3)

        assert found[1] == [Hit("One", "https://one.example/", "First text")]
        assert service.asked[0].headers["authorization"] == "Bearer key"
        assert json.loads(service.asked[0].body) == {"query": "a b", "max_results": 3}

    async def test_brave(self, service: Service) -> None:
        results = [{"title": "One", "url": "https://one.example/", "description": "First"}]
        service.gives("/res/v1/web/search", json.dumps({"web": {"results": results}}))

        found = await ask(Brave("key", service.url))

        assert found[1] == [Hit("One", "https://one.example/", "First")]
        assert service.asked[0].headers["x-subscription-token"] == "key"

    async def test_duckduckgo(self, service: Service) -> None:
        service.gives("/html/", DUCK, kind="text/html")

        found = await ask(DuckDuckGo(service.url))

        assert found[1] == [
            Hit("One page", "https://one.example/a?b=1", "First text"),
            Hit("Two", "https://two.example/", ""),
        ]

    @pytest.mark.parametrize(
        ("page", "status", "said"),
        [
            ("<form class='anomaly-modal'>", 202, "whether a person"),
            ("<p>Something new", 200, "no results that can be read"),
            ("", 403, "403"),
        ],
    )
    async def test_a_page_that_is_no_result_is_a_failure(
        self, service: Service, page: str, status: int, said: str
    ) -> None:
        service.gives("/html/", page, status=status, kind="text/html")

        with pytest.raises(ToolError, match=said):
            await ask(DuckDuckGo(service.url))


class TestOrder:
    @pytest.mark.parametrize(
        "given",
        [
            {"status": 500},
            {"status": 429},
            {"body": "<html>", "kind": "text/html"},
            {"body": "[1]"},
            {"body": '{"results": [{"title": "no address"}]}'},
            {"body": '{"results": "none"}'},
            {"body": '{"results": [{"url": "javascript:alert(1)"}, {"url": "http://[broken"}]}'},
            {"wait_s": 5},
            {"broken": True},
        ],
    )
    async def test_an_engine_that_fails_reaches_the_next_one(
        self, service: Service, elsewhere: Service, given: dict[str, Any]
    ) -> None:
        service.gives("/search", **given)
        elsewhere.gives("/html/", DUCK, kind="text/html")

        engine, hits = await ask(SearXNG(service.url), DuckDuckGo(elsewhere.url))

        assert (engine, len(hits)) == ("duckduckgo", 2)

    async def test_an_engine_with_a_bug_reaches_the_next_one(self, service: Service) -> None:
        class Odd:
            name = "odd"
            own_host = None

            async def search(self, query: Query, downloader: Any) -> list[Hit]:
                raise KeyError(query.text)

        service.gives("/html/", DUCK, kind="text/html")

        assert (await ask(Odd(), DuckDuckGo(service.url)))[0] == "duckduckgo"

    async def test_when_all_fail_all_are_named(self, service: Service) -> None:
        service.gives("/search", status=500)
        service.gives("/html/", status=403)

        with pytest.raises(ToolError) as caught:
            await ask(SearXNG(service.url), DuckDuckGo(service.url))

        assert "searxng: It answered 500" in caught.value.message
        assert "duckduckgo: It answered 403" in caught.value.message

    async def test_nothing_found_is_an_answer(self, service: Service) -> None:
        service.gives("/search", '{"results": []}')
        service.gives("/html/", "<p class='no-results'>", kind="text/html")

        assert await ask(SearXNG(service.url), DuckDuckGo(service.url)) == ("searxng", [])

    def test_the_settings_choose(self) -> None:
        def names(environment: dict[str, str], **settings: Any) -> list[str]:
            return [engine.name for engine in engines_of(Settings(**settings), environment)]

        keys = {"TAVILY_API_KEY": "t", "BRAVE_API_KEY": "b"}
        assert names({}) == ["duckduckgo"]
        assert names(keys, searxng_url="http://s") == ["searxng", "tavily", "brave", "duckduckgo"]
        assert names(keys, search_engines=("brave", "duckduckgo")) == ["brave", "duckduckgo"]
        with pytest.raises(ToolError, match="no search engine 'google'"):
            names(keys, search_engines=("google",))
        with pytest.raises(ToolError, match="'tavily' is not configured"):
            names({"TAVILY_API_KEY": " "}, search_engines=("tavily",))
        with pytest.raises(ToolError, match="TAVILY_API_KEY") as caught:
            names({"TAVILY_API_KEY": "two words"})
        assert "two words" not in str(caught.value)


class TestCache:
    async def test_the_same_search_is_asked_once(self, service: Service) -> None:
        service.gives("/search", json.dumps({"results": FOUND}))
        cache, engine = Cache(), SearXNG(service.url)

        assert await ask(engine, cache=cache) == await ask(engine, cache=cache)
        await ask(engine, cache=cache, text="other")

        assert len(service.asked) == 2

    async def test_it_is_forgotten_after_a_while(self, service: Service) -> None:
        service.gives("/search", json.dumps({"results": FOUND}))
        cache = Cache(seconds=0)

        await ask(SearXNG(service.url), cache=cache)
        await ask(SearXNG(service.url), cache=cache)

        assert len(service.asked) == 2

    def test_it_does_not_grow(self) -> None:
        cache = Cache()
        for number in range(module.MAX_CACHED + 1):
            cache.put((number,), "x", [])

        assert cache.get((0,)) is None
        assert cache.get((module.MAX_CACHED,)) == ("x", [])


class TestTool:
    async def call(self, context: ToolContext, allow: tuple[str, ...], **args: Any) -> list[dict[str, Any]]:
        settings = Settings(allow_hosts=allow, searxng_url=args.pop("searxng_url"), search_engines=("searxng",))
        with using_tool_context(replace(context, settings=settings)):
            return (await web_search.ainvoke(args))["results"]

    async def test_results_with_their_pages(self, context: ToolContext, service: Service) -> None:
        page = service.gives("/page", "<title>P</title><p>All of it.", kind="text/html")
        gone = service.gives("/gone", status=404)
        found = [{"title": "P", "url": page, "content": "C"}, {"title": "G", "url": gone, "content": "D"}]
        service.gives("/search", json.dumps({"results": found}))

        results = await self.call(context, LOOPBACK, searxng_url=service.url, query="q", fetch_content=True)

        assert results[0] == {
            "position": 1,
            "title": "P",
            "url": page,
            "description": "C",
            "text": "All of it.",
            "engine": "searxng",
        }
        assert "404" in results[1]["text"]

    async def test_only_as_many_as_asked_for(self, context: ToolContext, service: Service) -> None:
        many = [{"title": str(n), "url": f"https://x.example/{n % 4}", "content": ""} for n in range(9)]
        service.gives("/search", json.dumps({"results": many}))

        results = await self.call(context, (), searxng_url=service.url, query="q", num_results=3)

        assert [result["url"][-1] for result in results] == ["0", "1", "2"]

    async def test_results_do_not_lead_to_inner_addresses(
        self, context: ToolContext, service: Service, elsewhere: Service
    ) -> None:
        inner = elsewhere.gives("/secret", "secret", kind="text/plain")
        service.gives("/search", json.dumps({"results": [{"title": "S", "url": inner}]}))

        results = await self.call(context, (), searxng_url=service.url, query="q", fetch_content=True)

        assert "may not reach" in results[0]["text"]
        assert elsewhere.asked == []

    async def test_the_server_named_by_the_user_may_not_lead_elsewhere_inside(
        self, context: ToolContext, service: Service, elsewhere: Service
    ) -> None:
        service.gives("/search", status=302, headers=[("Location", elsewhere.gives("/search", "{}"))])

        with pytest.raises(ToolError, match="may not reach"):
            await self.call(context, (), searxng_url=service.url, query="q")
        assert elsewhere.asked == []

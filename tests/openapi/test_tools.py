"""Tools: operations as nodes of a plan, with policy, ledger, credentials, paging, and the commands."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_plan_graph, list_effects
from openmanus_graph.config.sections import CredentialSettings, OpenApiSettings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import PlanError, ToolArgumentsError, ToolError
from openmanus_graph.plan import Plan
from openmanus_graph.plans.arguments import check_call
from openmanus_graph.policy import Policy
from openmanus_graph.questions import answers_for
from openmanus_graph.tools.openapi.service import Service as Api
from openmanus_graph.tools.openapi.tools import MOST_TOOLS, openapi_tools, tools_of
from openmanus_graph.tools.rebuild import available_tools, rebuild_tools, tool_references
from openmanus_graph.tools.spec import effect_of, schema_of, spec_of
from tests.bytes_in_files import files_holding
from tests.cli.conftest import MakeProgram, program_in  # noqa: F401 - a fixture
from tests.interpreter import Interpreter, kill
from tests.openapi.conftest import Document, Make, Service, described, parameter
from tests.openapi.test_requests import body

WORKER = Path(__file__).with_name("worker.py")
SHOP = described(
    {
        "GET /orders": {
            "operationId": "listOrders",
            "summary": "List the orders",
            "parameters": [
                parameter("page", schema={"type": "integer"}),
                parameter("per_page", schema={"type": "integer"}),
            ],
        },
        "GET /orders/{id}": {
            "operationId": "getOrder",
            "summary": "Get an order",
            "parameters": [parameter("id", "path", schema={"type": "string"})],
        },
        "POST /orders": {
            "summary": "Create an order",
            **body(
                "application/json",
                {
                    "type": "object",
                    "required": ["item"],
                    "properties": {"item": {"type": "string"}, "count": {"type": "integer"}},
                },
            ),
            "operationId": "createOrder",
        },
        "DELETE /orders/{id}": {"operationId": "deleteOrder", "parameters": [parameter("id", "path")]},
    }
)


def large() -> Document:
    """The shop with so many operations that they are called by one tool."""
    more = {f"GET /things{n}": {"operationId": f"getThing{n}", "tags": ["things"]} for n in range(MOST_TOOLS)}
    made = described(more)
    made["paths"] |= SHOP["paths"]
    return made


Run = Callable[..., Any]


@pytest.fixture
def given_settings(tmp_path: Path, service: Service) -> Callable[..., Settings]:
    def make(document: Document, *, credentials: Any = None, **stated: Any) -> Settings:
        (tmp_path / "api.json").write_text(json.dumps(document))
        fields = {"document": str(tmp_path / "api.json"), "server": service.url, **stated}
        return Settings.load(
            home=tmp_path / "home",
            allow_hosts=("127.0.0.1",),
            openapi={"shop": OpenApiSettings.model_validate(fields)},
            credentials=credentials or {},
        )

    return make


@pytest.fixture
def run(given_settings: Callable[..., Settings], saver: ThreadSaver, tmp_path: Path) -> Run:
    """Runs a plan with the tools of the service `shop`; the results."""

    async def execute(
        document: Document, *subtasks: dict[str, Any], policy: Any = "allow", thread: str = "t", **stated: Any
    ) -> Any:
        settings = given_settings(document, **stated)
        tools = await asyncio.to_thread(lambda: list(available_tools((), settings).values()))
        graph = build_plan_graph(tools, settings=settings, policy=policy).compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": thread, "workspace": str(tmp_path / "work")}}
        return (await graph.ainvoke({"plan": {"subtasks": list(subtasks)}}, config))["results"]

    return execute


def call(name: str, operation: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": f"shop_{operation}", "args": args}


def by_name(name: str, operation: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": "shop_call", "args": {"operation": operation, "arguments": args}}


# ---------------------------------------------------------------- in a plan


@pytest.mark.parametrize("how", [call, by_name])
async def test_operations_are_nodes_whose_output_can_be_referred_to(run: Run, service: Service, how: Any) -> None:
    service.gives("/orders", '{"id": "o 7", "state": "new"}')
    service.gives("/orders/o%207", '{"state": "sent"}')
    results = await run(
        SHOP if how is call else large(),
        how("make", "createOrder", item="chair", count=2),
        {**how("look", "getOrder", id="${make.json.id}"), "needs": ["make"]},
    )
    assert results["look"]["output"]["json"] == {"state": "sent"}
    assert results["make"]["output"]["status"] == 200
    created, read = service.asked
    assert json.loads(created.body) == {"item": "chair", "count": 2}
    assert ("idempotency-key" in created.headers, "idempotency-key" in read.headers) == (True, False)


WRONG = [
    ({"itm": "chair"}, "unknown argument 'itm'; did you mean 'item'?"),
    ({}, "'item'"),
    ({"item": 3}, "must be text, not 3"),
    ({"item": "x", "count": "many"}, "must be a whole number"),
]


@pytest.mark.parametrize(("args", "why"), WRONG)
@pytest.mark.parametrize("how", [call, by_name])
async def test_wrong_arguments_are_found_in_the_plan_and_nothing_is_sent(
    run: Run, service: Service, how: Any, args: dict[str, Any], why: str
) -> None:
    with pytest.raises(PlanError) as caught:
        await run(SHOP if how is call else large(), how("a", "createOrder", **args))
    assert why in str(caught.value)
    assert service.asked == []


async def test_an_unknown_operation_is_found_in_the_plan(run: Run, service: Service) -> None:
    with pytest.raises(PlanError, match=r"the unknown operation 'createorder'; did you mean 'createOrder'\?"):
        await run(large(), by_name("a", "createorder", item="x"))
    with pytest.raises(PlanError, match="find it with shop_search"):
        await run(large(), by_name("a", "zzz"))
    with pytest.raises(PlanError, match="unknown argument 'operations'"):
        await run(large(), {"id": "a", "tool": "shop_call", "args": {"operations": "getOrder"}})
    assert service.asked == []


def test_what_is_not_known_yet_is_no_mistake_in_a_plan(api: Make) -> None:
    tools = {tool.name: tool for tool in tools_of(api(large()))}
    plan = {
        "subtasks": [
            by_name("a", "getOrder", id="1"),
            {**by_name("b", "createOrder", item="x", count="${a.json.count}"), "needs": ["a"]},
            {"id": "c", "tool": "shop_call", "args": {"operation": "${a.text}"}, "needs": ["a"]},
            {
                "id": "d",
                "tool": "shop_call",
                "args": {"operation": "createOrder", "arguments": "${a.json}"},
                "needs": ["a"],
            },
        ]
    }
    Plan.parse(plan).check(tools, agents=())
    with pytest.raises(ToolArgumentsError, match="whole number"):
        check_call(tools["shop_call"], {"operation": "createOrder", "arguments": {"item": "x", "count": "${a}"}})


async def test_a_status_of_failure_is_a_failure(run: Run, service: Service) -> None:
    service.gives("/orders/1", '{"why": "gone"}', status=404)
    results = await run(SHOP, call("a", "getOrder", id="1"))
    assert results["a"]["status"] == "failed"
    assert "The server answered 404 Not Found." in results["a"]["error"]


def test_names_of_other_tools_are_not_taken(given_settings: Callable[..., Settings]) -> None:
    settings = given_settings(described({"GET /a": {"operationId": "search"}}))
    named = {"web": settings.openapi["shop"], "a": settings.openapi["shop"]}
    tools, problems = openapi_tools(settings.model_copy(update={"openapi": named}))
    assert problems == []
    assert "web_search" not in tools
    assert len(tools) == 2


def test_only_the_operations_that_are_wanted_are_taken(given_settings: Callable[..., Settings]) -> None:
    tools, problems = openapi_tools(given_settings(SHOP, operations=["get*", "dropOrder"]))
    assert list(tools) == ["shop_getOrder"]
    assert problems == ["The API 'shop': It has no operation 'dropOrder'."]


def test_a_service_that_cannot_be_used_costs_a_line_and_its_tools(given_settings: Callable[..., Settings]) -> None:
    settings = given_settings(SHOP)
    broken = OpenApiSettings(document="none.json")
    both = settings.model_copy(update={"openapi": {"broken": broken, **settings.openapi}})
    tools, (problem,) = openapi_tools(both)
    assert len(tools) == 4
    assert "'broken'" in problem


def test_without_a_service_nothing_of_it_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom openmanus_graph.tools.rebuild import available_tools\n"
        "available_tools(())\nprint([name for name in sys.modules if 'tools.openapi' in name])"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout.strip() == "[]"


async def test_a_thread_is_resumed_with_the_tools_of_its_services(
    given_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = given_settings(SHOP)
    tools = await asyncio.to_thread(lambda: available_tools((), settings))
    references = tool_references([tools["shop_getOrder"], tools["fetch_page"]])
    monkeypatch.setattr(Settings, "load", classmethod(lambda *_, **__: settings))
    found = await asyncio.to_thread(rebuild_tools, references, "t")
    assert [tool.name for tool in found] == ["shop_getOrder", "fetch_page"]


# ---------------------------------------------------------------- search


async def test_a_large_service_is_searched(api: Make, context: ToolContext) -> None:
    search, caller = tools_of(api(large()))
    assert (search.name, caller.name) == ("shop_search", "shop_call")
    assert "things" in search.description
    found = (await search.ainvoke({"query": "make a new order"}))["text"]
    first, *_ = found.splitlines()
    assert first == "createOrder  POST /orders: Create an order"
    assert '"required":["item"]' in found
    found = (await search.ainvoke({"query": "anything", "tag": "Things"}))["text"]
    assert "getThing0  GET /things0" in found
    assert "Order" not in found
    assert (await search.ainvoke({"query": "zzz"}))["text"].startswith("No operation fits")


def test_prompts_of_a_large_service_are_small(api: Make) -> None:
    tools = tools_of(api(large()))
    characters = sum(len(tool.name) + len(tool.description) + len(json.dumps(schema_of(tool))) for tool in tools)
    assert characters < 600 * 4


def test_a_schema_for_models_is_cut_and_the_whole_one_counts(api: Make) -> None:
    long = {
        "type": "string",
        "pattern": "^[a-z]+$",
        "description": "The <b>name</b> of it. " + "More. " * 50,
        "example": "x",
    }
    many = {f"field{n}": {**long, "description": f"Field {n} " + "x" * 70} for n in range(300)}
    schema = {"type": "object", "required": ["name"], "properties": {"name": long, **many}}
    (tool,) = tools_of(api(described({"POST /a": body("application/json", schema)})))
    shown = schema_of(tool)
    assert shown["properties"]["name"] == {"type": "string", "description": "The name of it"}
    assert shown["properties"]["field7"] == {"type": "string"}
    with pytest.raises(ToolArgumentsError, match="pattern"):
        check_call(tool, {"name": "UPPER"})


# ---------------------------------------------------------------- effects, policy, ledger


def test_effect_and_policy_are_the_operations(api: Make) -> None:
    caller = tools_of(api(large()))[1]
    rules = [
        {"tool": "shop_call", "args": {"operation": "delete*"}, "action": "deny"},
        {"tool": "shop_call", "args": {"operation": "createOrder"}, "action": "allow"},
    ]
    policy = Policy.load({"rules": rules}, Settings())
    for operation, effect, verdict in (
        ("getOrder", "read", "allow"),
        ("createOrder", "external", "allow"),
        ("deleteOrder", "external", "deny"),
        ("unknown", "external", "ask"),
        (["getOrder"], "external", "ask"),
    ):
        args = {"operation": operation, "arguments": {}}
        assert effect_of(caller, args) == effect
        assert policy.decide(caller, args).verdict == verdict

    small = {tool.name: tool for tool in tools_of(api(SHOP))}
    by_tool = Policy.load({"rules": [{"tool": "shop_delete*", "action": "deny"}]}, Settings())
    assert by_tool.decide(small["shop_deleteOrder"], {}).verdict == "deny"
    assert by_tool.decide(small["shop_getOrder"], {}).verdict == "allow"
    assert (spec_of(small["shop_getOrder"]).effect, spec_of(small["shop_createOrder"]).effect) == ("read", "external")


async def test_a_broken_answer_leaves_an_effect_open_and_it_is_not_made_again(
    run: Run, service: Service, saver: ThreadSaver
) -> None:
    service.gives("/orders", "{}", broken=True)
    results = await run(large(), {**by_name("a", "createOrder", item="x"), "retries": 3})
    assert len(service.asked) == 1
    assert "What the call did is unknown, so it is not repeated." in results["a"]["error"]
    assert [effect.status for effect in await list_effects(saver, "t")] == ["claimed"]


@pytest.mark.postgres
@pytest.mark.kill
@pytest.mark.parametrize("how", [call, by_name])
async def test_after_a_kill_in_a_call_a_person_is_asked_and_no_second_request_is_sent(
    given_settings: Callable[..., Settings],
    service: Service,
    saver: ThreadSaver,
    database: str,
    interpreter: Interpreter,
    tmp_path: Path,
    how: Any,
) -> None:
    settings = given_settings(SHOP if how is call else large())
    service.gives("/orders", "{}", wait_s=60)
    plan = {"subtasks": [how("a", "createOrder", item="x")]}
    stated = {"document": str(tmp_path / "api.json"), "server": service.url}
    environment = {
        **os.environ,
        "OPENMANUS_GRAPH_HOME": str(settings.home),
        "OPENMANUS_GRAPH_ALLOW_HOSTS": '["127.0.0.1"]',
        "OPENMANUS_GRAPH_OPENAPI": json.dumps({"shop": stated}),
    }
    worker = [interpreter.python(), str(WORKER), database, json.dumps(plan), str(tmp_path / "work")]
    with subprocess.Popen(worker, env=environment, cwd=Path(__file__).parents[2]) as process:
        deadline = time.monotonic() + 120
        while not service.asked:
            assert time.monotonic() < deadline
            assert process.poll() is None
            await asyncio.sleep(0.05)
        kill(process)
    service.ended.set()

    tools = await asyncio.to_thread(lambda: list(available_tools((), settings).values()))
    app = build_plan_graph(tools, settings=settings, policy="allow").compile(checkpointer=saver)
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "work")}}
    await app.ainvoke(None, config)
    (question,) = await app.questions("t")
    assert question["kind"] == "effect"
    out = await app.ainvoke(Command(resume=answers_for([question], ["happened"])), config)

    assert out["results"]["a"]["status"] == "completed"
    assert len(service.asked) == 1


# ---------------------------------------------------------------- credentials


@pytest.mark.parametrize(
    ("stated", "secret", "arrives"),
    [
        ({"header": "X-Key", "prefix": ""}, "k-123456", ("x-key", "k-123456")),
        ({}, "k-123456", ("authorization", "Bearer k-123456")),
        ({"in": "cookie", "name": "sid"}, "k-123456", ("cookie", "a=1; sid=k-123456")),
        ({"in": "query", "name": "key"}, "k-123456", ("path", "/orders/1?key=k-123456")),
        ({"prefix": "Basic "}, "ann:k-123456", ("authorization", "Basic YW5uOmstMTIzNDU2")),
    ],
)
async def test_a_credential_arrives_and_is_nowhere_else(
    run: Run,
    service: Service,
    saver: ThreadSaver,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stated: dict[str, str],
    secret: str,
    arrives: tuple[str, str],
) -> None:
    monkeypatch.setenv("SHOP_KEY", secret)
    host = service.url.removeprefix("http://")
    credential = CredentialSettings.model_validate({"env": "SHOP_KEY", "hosts": [host], **stated})
    document = described(
        {
            "GET /orders/{id}": {
                "operationId": "getOrder",
                "parameters": [parameter("id", "path"), parameter("a", "cookie")],
            }
        }
    )
    document["paths"]["/orders/{id}"]["get"]["security"] = [{"evil": []}]
    echo = json.dumps({"you sent": [secret, "k-123456", "YW5uOmstMTIzNDU2", "k%2D123456"]})
    service.gives("/orders/1", echo, headers=[("Location", f"/x?key={secret}")])

    results = await run(
        document, call("a", "getOrder", id="1", a="1"), credential="shop", credentials={"shop": credential}
    )

    asked = service.asked[0]
    assert {**asked.headers, "path": asked.path}[arrives[0]] == arrives[1]
    assert results["a"]["status"] == "completed"
    assert "k-123456" not in json.dumps(results)
    assert "[credential shop]" in json.dumps(results)
    assert files_holding(tmp_path / "home", "k-123456") == []


async def test_a_document_cannot_send_a_credential_elsewhere(
    run: Run, service: Service, elsewhere: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "k-123456")
    credential = CredentialSettings(env="SHOP_KEY", hosts=(service.url.removeprefix("http://"),))
    document = described({"GET /orders": {"operationId": "listOrders", "servers": [{"url": elsewhere.url}]}})
    results = await run(
        document, call("a", "listOrders"), server=None, credential="shop", credentials={"shop": credential}
    )
    assert "not for the host" in results["a"]["error"]
    assert elsewhere.asked == []


# ---------------------------------------------------------------- all pages


class Pages(Service):
    """Gives a list in pages, in one of the ways that services have."""

    kind = ""
    items = tuple({"id": f"i{number}"} for number in range(7))

    def answer(self, handler: Any) -> None:
        from urllib.parse import parse_qs, urlsplit

        query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        start, answer, link = self.page(query)
        self.gives("/list", json.dumps(answer), headers=[("Link", link)] if link else [])
        del start
        super().answer(handler)

    def page(self, query: dict[str, str]) -> tuple[int, Any, str]:
        """Where the page starts, the answer, and its link."""
        size = 3
        ids = [item["id"] for item in self.items]
        start = {
            "link": int(query.get("page", "1")) * size - size,
            "links": int(query.get("page", "1")) * size - size,
            "page": int(query.get("page", "1")) * size - size,
            "offset": int(query.get("offset", "0")),
            "frappe": int(query.get("limit_start", "0")),
            "token": int(query.get("page_token", "0")),
            "cursor": int(query.get("cursor", "0")),
            "stripe": ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0,
        }[self.kind]
        items, last = list(self.items[start : start + size]), start + size >= len(self.items)
        following = f"{self.url}/list?page={start // size + 2}"
        match self.kind:
            case "link":
                return start, items, "" if last else f'<{self.url}/list?page=1>; rel="first", <{following}>; rel="next"'
            case "links":
                return start, {"things": items, "links": {"pages": {} if last else {"next": following}}}, ""
            case "token":
                return start, {"items": items, **({} if last else {"next_page_token": str(start + size)})}, ""
            case "cursor":
                return start, {"data": items, "meta": {"next_cursor": None if last else start + size}}, ""
            case "stripe":
                return start, {"object": "list", "data": items, "has_more": not last}, ""
            case "frappe":
                return start, {"data": items}, ""
            case _:
                return start, {"results": items}, ""


PARAMETERS = {
    "link": "page",
    "links": "page",
    "page": "page",
    "offset": "offset",
    "frappe": "limit_start",
    "token": "page_token",
    "cursor": "cursor",
    "stripe": "starting_after",
}


@pytest.fixture
def pages() -> Any:
    made = Pages()
    yield made
    made.close()


def listing(name: str) -> Document:
    where = [parameter(name), parameter("limit_page_length" if name == "limit_start" else "per_page")]
    return described({"GET /list": {"operationId": "list", "parameters": where}})


@pytest.mark.parametrize("kind", PARAMETERS)
async def test_all_pages_are_followed(api: Make, pages: Pages, context: ToolContext, kind: str) -> None:
    pages.kind = kind
    made = api(listing(PARAMETERS[kind]), server=pages.url)
    output = await made.call(made.operations["list"], {}, context, all_pages=True)
    found = (
        output["json"]
        if isinstance(output["json"], list)
        else next(v for v in output["json"].values() if isinstance(v, list))
    )
    assert [item["id"] for item in found] == [item["id"] for item in pages.items]
    assert (output["complete"], output["error"]) == (True, None)
    # Where nothing says which page is the last, an empty one does.
    assert output["pages"] == (4 if kind in ("page", "offset", "frappe") else 3)
    one = await made.call(made.operations["list"], {}, context)
    assert "pages" not in one


async def test_pages_and_items_are_bounded(api: Make, pages: Pages, context: ToolContext) -> None:
    pages.kind = "link"
    for limits, count in (({"most_pages": 2}, 6), ({"most_items": 4}, 4)):
        made = api(listing("page"), server=pages.url, **limits)
        output = await made.call(made.operations["list"], {}, context, all_pages=True)
        assert (len(output["json"]), output["pages"], output["complete"]) == (count, 2, False)


async def test_a_next_page_elsewhere_is_not_asked_for(
    api: Make, service: Service, elsewhere: Service, context: ToolContext
) -> None:
    service.gives("/list", "[1]", headers=[("Link", f'<{elsewhere.url}/list>; rel="next"')])
    made = api(listing("page"))
    output = await made.call(made.operations["list"], {}, context, all_pages=True)
    assert output["json"] == [1]
    assert elsewhere.asked == []


async def test_a_list_without_end_ends(api: Make, service: Service, context: ToolContext) -> None:
    service.gives("/list", '{"data": [{"id": "a"}], "has_more": true}')
    made = api(listing("starting_after"))
    output = await made.call(made.operations["list"], {}, context, all_pages=True)
    assert output["pages"] == 2
    service.gives("/list", "[1]", headers=[("Link", '</list?x=1>; rel="next"')])
    made = api(listing("page"), most_pages=5)
    output = await made.call(made.operations["list"], {}, context, all_pages=True)
    assert output["pages"] <= 5


async def test_a_page_that_fails_is_told_with_what_came_before(
    api: Make, service: Service, context: ToolContext
) -> None:
    service.gives("/list", "[1, 2]", headers=[("Link", '</more>; rel="next"')])
    service.gives("/more", "", status=500)
    made = api(listing("page"))
    output = await made.call(made.operations["list"], {}, context, all_pages=True)
    assert output["error"] == "Page 2: The server answered 500 Internal Server Error."
    assert (output["json"], output["complete"]) == ([1, 2], False)


async def test_only_what_reads_has_pages(api: Make, service: Service, context: ToolContext) -> None:
    made = api(SHOP)
    with pytest.raises(ToolArgumentsError, match="has no pages"):
        await made.call(made.operations["createOrder"], {"item": "x"}, context, all_pages=True)
    assert service.asked == []


async def test_a_secret_in_the_link_of_a_next_page_is_sent_again(
    run: Run, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "k-123456")
    given = {"env": "SHOP_KEY", "in": "query", "name": "key", "hosts": [service.url.removeprefix("http://")]}
    service.gives("/list", "[1]", headers=[("Link", '</more?key=k-123456&page=2>; rel="next"')])
    service.gives("/more", "[2]")
    credential = CredentialSettings.model_validate(given)
    results = await run(
        listing("page"),
        call("a", "list", all_pages=True),
        credential="shop",
        credentials={"shop": credential},
    )
    assert results["a"]["output"]["json"] == [1, 2]
    assert service.asked[1].path == "/more?page=2&key=k-123456"


# ---------------------------------------------------------------- hostile services


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"body": "{broken"}, "completed"),
        ({"body": b"\xff\0", "kind": "application/octet-stream"}, "completed"),
        ({"body": "[" * 100_000}, "completed"),
        ({"body": "<html>", "kind": "application/json"}, "completed"),
        ({"body": '{"a": 1e999, "b": "\\ud800", "c": 99999999999999999999999}'}, "completed"),
        ({"body": "x" * 6_000_000}, "completed"),
        ({"body": "", "status": 204}, "completed"),
        ({"body": "", "status": 429}, "failed"),
        ({"body": "{}", "broken": True}, "failed"),
        ({"body": "", "wait_s": 30}, "failed"),
        ({"status": 302, "headers": [("Location", "http://10.0.0.1/")]}, "failed"),
        ({"status": 302, "headers": [("Location", "/orders")]}, "failed"),
    ],
)
async def test_a_hostile_service_costs_its_call(
    run: Run, service: Service, answer: dict[str, Any], status: str
) -> None:
    service.gives("/orders", **answer)
    results = await run(SHOP, call("a", "listOrders"), call("b", "getOrder", id="1"), timeout_s=3.0)
    assert results["a"]["status"] == status
    assert results["b"]["status"] == "failed", "it answers 404, and the run went on"


async def test_a_tool_outside_of_a_run_says_so(api: Make) -> None:
    tool = tools_of(api(SHOP))[0]
    with pytest.raises(ToolError, match="only inside a run"):
        await tool.ainvoke({})


# ---------------------------------------------------------------- at the terminal


def test_the_commands(program_in: MakeProgram, tmp_path: Path, service: Service) -> None:  # noqa: F811
    (tmp_path / "api.json").write_text(json.dumps(large()))
    service.gives("/orders/1", '{"state": "new"}')
    service.gives("/orders", "", status=422)
    table = {
        "shop": {"document": str(tmp_path / "api.json"), "server": service.url},
        "gone": {"document": "none.json"},
        "off": {"document": "none.json", "disabled": True},
    }
    program = program_in(OPENMANUS_GRAPH_OPENAPI=json.dumps(table), OPENMANUS_GRAPH_ALLOW_HOSTS='["127.0.0.1"]')

    out, _ = program("openapi", "check", code=1)
    assert "shop (Test): 29 operations\n" in out
    assert "gone: cannot be used\n" in out
    assert "off" not in out
    out, _ = program("openapi", "list", "shop", "--json")
    listed = json.loads(out)["shop"]
    assert {one["name"] for one in listed["operations"]} >= {"createOrder", "getThing3"}
    out, _ = program("openapi", "list", "shop")
    assert "createOrder" in out
    out, _ = program("openapi", "search", "shop", "make", "an", "order")
    assert out.startswith("createOrder  POST /orders")
    out, _ = program("openapi", "search", "shop", "order", "--json", "--tag", "things")
    assert json.loads(out)[0]["name"].startswith("getThing")
    out, _ = program("openapi", "call", "shop", "getOrder", '{"id": "1"}')
    assert json.loads(out) == {"state": "new"}
    out, said = program("openapi", "call", "shop", "createOrder", '{"item": "x"}', "--json", code=1)
    assert json.loads(out)["status"] == 422
    assert "answered 422" in said
    for words, said, code in (
        (("shop", "getOrde"), "Did you mean 'getOrder'?", 2),
        (("shp", "getOrder"), "Did you mean 'shop'?", 2),
        (("shop", "getOrder", "{"), "are no JSON", 2),
        (("shop", "getOrder", "[]"), "are no object", 2),
        (("shop", "getOrder", '{"idd": 1}'), "Did you mean 'id'?", 1),
        (("gone", "getOrder"), "cannot be read", 1),
    ):
        _, err = program("openapi", "call", *words, code=code)
        assert said.lower() in err.lower()


def test_without_a_service_the_commands_say_so(program_in: MakeProgram) -> None:  # noqa: F811
    out, _ = program_in()("openapi", "list")
    assert "No web service is set." in out


def test_a_service_can_be_made_from_settings_alone(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    erp = Api.of("erp", OpenApiSettings(document="frappe", server="https://erp.example.com"), settings)
    names = {tool.name for tool in tools_of(erp)}
    assert {"erp_list_documents", "erp_create_document", "erp_submit_document"} <= names

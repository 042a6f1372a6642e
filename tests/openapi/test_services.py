"""Services: credentials, pages, hostile answers, and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.config.sections import CredentialSettings, OpenApiSettings
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.tools.openapi.service import Service as Api
from openmanus_graph.tools.openapi.tools import tools_of
from tests.bytes_in_files import files_holding
from tests.cli.conftest import MakeProgram, program_in  # noqa: F401 - a fixture
from tests.openapi.conftest import SHOP, Document, Make, Run, Service, call, described, large, parameter

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


async def test_documents_of_frappe_are_listed_made_and_submitted(
    settings: Settings, service: Service, context: ToolContext
) -> None:
    erp = Api.of("erp", OpenApiSettings(document="frappe", server=service.url), settings)
    names = {tool.name for tool in tools_of(erp)}
    assert {"erp_list_documents", "erp_create_document", "erp_submit_document"} <= names
    calls: dict[str, dict[str, Any]] = {
        "list_documents": {"doctype": "Sales Invoice", "fields": ["name"], "filters": [["status", "=", "Unpaid"]]},
        "create_document": {"doctype": "Purchase Order", "body": {"supplier": "A & B", "items": [{"qty": 2}]}},
        "submit_document": {"doc": {"doctype": "Purchase Order", "name": "PO-1"}},
        "describe_doctype": {"doctype": "Item"},
    }
    for name, arguments in calls.items():
        assert list(erp.problems_of(erp.operations[name], arguments)) == []
        await erp.call(erp.operations[name], arguments, context)

    listed, made, submitted, described_one = service.asked
    path, _, query = listed.path.partition("?")
    assert path == "/api/resource/Sales%20Invoice"
    assert dict(parse_qsl(query)) == {"fields": '["name"]', "filters": '[["status","=","Unpaid"]]'}
    assert (made.path, json.loads(made.body)) == ("/api/resource/Purchase%20Order", calls["create_document"]["body"])
    assert json.loads(submitted.body) == calls["submit_document"]
    assert described_one.path == "/api/method/frappe.desk.form.load.getdoctype?doctype=Item"

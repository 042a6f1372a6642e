"""Requests: what a server gets of the arguments of a call, in every style and kind of body, and nothing else."""

from __future__ import annotations

import json
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph.context import ToolContext
from openmanus_graph.errors import OutsideWorkspaceError, ToolArgumentsError, ToolError
from openmanus_graph.tools.openapi.call import request_of
from openmanus_graph.tools.openapi.operation import Operation, Parameter
from tests.openapi.conftest import Make, Service, body, described, parameter

LIST, MAP = ["blue", "b/k", "a,b"], {"R": 100, "a b": "x&y"}


async def path_sent(api: Make, service: Service, context: ToolContext, where: Any, value: Any) -> str:
    """The path that a server was asked for with one parameter."""
    path = "/things/{v}" if where["in"] == "path" else "/things"
    made = api(described({f"GET {path}": {"operationId": "get", "parameters": [where]}}))
    await made.call(made.operations["get"], {"v": value}, context)
    return service.asked[-1].path


@pytest.mark.parametrize(
    ("style", "explode", "value", "sent"),
    [
        ("simple", False, "a b/é?#", "a%20b%2F%C3%A9%3F%23"),
        ("simple", False, 5, "5"),
        ("simple", False, True, "true"),
        ("simple", False, LIST, "blue,b%2Fk,a%2Cb"),
        ("simple", False, MAP, "R,100,a%20b,x%26y"),
        ("simple", True, MAP, "R=100,a%20b=x%26y"),
        ("label", False, "x", ".x"),
        ("label", False, LIST, ".blue,b%2Fk,a%2Cb"),
        ("label", True, LIST, ".blue.b%2Fk.a%2Cb"),
        ("label", False, MAP, ".R,100,a%20b,x%26y"),
        ("label", True, MAP, ".R=100.a%20b=x%26y"),
        ("matrix", False, "x", ";v=x"),
        ("matrix", False, LIST, ";v=blue,b%2Fk,a%2Cb"),
        ("matrix", True, LIST, ";v=blue;v=b%2Fk;v=a%2Cb"),
        ("matrix", False, MAP, ";v=R,100,a%20b,x%26y"),
        ("matrix", True, MAP, ";R=100;a%20b=x%26y"),
    ],
)
async def test_styles_of_paths(
    api: Make, service: Service, context: ToolContext, style: str, explode: bool, value: Any, sent: str
) -> None:
    where = parameter("v", "path", style=style, explode=explode)
    assert await path_sent(api, service, context, where, value) == f"/things/{sent}"


@pytest.mark.parametrize(
    ("style", "explode", "value", "sent"),
    [
        ("form", True, "a b&c=d+e", "v=a%20b%26c%3Dd%2Be"),
        ("form", True, LIST, "v=blue&v=b%2Fk&v=a%2Cb"),
        ("form", False, LIST, "v=blue,b%2Fk,a%2Cb"),
        ("form", True, MAP, "R=100&a%20b=x%26y"),
        ("form", False, MAP, "v=R,100,a%20b,x%26y"),
        ("form", True, None, ""),
        ("form", True, [], ""),
        ("spaceDelimited", False, ["a", "b"], "v=a%20b"),
        ("pipeDelimited", False, ["a", "b"], "v=a%7Cb"),
        ("deepObject", True, {"a": {"b": 1}, "c": ["x", "y"]}, "v[a][b]=1&v[c][0]=x&v[c][1]=y"),
        ("deepObject", True, {"a]&b[": "x"}, "v[a%5D%26b%5B]=x"),
    ],
)
async def test_styles_of_queries(
    api: Make, service: Service, context: ToolContext, style: str, explode: bool, value: Any, sent: str
) -> None:
    where = parameter("v", style=style, explode=explode)
    path = await path_sent(api, service, context, where, value)
    assert path == (f"/things?{sent}" if sent else "/things")


async def test_reserved_characters_stay_where_that_is_said(api: Make, service: Service, context: ToolContext) -> None:
    where = parameter("v", allowReserved=True)
    assert await path_sent(api, service, context, where, "a:/b?c&d=e#f+g") == "/things?v=a:/b?c%26d=e%23f%2Bg"


async def test_values_that_are_json(api: Make, service: Service, context: ToolContext) -> None:
    where = {"name": "v", "in": "query", "content": {"application/json": {"schema": {"type": "array"}}}}
    assert unquote(await path_sent(api, service, context, where, [["a", "=", 1]])) == '/things?v=[["a","=",1]]'


@pytest.mark.parametrize(
    ("explode", "value", "sent"),
    [(False, LIST, "blue,b/k,a,b"), (False, {"a": 1}, "a,1"), (True, {"a": 1}, "a=1"), (False, 3, "3")],
)
async def test_styles_of_header_fields(
    api: Make, service: Service, context: ToolContext, explode: bool, value: Any, sent: str
) -> None:
    where = parameter("X-V", "header", explode=explode)
    made = api(described({"GET /things": {"operationId": "get", "parameters": [where]}}))
    await made.call(made.operations["get"], {"X-V": value}, context)
    assert service.asked[0].headers["x-v"] == sent


async def test_cookies(api: Make, service: Service, context: ToolContext) -> None:
    both = [parameter("a", "cookie"), parameter("b", "cookie")]
    made = api(described({"GET /things": {"operationId": "get", "parameters": both}}))
    await made.call(made.operations["get"], {"a": "x y", "b": ["1", "2"]}, context)
    assert service.asked[0].headers["cookie"] == "a=x%20y; b=1; b=2"


@pytest.mark.parametrize("value", ["..", ".", "", "../x", "x/../y", "..\\x", "..;a/b", "a\nb", "a\0b", [], [".."], {}])
async def test_no_value_leads_to_another_path(api: Make, service: Service, context: ToolContext, value: Any) -> None:
    made = api(described({"DELETE /things/{v}": {"operationId": "drop", "parameters": [parameter("v", "path")]}}))
    with pytest.raises(ToolArgumentsError):
        await made.call(made.operations["drop"], {"v": value}, context)
    assert service.asked == []


async def test_two_values_together_do_not_either(api: Make, service: Service, context: ToolContext) -> None:
    both = [parameter("a", "path"), parameter("b", "path")]
    made = api(described({"DELETE /things/{a}{b}": {"operationId": "drop", "parameters": both}}))
    with pytest.raises(ToolArgumentsError):
        await made.call(made.operations["drop"], {"a": ".", "b": "."}, context)
    assert service.asked == []


@pytest.mark.parametrize("name", ["X-V", "Host", "X-HTTP-Method-Override", "Authorization", "Content-Type"])
async def test_no_header_field_changes_the_request(
    api: Make, service: Service, context: ToolContext, name: str
) -> None:
    made = api(described({"GET /things": {"operationId": "get", "parameters": [parameter(name, "header")]}}))
    operation = made.operations["get"]
    assert (name in operation.schema["properties"]) is (name == "X-V")
    if name == "X-V":
        with pytest.raises(ToolArgumentsError):
            await made.call(operation, {"X-V": "a\r\nHost: b"}, context)
    assert service.asked == []


# ---------------------------------------------------------------- bodies


ORDER = {
    "type": "object",
    "required": ["item"],
    "properties": {
        "item": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "address": {"type": "object", "properties": {"city": {"type": "string"}}},
        "lines": {"type": "array", "items": {"type": "object"}},
        "id": {"type": "integer", "readOnly": True},
    },
}
GIVEN = {"item": "a&b", "tags": ["x", "y"], "address": {"city": "Ålesund"}, "lines": [{"n": 1}, {"n": 2}]}


async def sent_body(
    api: Make, service: Service, context: ToolContext, operation: Any, arguments: Any
) -> tuple[str, bytes]:
    """Media type and body that a server got."""
    made = api(described({"POST /things": operation}))
    problems = [one.text for one in made.problems_of(made.operations["make"], arguments)]
    assert problems == []
    await made.call(made.operations["make"], arguments, context)
    asked = service.asked[-1]
    assert asked.headers["idempotency-key"] == "key-of-the-call"
    return asked.headers["content-type"], asked.body


async def test_a_json_body(api: Make, service: Service, context: ToolContext) -> None:
    media, sent = await sent_body(api, service, context, body("application/json", ORDER), GIVEN)
    assert (media, json.loads(sent)) == ("application/json", GIVEN)


async def test_a_body_that_is_no_mapping_is_one_argument(api: Make, service: Service, context: ToolContext) -> None:
    operation = body("application/merge-patch+json", {"type": "array", "items": {"type": "integer"}})
    media, sent = await sent_body(api, service, context, operation, {"body": [1, 2]})
    assert (media, json.loads(sent)) == ("application/merge-patch+json", [1, 2])


async def test_json_is_taken_before_forms_and_forms_before_files(
    api: Make, service: Service, context: ToolContext
) -> None:
    order = ["text/xml", "multipart/form-data", "application/x-www-form-urlencoded", "application/json"]
    while order:
        content = {media: {"schema": {"type": "object", "properties": {"a": {"type": "string"}}}} for media in order}
        operation = {"operationId": "make", "requestBody": {"content": content}}
        arguments = {"body": "<a/>"} if len(order) == 1 else {"a": "x"}
        media, _ = await sent_body(api, service, context, operation, arguments)
        assert media.partition(";")[0] == order.pop()


async def test_a_form_has_names_in_brackets_for_what_is_inside(
    api: Make, service: Service, context: ToolContext
) -> None:
    media, sent = await sent_body(api, service, context, body("application/x-www-form-urlencoded", ORDER), GIVEN)
    assert media == "application/x-www-form-urlencoded"
    assert parse_qsl(sent.decode()) == [
        ("item", "a&b"),
        ("tags", "x"),
        ("tags", "y"),
        ("address[city]", "Ålesund"),
        ("lines[0][n]", "1"),
        ("lines[1][n]", "2"),
    ]


async def test_a_form_follows_what_is_said_of_its_parts(api: Make, service: Service, context: ToolContext) -> None:
    stated = {
        "tags": {"style": "deepObject", "explode": True},
        "address": {"contentType": "application/json"},
        "lines": {"style": "form", "explode": False},
    }
    operation = body("application/x-www-form-urlencoded", ORDER, encoding=stated)
    _, sent = await sent_body(api, service, context, operation, {**GIVEN, "lines": [1, 2]} | {"lines": [{"n": 1}]})
    assert parse_qsl(sent.decode()) == [
        ("item", "a&b"),
        ("tags[0]", "x"),
        ("tags[1]", "y"),
        ("address", '{"city":"Ålesund"}'),
        ("lines", '{"n":1}'),
    ]


async def test_files_of_the_workspace_are_parts(
    api: Make, service: Service, context: ToolContext, workspace: Path
) -> None:
    (workspace / 'a".txt').write_bytes(b"one")
    (workspace / "b.bin").write_bytes(b"\0\r\n--x")
    schema = {
        "type": "object",
        "properties": {
            "note": {"type": "string"},
            "meta": {"type": "object"},
            "first": {"type": "string", "format": "binary"},
            "more": {"type": "array", "items": {"type": "string", "format": "binary"}},
        },
    }
    arguments = {"note": "é", "meta": {"a": 1}, "first": 'a".txt', "more": ["b.bin", 'a".txt']}
    media, sent = await sent_body(api, service, context, body("multipart/form-data", schema), arguments)

    parts = parts_of(media, sent)
    assert [(name, file, content) for name, file, _, content in parts] == [
        ("note", None, "é".encode()),
        ("meta", None, b'{"a": 1}'),
        ("first", "a%22.txt", b"one"),
        ("more", "b.bin", b"\0\r\n--x"),
        ("more", "a%22.txt", b"one"),
    ]
    assert [kind for _, _, kind, _ in parts][1:3] == ["application/json", "text/plain"]


def parts_of(media: str, sent: bytes) -> list[tuple[str, str | None, str, bytes]]:
    """The parts of a form as Python's own parser of messages reads them."""
    whole = BytesParser().parsebytes(f"Content-Type: {media}\r\n\r\n".encode() + sent)
    found: list[tuple[str, str | None, str, bytes]] = []
    for part in whole.get_payload():
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = part.get_param("name", header="content-disposition")
        found.append((str(name), part.get_filename(), part.get_content_type(), content))
    return found


async def test_text_and_files_as_they_are(api: Make, service: Service, context: ToolContext, workspace: Path) -> None:
    (workspace / "a.png").write_bytes(b"\x89PNG")
    media, sent = await sent_body(api, service, context, body("text/xml", {"type": "string"}), {"body": "<é/>"})
    assert (media, sent.decode()) == ("text/xml; charset=utf-8", "<é/>")
    media, sent = await sent_body(api, service, context, body("image/png", {}), {"body": "a.png"})
    assert (media, sent) == ("image/png", b"\x89PNG")


@pytest.mark.parametrize(("path", "error"), [("../secret", OutsideWorkspaceError), ("nothing", ToolError)])
async def test_no_other_file_is_sent(
    api: Make, service: Service, context: ToolContext, workspace: Path, path: str, error: type[Exception]
) -> None:
    (workspace.parent / "secret").write_text("s")
    (workspace / "link").symlink_to(workspace.parent / "secret")
    made = api(described({"POST /things": body("application/octet-stream", {})}))
    for one in (path, "link"):
        with pytest.raises(error if one == path else OutsideWorkspaceError):
            await made.call(made.operations["make"], {"body": one}, context)
    assert service.asked == []


async def test_the_same_name_in_path_query_and_body(api: Make, service: Service, context: ToolContext) -> None:
    operation = {**body("application/json", {"type": "object", "properties": {"id": {"type": "string"}}})}
    operation["parameters"] = [parameter("id"), parameter("id", "path"), parameter("all_pages")]
    made = api(described({"POST /things/{id}": operation}))
    arguments = {"id": "p", "query_id": "q", "body_id": "b", "query_all_pages": "x"}
    assert set(made.operations["make"].schema["properties"]) == set(arguments)
    await made.call(made.operations["make"], arguments, context)
    asked = service.asked[0]
    assert (asked.path, json.loads(asked.body)) == ("/things/p?id=q&all_pages=x", {"id": "b"})


async def test_a_body_that_need_not_be_there(api: Make, service: Service, context: ToolContext) -> None:
    operation = body("application/json", ORDER)
    operation["requestBody"]["required"] = False
    made = api(described({"POST /things": operation}))
    make = made.operations["make"]
    assert [one.text for one in made.problems_of(make, {})] == []
    (problem,) = made.problems_of(make, {"tags": ["a"]})
    assert "must have the member 'item' together with 'tags'" in problem.text
    await made.call(make, {}, context)
    assert (service.asked[0].body, "content-type" in service.asked[0].headers) == (b"", False)


# ---------------------------------------------------------------- any value comes back

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)


def operation_with(where: str, style: str, *, explode: bool) -> Operation:
    path = "/things/{v}" if where == "path" else "/things"
    one = Parameter("v", "v", "path" if where == "path" else "query", style, explode)
    return Operation("get", "GET", path, "http://x", "", "", (), (one,), None, {"properties": {}})


def sent_by(operation: Operation, value: Any) -> str:
    return request_of(operation, {"v": value}, Path("/")).url.removeprefix("http://x/things")


@given(st.lists(TEXTS, min_size=1), st.sampled_from([("form", True), ("form", False), ("deepObject", True)]))
def test_a_list_in_a_query_comes_back(value: list[str], how: tuple[str, bool]) -> None:
    sent = sent_by(operation_with("query", how[0], explode=how[1]), value)
    query = urlsplit(f"http://x/things{sent}").query
    if how == ("form", False):
        assert [unquote(one) for one in query.removeprefix("v=").split(",")] == value
    else:
        names = ["v"] * len(value) if how[0] == "form" else [f"v[{number}]" for number in range(len(value))]
        pairs = [one.partition("=") for one in query.split("&")]
        assert [(unquote(name), unquote(item)) for name, _, item in pairs] == list(zip(names, value, strict=True))


@given(st.dictionaries(KEYS, TEXTS, min_size=1))
def test_a_mapping_in_a_query_comes_back(value: dict[str, str]) -> None:
    for style in ("form", "deepObject"):
        query = sent_by(operation_with("query", style, explode=True), value).removeprefix("?")
        pairs = [one.partition("=") for one in query.split("&")]
        names = [name if style == "form" else name.removeprefix("v[").removesuffix("]") for name, _, _ in pairs]
        found = {unquote(name): unquote(item) for name, (_, _, item) in zip(names, pairs, strict=True)}
        assert found == value


@given(TEXTS.filter(bool))
def test_a_text_in_a_path_comes_back_or_is_refused(value: str) -> None:
    try:
        sent = sent_by(operation_with("path", "simple", explode=False), value)
    except ToolArgumentsError:
        pieces = value.replace("\\", "/").split("/")
        assert any(ord(one) < 32 or ord(one) == 127 for one in value) or any(
            piece.partition(";")[0] in (".", "..") for piece in pieces
        )
        return
    assert unquote(sent) == f"/{value}"
    assert sent.count("/") == 1
    assert not set("?#") & set(sent)


@given(st.dictionaries(KEYS, st.recursive(TEXTS, lambda inner: st.dictionaries(KEYS, inner, min_size=1)), min_size=1))
def test_a_nested_mapping_comes_back(value: dict[str, Any]) -> None:
    query = sent_by(operation_with("query", "deepObject", explode=True), value).removeprefix("?")
    found: dict[str, Any] = {}
    for one in query.split("&"):
        name, _, item = one.partition("=")
        keys = [unquote(key) for key in name.removeprefix("v[").removesuffix("]").split("][")]
        inside = found
        for key in keys[:-1]:
            inside = inside.setdefault(key, {})
        inside[keys[-1]] = unquote(item)
    assert found == value

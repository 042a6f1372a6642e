"""Documents: what is read of them, where references lead, what broken and hostile ones cost, and the index."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph import Settings
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.errors import AddressRefusedError, ToolError
from openmanus_graph.plans.json_schema import validator_of
from openmanus_graph.tools.openapi.documents import SHIPPED
from openmanus_graph.tools.openapi.index import OLD_S, index_of
from openmanus_graph.tools.openapi.service import Service as Api
from openmanus_graph.tools.openapi.tools import name_of
from openmanus_graph.tools.web.markup import names
from tests.openapi.conftest import Document, Make, Service, body, described, parameter

GET = {"operationId": "get", "parameters": [parameter("q")]}


def schema_of(api: Api, operation: str = "make") -> dict[str, Any]:
    schema = api.schema_of(api.operations[operation])
    validator_of(schema)
    return schema


YAML = """
openapi: 3.0.3
info: {title: Shop, version: 1}
servers:
  - url: https://{place}.example.com/{version}/
    variables: {place: {default: eu}, version: {default: v2}}
paths:
  /orders/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string, format: uuid}}
    get:
      description: One order. With its lines.
      responses:
        200: {description: ok}
        on: {description: odd}
    summary: x
"""


def test_yaml_with_numbers_as_keys_a_server_with_variables_and_no_operation_id(api: Make) -> None:
    made = api(YAML, server=None)
    (operation,) = made.operations.values()
    assert (operation.name, operation.summary) == ("get_orders_by_id", "One order.")
    assert operation.server == "https://eu.example.com/v2"
    assert made.problems == []


@pytest.mark.parametrize(
    ("servers", "server"),
    [
        ([{"url": "/v1"}], None),
        ([{"url": "ftp://a"}, {"url": "https://b/c/"}], "https://b/c"),
        ([{"url": "https://user:pass@a/"}], None),
        ([{"url": "https://{region}.a/"}], None),
        ("https://a", None),
        (None, None),
    ],
)
def test_servers(api: Make, servers: Any, server: str | None) -> None:
    made = api(described({"GET /a": GET}, servers=servers), server=None)
    assert made.operations["get"].server == server


async def test_without_a_server_nothing_is_sent(api: Make, context: Any) -> None:
    made = api(described({"GET /a": GET}), server=None)
    with pytest.raises(ToolError, match="names no server"):
        await made.call(made.operations["get"], {}, context)


def test_the_servers_of_an_operation_come_first_and_those_of_the_settings_before_all(api: Make) -> None:
    document = described(
        {"GET /a": {**GET, "servers": [{"url": "https://own.example"}]}}, servers=[{"url": "https://a"}]
    )
    assert api(document, server=None).operations["get"].server == "https://own.example"
    with pytest.raises(ToolError, match="'server' of the API 'shop' cannot be 'nonsense'"):
        api(document, server="nonsense")


# ---------------------------------------------------------------- schemas


def test_what_is_nullable_in_3_0_may_be_null(api: Make) -> None:
    properties = {
        "text": {"type": "string", "nullable": True, "enum": ["a", "b"]},
        "ref": {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Other"}]},
        "low": {"type": "integer", "minimum": 3, "exclusiveMinimum": True},
    }
    components = {"schemas": {"Other": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    document = described({"POST /a": body("application/json", {"type": "object", "properties": properties})})
    made = api({**document, "openapi": "3.0.1", "components": components})
    fits = validator_of(schema_of(made)).is_valid
    assert fits({"text": None, "ref": None, "low": 4})
    assert fits({"text": "a", "ref": {"a": "x"}})
    assert not fits({"text": "c"})
    assert not fits({"ref": {"a": 3}})
    assert not fits({"low": 3})


TREE = {"type": "object", "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/components/schemas/Tree"}}}


def test_a_schema_that_holds_itself_stays_a_reference(api: Make) -> None:
    document = described(
        {
            "POST /a": body(
                "application/json", {"type": "object", "properties": {"tree": {"$ref": "#/components/schemas/Tree"}}}
            )
        },
        components={"schemas": {"Tree": TREE}},
    )
    schema = schema_of(api(document))
    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    fits = validator_of(schema).is_valid
    assert fits({"tree": {"value": 1, "next": {"value": 2, "next": {}}}})
    assert not fits({"tree": {"next": {"next": {"value": "x"}}}})


def test_one_of_two_alternatives_and_all_of_several_parts(api: Make) -> None:
    parts = {
        "Base": {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "string"}}},
        "Cat": {
            "allOf": [
                {"$ref": "#/components/schemas/Base"},
                {"type": "object", "properties": {"lives": {"type": "integer"}}},
            ]
        },
    }
    choice = {
        "type": "object",
        "properties": {"pet": {"oneOf": [{"type": "integer"}, {"$ref": "#/components/schemas/Cat"}]}},
    }
    document = described(
        {
            "POST /a": body("application/json", {"$ref": "#/components/schemas/Cat"}),
            "POST /b": {**body("application/json", choice), "operationId": "choose"},
        },
        components={"schemas": parts},
    )
    made = api(document)
    assert set(schema_of(made)["properties"]) == {"kind", "lives"}
    assert schema_of(made)["required"] == ["kind"]
    fits = validator_of(schema_of(made, "choose")).is_valid
    assert [fits({"pet": pet}) for pet in (3, {"kind": "x"}, {"lives": 1}, "x")] == [True, True, False, False]


UNSOUND = {
    "type": "object",
    "properties": {
        "a": {"type": "any", "minimum": "x", "required": True, "enum": [], "pattern": "(", "items": 3, "maxLength": -1},
        "b": {"type": "string", "pattern": "(a+)+$"},
        "f": {"type": "string", "pattern": "^[[a]$"},
        "c": 7,
        "d": {"$comment": "x", "x-y": {}, "format": 3, "multipleOf": 0, "allOf": []},
        "e": False,
    },
}


def test_an_unsound_keyword_is_left_out_and_the_rest_counts(api: Make) -> None:
    schema = schema_of(api(described({"POST /a": body("application/json", UNSOUND)})))
    assert schema["properties"]["a"] == {}
    assert schema["properties"]["b"] == schema["properties"]["f"] == {"type": "string"}
    began = time.monotonic()
    assert validator_of(schema).is_valid({"b": "a" * 40 + "!"})
    assert time.monotonic() - began < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = st.sampled_from(
    sorted(
        names(
            "type enum const items properties required additionalProperties allOf anyOf oneOf not minimum pattern "
            "format exclusiveMinimum minLength uniqueItems nullable default if then prefixItems multipleOf "
            "patternProperties"
        )
    )
)
SCHEMAS = st.recursive(JSON, lambda inner: st.dictionaries(KEYWORDS, inner, max_size=4), max_leaves=12)


@given(SCHEMAS, st.sampled_from(["3.0.0", "3.1.0"]))
def test_whatever_stands_there_becomes_a_sound_schema(schema: Any, version: str) -> None:
    from openmanus_graph.tools.openapi.documents import BrokenReferenceError, Documents
    from openmanus_graph.tools.openapi.schemas import Schemas

    schemas = Schemas(Documents("/nothing", Settings()), has_nullable=version.startswith("3.0"))
    try:
        validator_of(schemas.converted(schema, "/nothing"))
    except BrokenReferenceError:
        return


# ---------------------------------------------------------------- broken and hostile documents

BROKEN: dict[str, tuple[Any, str]] = {
    "no mapping": (3, "it is no mapping"),
    "a reference to nothing": ({"$ref": "#/components/none"}, "leads nowhere"),
    "a parameter without a place": ({"parameters": [{"name": "a"}]}, "the parameter 'a' in None"),
    "a parameter of version 2": ({"parameters": [{"name": "a", "in": "body"}]}, "the parameter 'a' in 'body'"),
    "a parameter that is elsewhere": ({"parameters": [{"$ref": "#/nothing"}]}, "leads nowhere"),
    "a schema that is elsewhere": (
        {"parameters": [parameter("a", schema={"type": "array", "items": {"$ref": "#/nothing"}})]},
        "leads nowhere",
    ),
    "a file outside of the folder": ({"parameters": [{"$ref": "../secret.json"}]}, "leads out of the folder"),
    "a file by its whole path": ({"parameters": [{"$ref": "/etc/passwd"}]}, "leads out of the folder"),
    "a file through a link": ({"parameters": [{"$ref": "link.json"}]}, "leads out of the folder"),
    "a file that is not there": ({"parameters": [{"$ref": "none.json"}]}, "cannot be read"),
    "an address": ({"parameters": [{"$ref": "http://127.0.0.1:9/x.json"}]}, "'reference_hosts' does not have"),
    "an address without a scheme": ({"parameters": [{"$ref": "//127.0.0.1/x"}]}, "leads out of the folder"),
    "no pointer": ({"parameters": [{"$ref": "#anchor"}]}, "is no JSON pointer"),
    "no text": ({"parameters": [{"$ref": 3}]}, "is no text"),
    "references in a circle": ({"parameters": [{"$ref": "#/components/parameters/a"}]}, "without end"),
    "a schema made of itself": (body("application/json", {"$ref": "#/components/schemas/Self"}), "consists of itself"),
    "a schema inside made of itself": (
        {"parameters": [parameter("a", schema={"$ref": "#/components/schemas/Self"})]},
        "consists of itself",
    ),
    "two schemas made of each other": (
        {"parameters": [parameter("a", schema={"items": {"$ref": "#/components/schemas/One"}})]},
        "consists of itself",
    ),
}
COMPONENTS = {
    "parameters": {"a": {"$ref": "#/components/parameters/b"}, "b": {"$ref": "#/components/parameters/a"}},
    "schemas": {
        "Self": {"allOf": [{"$ref": "#/components/schemas/Self"}]},
        "One": {"anyOf": [{"$ref": "#/components/schemas/Two"}, {"type": "null"}]},
        "Two": {"$ref": "#/components/schemas/One"},
    },
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_operation_costs_itself_and_a_line(api: Make, tmp_path: Path, kind: str) -> None:
    (tmp_path.parent / "secret.json").write_text(json.dumps(parameter("secret")))
    (tmp_path / "link.json").symlink_to(tmp_path.parent / "secret.json")
    operation, why = BROKEN[kind]
    made = api(
        described({"GET /good": GET}, components=COMPONENTS)
        | {"paths": {"/bad": {"post": operation}, "/good": {"get": GET}}}
    )
    assert set(made.operations) == {"get"}
    (problem,) = made.problems
    assert problem.startswith("POST /bad cannot be used: ")
    assert why in problem


def test_odd_paths_and_methods_are_told(api: Make) -> None:
    document = described({"GET /good": GET})
    document["paths"] |= {"bad": {"get": GET}, "/worse": 3, "x-more": {}, "/trace": {"trace": GET}}
    made = api(document)
    assert set(made.operations) == {"get"}
    assert len(made.problems) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not of OpenAPI 3"),
        ("[]", "is not of OpenAPI 3"),
        ("3", "is not of OpenAPI 3"),
        ('{"swagger": "2.0", "paths": {}}', "its version is '2.0'"),
        ('{"openapi": 3.0}', "its version is 3.0"),
        ("{", "neither JSON nor YAML"),
        ("a: [", "neither JSON nor YAML"),
        ("a: *b", "neither JSON nor YAML"),
        ("a: &a [*a]", "neither JSON nor YAML"),
        ("[" * 5_000, "nested"),
        ("{a: " * 5_000, "neither JSON nor YAML"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_document_is_said(api: Make, text: str, why: str) -> None:
    with pytest.raises(ToolError, match="document") as caught:
        api(text)
    assert why in str(caught.value)


def growing(levels: int) -> str:
    """YAML whose every level is the one before, nine times."""
    lines = ["a0: &a0 {type: string}"]
    lines += [f"a{n}: &a{n} {{anyOf: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


def test_a_document_that_grows_is_bounded(api: Make) -> None:
    good = "  /good:\n    get: {operationId: good}\n"
    bad = "  /bad:\n    get: {operationId: bad, parameters: [{name: a, in: query, schema: *a29}]}\n"
    began = time.monotonic()
    made = api(f"{growing(30)}\nopenapi: 3.1.0\npaths:\n{bad}{good}")
    assert set(made.operations) == {"good"}
    assert "too large" in made.problems[0]
    assert time.monotonic() - began < 60


def test_a_document_that_grows_by_references_is_bounded(api: Make) -> None:
    schemas: dict[str, Any] = {
        f"A{n}": {"properties": {f"p{m}": {"$ref": f"#/components/schemas/A{n + 1}"} for m in range(9)}}
        for n in range(30)
    }
    schemas["A30"] = {"type": "string"}
    document = described(
        {"POST /a": body("application/json", {"$ref": "#/components/schemas/A0"})}, components={"schemas": schemas}
    )
    made = api(document)
    assert len(json.dumps(schema_of(made))) < 100_000


def test_a_long_row_of_references_is_read(api: Make) -> None:
    schemas: dict[str, Any] = {f"A{n}": {"allOf": [{"$ref": f"#/components/schemas/A{n + 1}"}]} for n in range(3_000)}
    schemas["A3000"] = {"type": "string"}
    where = parameter("a", schema={"$ref": "#/components/schemas/A0"})
    began = time.monotonic()
    api(described({"GET /a": {"operationId": "get", "parameters": [where]}}, components={"schemas": schemas}))
    assert time.monotonic() - began < 60


def test_a_huge_file_is_not_read_to_its_end(settings: Settings, tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(ToolError, match="more than 33,554,432 bytes"):
        index_of(OpenApiSettings(document=str(tmp_path / "huge.json")), settings)


def test_a_document_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    for name in ("none.json", "nosuchservice", "a\0b"):
        with pytest.raises(ToolError, match="cannot be read"):
            index_of(OpenApiSettings(document=str(tmp_path / name)), settings)


# ---------------------------------------------------------------- several files, addresses


def test_files_below_the_folder_are_read(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "api" / "parts").mkdir(parents=True)
    root = described({})
    root["paths"] = {"/a": {"$ref": "parts/a.yml#/item"}}
    (tmp_path / "api" / "root.json").write_text(json.dumps(root))
    (tmp_path / "api" / "parts" / "a.yml").write_text(
        "item:\n  get:\n    operationId: get\n    parameters:\n      - $ref: ../shared.json#/page\n"
    )
    shared = {"page": parameter("page", schema={"$ref": "#/schema"}), "schema": {"type": "integer"}}
    (tmp_path / "api" / "shared.json").write_text(json.dumps(shared))
    stated = OpenApiSettings(document=str(tmp_path / "api" / "root.json"))
    index = index_of(stated, settings)
    assert index.problems == []
    assert index.operations["get"].is_list

    (tmp_path / "api" / "shared.json").write_text(json.dumps(shared | {"page": parameter("other")}))
    assert list(index_of(stated, settings).operations["get"].schema["properties"]) == ["other"]


@pytest.fixture
def at_address(service: Service, settings: Settings) -> Callable[..., Any]:
    """Reads a document from the local server."""

    def read(document: Document | str, *, anew: bool = False, **stated: Any) -> Any:
        service.gives("/d/api.json", document if isinstance(document, str) else json.dumps(document))
        fields = {"document": f"{service.url}/d/api.json", **stated}
        return index_of(OpenApiSettings.model_validate(fields), settings, anew=anew)

    return read


def test_a_document_at_an_address(at_address: Callable[..., Any], service: Service) -> None:
    service.gives("/shared.yaml", "page: {name: page, in: query, schema: {type: integer}}")
    operation = {"operationId": "get", "parameters": [{"$ref": "../shared.yaml#/page"}]}
    document = described({"GET /a": operation}, servers=[{"url": "../v2"}])
    index = at_address(document)
    assert index.problems == []
    assert index.operations["get"].server == f"{service.url}/v2"
    assert len(service.asked) == 2
    at_address(document)
    assert len(service.asked) == 2, "what is kept is taken"
    at_address(document, anew=True)
    assert len(service.asked) == 4


def test_other_hosts_only_where_they_are_named(
    at_address: Callable[..., Any], service: Service, elsewhere: Service
) -> None:
    elsewhere.gives("/x.json", json.dumps(parameter("x")))
    document = described({"GET /a": {"operationId": "get", "parameters": [{"$ref": f"{elsewhere.url}/x.json"}]}})
    index = at_address(document)
    assert index.operations == {}
    assert "'reference_hosts' does not have '127.0.0.1'" in index.problems[0]
    assert elsewhere.asked == []
    host = elsewhere.url.removeprefix("http://")
    assert list(at_address(document, reference_hosts=[host]).operations) == ["get"]


def test_a_file_of_this_machine_is_none_of_a_document_from_elsewhere(at_address: Callable[..., Any]) -> None:
    for reference in ("file:///etc/hostname", "/etc/hostname"):
        document = described({"GET /a": {"operationId": "get", "parameters": [{"$ref": reference}]}})
        index = at_address(document, anew=True)
        assert index.operations == {}


def test_an_inner_address_is_refused(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    with pytest.raises(AddressRefusedError):
        index_of(OpenApiSettings(document="http://127.0.0.1:9/api.json"), settings)


def test_an_old_document_is_used_while_its_server_is_away(
    at_address: Callable[..., Any], service: Service, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_address(described({"GET /a": GET}))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + OLD_S + 1)
    service.gives("/d/api.json", "", status=503)
    stated = OpenApiSettings(document=f"{service.url}/d/api.json")
    index = index_of(stated, settings)
    assert list(index.operations) == ["get"]
    assert "answered 503" in index.problems[0]
    with pytest.raises(ToolError, match="answered 503"):
        index_of(stated, settings, anew=True)


def test_the_index_is_the_same_as_what_was_read(api: Make, settings: Settings, tmp_path: Path) -> None:
    made = api(
        described(
            {
                "GET /a": GET,
                "POST /b": body(
                    "multipart/form-data",
                    {"type": "object", "properties": {"f": {"type": "string", "format": "binary"}}},
                ),
            }
        )
    )
    again = api((tmp_path / "api.json").read_text())
    assert again.index == made.index
    assert again.index.at == made.index.at

    for file in (settings.home / "openapi").iterdir():
        file.write_text('{"title": 3}')
    assert api((tmp_path / "api.json").read_text()).operations == made.operations


# ---------------------------------------------------------------- names


def test_operations_are_named_apart(api: Make) -> None:
    made = api(described({"GET /a": GET, "POST /a": GET, "GET /a/{b}": {}, "GET /a/b": {"operationId": "get a.b/c"}}))
    first, second, *others = made.operations
    assert first == "get"
    assert second.startswith("get_")
    assert others == ["get_a_by_b", "get_a_b_c"]


NAMES = st.text(min_size=1, max_size=100)


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=30, unique=True))
def test_names_of_tools_are_short_plain_and_never_the_same(pairs: list[tuple[str, str]]) -> None:
    made: set[str] = set()
    for service, what in pairs:
        made.add(name_of(service, what, made))
    assert len(made) == len(pairs)
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in made)


def test_the_shipped_documents_can_be_used(settings: Settings) -> None:
    for file in SHIPPED.glob("*.yaml"):
        index = index_of(OpenApiSettings(document=file.stem), settings)
        assert index.problems == []
        assert len(index.operations) > 10
        for operation in index.operations.values():
            assert operation.summary
            validator_of(operation.schema)

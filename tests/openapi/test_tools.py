"""Tools: operations as nodes of a plan, found by search, with effect, policy and ledger."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_plan_graph, list_effects
from openmanus_graph.config.sections import OpenApiSettings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import PlanError, ToolArgumentsError
from openmanus_graph.plan import Plan
from openmanus_graph.plans.arguments import check_call
from openmanus_graph.policy import Policy
from openmanus_graph.questions import answers_for
from openmanus_graph.tools.openapi.tools import openapi_tools, tools_of
from openmanus_graph.tools.rebuild import available_tools, rebuild_tools, tool_references
from openmanus_graph.tools.spec import effect_of, schema_of, spec_of
from tests.cli.conftest import MakeProgram, program_in  # noqa: F401 - a fixture
from tests.interpreter import Interpreter, kill
from tests.openapi.conftest import SHOP, Make, Run, Service, body, by_name, call, described, large

SHOP_NAMES = ("listOrders", "getOrder", "createOrder", "deleteOrder")
WORKER = Path(__file__).with_name("worker.py")


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


async def test_a_search_by_meaning_puts_what_is_near_first(api: Make, context: ToolContext) -> None:
    asked: list[list[str]] = []

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        """The order of an order's deletion is the only thing that this one understands."""
        asked.append(list(texts))
        return [[1.0, 0.0]] + [[float("delete" in text), 1.0] for text in texts[1:]]

    async def nothing(texts: Sequence[str]) -> list[list[float]]:
        del texts
        return []

    search = tools_of(api(large()))[0]
    order: list[list[str]] = []
    for one in (None, nothing, embed):
        with using_tool_context(replace(context, embed=one)):
            found = (await search.ainvoke({"query": "order"}))["text"]
        order.append(sorted((name for name in SHOP_NAMES if name in found), key=found.index))
    by_words, without, by_meaning = order
    assert by_words == without
    assert by_meaning.index("deleteOrder") < by_words.index("deleteOrder")
    assert asked[0][0] == "order"
    assert "delete order" in " ".join(asked[0])


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


async def test_what_is_too_large_to_be_shown_is_in_a_file(api: Make, context: ToolContext, workspace: Path) -> None:
    fields = {f"field{n}": {"type": "string", "description": "What it is. " + "x" * 70} for n in range(300)}
    document = large()
    operation = body("application/json", {"type": "object", "properties": fields})
    document["paths"]["/big"] = {"post": {**operation, "operationId": "makeBig"}}
    search = tools_of(api(document))[0]
    with using_tool_context(context):
        found = (await search.ainvoke({"query": "make big"}))["text"]
    assert "Not all that makeBig takes is shown: see openapi/shop/makeBig.json." in found
    assert len(found) < 20_000
    kept = json.loads((workspace / "openapi" / "shop" / "makeBig.json").read_text())
    assert kept["properties"]["field7"]["description"].startswith("What it is")


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

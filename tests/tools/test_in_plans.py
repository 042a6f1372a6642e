"""In plans: the tools as subtasks of a plan that runs without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.questions import answers_for

from .conftest import Service

pytestmark = pytest.mark.postgres

TOOLS = ["terminate", "http_request", "create_chat_completion", "planning", "crawl4ai"]
LOOPBACK = Settings(allow_hosts=("127.0.0.1",))


def config(folder: Path) -> Any:
    return {"configurable": {"thread_id": "t", "workspace": str(folder)}}


async def test_values_go_from_tool_to_tool(saver: ThreadSaver, service: Service, tmp_path: Path) -> None:
    url = service.gives("/prices", json.dumps({"prices": ["9.5", 3]}))
    page = service.gives("/page", "<title>T</title><p>Text", kind="text/html")
    numbers = {"type": "array", "items": {"type": "number"}}
    plan = {
        "subtasks": [
            {"id": "ask", "tool": "http_request", "args": {"method": "GET", "url": url}},
            {
                "id": "form",
                "tool": "create_chat_completion",
                "args": {"response_schema": numbers, "response": "${ask.json.prices}"},
            },
            {"id": "read", "tool": "crawl4ai", "args": {"urls": [page]}},
            {
                "id": "note",
                "tool": "planning",
                "args": {"command": "create", "title": "${read.pages.0.title}", "steps": ["buy"]},
            },
            {"id": "end", "tool": "terminate", "needs": ["note"], "args": {"status": "success", "answer": "${form}"}},
        ]
    }
    app = build_plan_graph(TOOLS, settings=LOOPBACK).compile(checkpointer=saver)

    out = await app.ainvoke({"plan": plan}, config(tmp_path))

    assert {key: result["error"] for key, result in out["results"].items()} == dict.fromkeys(out["results"])
    assert out["results"]["form"]["output"] == [9.5, 3]
    assert out["results"]["note"]["output"]["plan"]["title"] == "T"
    assert out["results"]["end"]["output"]["answer"] == "[9.5, 3]"


async def test_failures_are_failures(saver: ThreadSaver, service: Service, tmp_path: Path) -> None:
    gone = service.gives("/gone", '{"why": "moved"}', status=410)
    broken = service.gives("/broken", "{}", broken=True)
    plan = {
        "subtasks": [
            {"id": "gone", "tool": "http_request", "args": {"method": "GET", "url": gone}},
            {"id": "lost", "tool": "http_request", "args": {"method": "POST", "url": broken}, "retries": 3},
            {
                "id": "form",
                "tool": "create_chat_completion",
                "args": {"response_schema": {"type": "integer"}, "response": "x"},
            },
            {"id": "end", "tool": "terminate", "args": {"status": "failure", "answer": "No way."}},
            {"id": "after", "tool": "terminate", "needs": ["end"], "args": {"status": "success"}},
        ]
    }
    app = build_plan_graph(TOOLS, settings=LOOPBACK).compile(checkpointer=saver)

    results = (await app.ainvoke({"plan": plan}, config(tmp_path)))["results"]

    assert {key: result["status"] for key, result in results.items()} == {
        "gone": "failed",
        "lost": "failed",
        "form": "failed",
        "end": "failed",
        "after": "blocked",
    }
    assert results["gone"]["output"]["json"] == {"why": "moved"}
    assert "'response': 'x'" in str(results["form"]["error"])
    assert results["end"]["error"] == "No way."
    # What a request did whose answer broke off is unknown, so it is not sent again.
    assert "unknown" in str(results["lost"]["error"])
    assert [asked.path for asked in service.asked].count("/broken") == 1


async def test_a_request_waits_for_a_word_and_the_answer_of_a_person_is_sent(
    saver: ThreadSaver, service: Service, tmp_path: Path
) -> None:
    url = service.gives("/orders", "{}")
    rules = {"rules": [{"tool": "http_request", "effect": "external", "action": "ask", "reason": "it costs money"}]}
    plan = {
        "subtasks": [
            {"id": name, "tool": "http_request", "args": {"method": method, "url": url}}
            for name, method in (("look", "GET"), ("buy", "POST"), ("drop", "DELETE"), ("skip", "PUT"))
        ]
    }
    app = build_plan_graph(TOOLS, policy=rules, settings=LOOPBACK).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan}, config(tmp_path))
    assert [asked.method for asked in service.asked] == ["GET"]

    questions = await app.questions("t")
    assert [(question["subtask"], question.get("reason")) for question in questions] == [
        ("buy", "it costs money"),
        ("drop", "it costs money"),
        ("skip", "it costs money"),
    ]
    edited = json.dumps({"method": "POST", "url": url, "json": {"amount": 1}})
    answers = answers_for(questions, [f"buy=edit {edited}", "drop=no: keep it", 'skip=answer: {"status": 201}'])
    results = (await app.ainvoke(Command(resume=answers), config(tmp_path)))["results"]

    assert [(asked.method, asked.body) for asked in service.asked[1:]] == [("POST", b'{"amount": 1}')]
    assert results["buy"]["status"] == "completed"
    assert results["drop"]["status"] == "skipped"
    assert "keep it" in str(results["drop"]["error"])
    assert results["skip"]["output"] == {"status": 201}


async def test_only_what_was_read_is_a_source(saver: ThreadSaver, service: Service, tmp_path: Path) -> None:
    page = service.gives("/page", '<a href="https://linked.example/">there</a>', kind="text/html")
    gone = service.gives("/gone", status=404)
    data = service.gives("/data", json.dumps({"url": "https://said.example/"}))
    found = [{"title": "P", "url": page}, {"title": "G", "url": gone}]
    service.gives("/search", json.dumps({"results": found}))
    settings = Settings(allow_hosts=("127.0.0.1",), searxng_url=service.url, search_engines=("searxng",))
    plan = {
        "subtasks": [
            {"id": "pages", "tool": "fetch_page", "args": {"urls": [page, gone]}},
            {"id": "none", "tool": "fetch_page", "args": {"urls": gone}},
            {"id": "found", "tool": "web_search", "args": {"query": "q"}},
            {"id": "searched", "tool": "web_search", "args": {"query": "q", "fetch_content": True}},
            {"id": "asked", "tool": "http_request", "args": {"method": "GET", "url": f"{data}?token=secret1"}},
            {"id": "head", "tool": "http_request", "args": {"method": "HEAD", "url": data}},
            {"id": "sent", "tool": "http_request", "args": {"method": "POST", "url": data}},
            {"id": "failed", "tool": "http_request", "args": {"method": "GET", "url": gone}},
        ]
    }
    tools = ["fetch_page", "web_search", "http_request"]
    app = build_plan_graph(tools, settings=settings).compile(checkpointer=saver)

    results = (await app.ainvoke({"plan": plan}, config(tmp_path)))["results"]

    assert {key: result["sources"] for key, result in results.items() if "sources" in result} == {
        "pages": [page],
        "searched": [page],
        "asked": [f"{data}?token=[key]"],
    }

"""Sources of an answer: what its calls have read, never what was only found or linked to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.tools import ToolException, tool

from openmanus_graph import Settings, ThreadSaver
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, ends, plans, thread, verdict, wants_plan

pytestmark = pytest.mark.postgres


@tool
async def look_up(url: str) -> dict[str, Any]:
    """Read a page."""
    if "gone" in url:
        raise ToolException("There is no such page.")
    return {"text": "a fact", "links": [{"url": "https://linked.example/"}]}


@tool
async def find(words: str) -> list[dict[str, str]]:
    """Search for pages."""
    return [{"url": f"https://found.example/{words}"}]


look_up.metadata = {"effect": "read", "source": "url"}
find.metadata = {"effect": "read"}
TOOLS = [look_up, find]
WORK = {"id": "w", "goal": "find out", "agent": "executor", "tools": ["look_up", "find"]}


async def test_links_and_search_results_are_no_sources(build: Build, provider: ScriptedServer) -> None:
    read = {"id": "r", "goal": "read", "tool": "look_up", "args": {"url": "https://read.example/"}}
    search = {"id": "f", "goal": "search", "tool": "find", "args": {"words": "x"}}
    provider.add(wants_plan(), plans(read, search), Reply("A fact."))
    out = await build(tools=TOOLS).ainvoke({"task": "find out"}, thread())
    assert out["answer"] == "A fact.\n\nSources:\n- https://read.example/"


async def test_what_an_agent_has_read_is_a_source(build: Build, provider: ScriptedServer) -> None:
    pages = [ToolUse("look_up", {"url": f"https://{name}.example/"}) for name in ("one", "gone", "two")]
    provider.add(
        wants_plan(),
        plans(WORK),
        calls(*pages, ToolUse("find", {"words": "x"})),
        calls(ToolUse("look_up", {"url": "https://one.example/"})),
        *done(json.dumps({"url": "https://invented.example/"})),
    )
    out = await build(tools=TOOLS).ainvoke({"task": "find out"}, thread())
    assert out["results"]["w"]["sources"] == ["https://one.example/", "https://two.example/"]
    assert out["results"]["w"]["output"] == '{"url": "https://invented.example/"}'


async def test_what_an_agent_has_read_is_known_after_its_conversation_was_shortened(saver: ThreadSaver) -> None:
    steps = [ToolUse("look_up", {"url": "https://one.example/"}), *(ToolUse("find", {"words": str(n)}) for n in "1234")]
    ended: list[str] = []

    def says(body: dict[str, Any]) -> Reply:
        tools = {tool["function"]["name"] for tool in body.get("tools") or []}
        if "messages to summarise" in str(body["messages"]):
            return Reply("In short: one page was read.")
        if "verdict" in tools:
            return verdict(True)
        if "delegate" in tools:
            return plans(WORK)
        if steps:
            return calls(steps.pop(0), text="so " * 400)
        ended.append(str(body["messages"]))
        return ends("a fact")

    with ScriptedServer(says) as server:
        settings = Settings.load(
            llm_model="openai/scripted",
            llm_base_url=server.base_url,
            llm_api_key="sk-scripted",
            models={"executor": {"window": 3_000}},
            summarise_at=0.25,
        )
        app = build_manus_graph(settings=settings, tools=TOOLS).compile(checkpointer=saver)
        out = await app.ainvoke({"task": "find out"}, thread())
    assert "In short" in ended[0], "the call itself is forgotten"
    assert "one.example" not in ended[0]
    assert out["results"]["w"]["sources"] == ["https://one.example/"]


async def test_what_a_check_refused_is_no_finding_and_has_no_sources(build: Build, provider: ScriptedServer) -> None:
    app = build(tools=TOOLS, settings={"max_verifications": 1})
    checked = {**WORK, "done_when": "the fact is confirmed twice"}
    provider.add(
        wants_plan(),
        plans(checked),
        calls(ToolUse("look_up", {"url": "https://one.example/"})),
        ends("The moon is made of cheese."),
        verdict(False, "Nothing confirms it."),
        Reply("It could not be found out."),
    )
    out = await app.ainvoke({"task": "find out"}, thread())
    assert out["results"]["w"]["output"] == "The moon is made of cheese.", "it is kept for people"
    told = str(provider.requests[-1].messages)
    assert "made of cheese" not in told
    assert "Nothing confirms it." in told
    assert "refused by the check" in told
    assert out["answer"] == "It could not be found out."

"""How many calls of a model a request takes, by the provider's own log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread

CITIES = ("Aba", "Brno", "Cork", "Doha", "Enna", "Faro", "Gent", "Hilo")


async def _look_up(city: str) -> str:
    """Look up how many people live in a city."""
    await asyncio.sleep(0)
    return f"{city} has 400,000 inhabitants."


LOOK_UP = StructuredTool.from_function(coroutine=_look_up, name="look_up", metadata={"effect": "read"})


def lookup(city: str, **more: Any) -> dict[str, Any]:
    return {"id": city.lower(), "goal": f"look up {city}", "tool": "look_up", "args": {"city": city}, **more}


async def test_small_talk_takes_one_call(build: Build, provider: ScriptedServer) -> None:
    provider.add(Reply("You are welcome."))
    out = await build(tools=[LOOK_UP]).ainvoke({"task": "thank you"}, thread())
    assert out["status"] == "completed"
    assert len(provider.requests) == 1


@pytest.mark.parametrize("cities", [CITIES[:1], CITIES], ids=["one", "eight"])
async def test_direct_calls_of_tools_take_two_calls_however_many_they_are(
    build: Build, provider: ScriptedServer, cities: tuple[str, ...]
) -> None:
    provider.add(plans(*map(lookup, cities)), Reply("Here they are."))
    out = await build(tools=[LOOK_UP]).ainvoke({"task": "how many people live there?"}, thread())
    assert out["status"] == "completed"
    assert len(provider.requests) == 2
    told = str(provider.requests[-1].messages)
    assert all(f"{city} has 400,000 inhabitants." in told for city in cities)


async def test_calls_of_tools_in_one_reply_take_two_calls_of_the_model(build: Build, provider: ScriptedServer) -> None:
    provider.add(calls(*(ToolUse("look_up", {"city": city}) for city in CITIES)), Reply("Here they are."))
    out = await build(tools=[LOOK_UP]).ainvoke({"task": "how many people live there?"}, thread())
    assert (out["status"], out["answer"]) == ("completed", "Here they are.")
    assert len(provider.requests) == 2
    assert list(out["results"]) == [f"c{number}" for number in range(1, 9)]


async def test_a_call_that_uses_another_of_the_same_reply_takes_no_call_more(
    build: Build, provider: ScriptedServer
) -> None:
    provider.add(
        calls(ToolUse("look_up", {"city": "Cork"}), ToolUse("look_up", {"city": "the twin of: ${c1}"})),
        Reply("Here they are."),
    )
    out = await build(tools=[LOOK_UP]).ainvoke({"task": "how many people live there?"}, thread())
    assert len(provider.requests) == 2
    assert out["results"]["c2"]["output"] == "the twin of: Cork has 400,000 inhabitants. has 400,000 inhabitants."


async def test_the_answer_of_a_plans_one_agent_is_the_answer(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "work", "goal": "sum up ${cork} and ${brno}", "agent": "executor"}
    provider.add(plans(lookup("Cork"), lookup("Brno"), work), *done("400,000 people each."))
    out = await build(tools=[LOOK_UP]).ainvoke({"task": "how many people live in Cork and Brno?"}, thread())
    assert (out["status"], out["answer"]) == ("completed", "400,000 people each.")
    assert [request.tools for request in provider.requests].count([]) == 0, "no reporter was asked"


async def test_an_agent_that_calls_a_tool_and_is_checked_takes_four_calls(
    build: Build, provider: ScriptedServer
) -> None:
    work = {"id": "work", "goal": "find out about Cork", "agent": "executor", "done_when": "a number is given"}
    provider.add(plans(work), calls(ToolUse("look_up", {"city": "Cork"})), *done("400,000 people."))
    out = await build(tools=[LOOK_UP]).ainvoke({"task": "how many people live in Cork?"}, thread())
    assert (out["answer"], out["results"]["work"]["verified"]) == ("400,000 people.", True)
    assert len(provider.requests) == 4


async def test_a_given_plan_takes_one_call_for_its_answer(build: Build, provider: ScriptedServer) -> None:
    provider.add(Reply("Here they are."))
    plan = {"subtasks": [lookup(city) for city in CITIES]}
    out = await build(tools=[LOOK_UP]).ainvoke({"plan": plan}, thread())
    assert out["status"] == "completed"
    assert len(provider.requests) == 1

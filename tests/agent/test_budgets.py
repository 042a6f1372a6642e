"""Budgets end a request in a partial answer, also over a resume."""

from __future__ import annotations

import asyncio

from openmanus_graph import ThreadSaver, get_thread
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, wants_plan

SAY = {"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "printf a"}}
WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}


async def test_model_calls_end_in_a_partial_answer(build: Build, provider: ScriptedServer, saver: ThreadSaver) -> None:
    step = calls(ToolUse("bash", {"command": "printf x"}))
    provider.add(wants_plan(), plans(SAY, WORK), step)
    out = await build(settings={"budget": {"model_calls": 3}}).ainvoke({"task": "do it"}, thread())
    assert out["status"] == "partial"
    assert "budget of 3 model calls is used up" in out["answer"]
    assert "1 of 2 subtasks" in out["answer"]
    assert out["results"]["a"]["status"] == "completed"
    assert out["results"]["w"]["status"] == "failed"
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "partial"
    assert len(provider.requests) == 3


async def test_a_larger_budget_goes_on_with_what_is_left(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(SAY, WORK), calls(ToolUse("bash", {"command": "printf x"})))
    await build(settings={"budget": {"model_calls": 3}}).ainvoke({"task": "do it"}, thread())
    provider.add(*done("worked"), Reply("All done."))
    out = await build(settings={"budget": {"model_calls": 9}}).ainvoke({"again": True}, thread())
    assert (out["status"], out["answer"]) == ("completed", "All done.")
    provider.add(Reply("more"))
    out = await build(settings={"budget": {"model_calls": 5}}).ainvoke({"task": "thanks"}, thread())
    assert out["answer"] == "more", "a new request counts anew"


async def test_a_partial_answer_is_for_people(build: Build, provider: ScriptedServer) -> None:
    say = {"id": "a", "tool": "bash", "args": {"command": "printf 'one\\ntwo'"}}
    provider.add(plans(say))
    out = await build(settings={"budget": {"model_calls": 1}}).ainvoke({"task": "count"}, thread())
    assert "one" in out["answer"]
    assert "~~~" not in out["answer"]


async def test_tokens_count_over_resumes(build: Build, provider: ScriptedServer) -> None:
    provider.add(Reply(tool_calls=[ToolUse("ask", {"question": "Which?"})], usage=(900, 100)))
    settings = {"budget": {"tokens": 1000}}
    app = build(settings=settings)
    await app.ainvoke({"task": "do it"}, thread())
    (question,) = await app.questions("t")
    from langgraph.types import Command

    answer = Command(resume={question["id"]: {"kind": "answer", "value": "this"}})
    out = await build(settings=settings).ainvoke(answer, thread())
    assert out["status"] == "partial"
    assert "1,000 tokens" in out["answer"]
    assert len(provider.requests) == 1


async def test_time_ends_a_call_that_takes_too_long(build: Build, provider: ScriptedServer) -> None:
    nap = {"id": "n", "goal": "sleep", "tool": "bash", "args": {"command": "sleep 30"}}
    provider.add(wants_plan(), plans(nap, {**SAY, "needs": ["n"]}))
    async with asyncio.timeout(20):
        out = await build(settings={"budget": {"wall_s": 6}}).ainvoke({"task": "wait"}, thread())
    assert out["status"] == "partial"
    assert "6 s" in out["answer"]

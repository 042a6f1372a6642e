"""A thread is a conversation: questions, follow-ups, and trying again."""

from __future__ import annotations

from pathlib import Path

from langgraph.types import Command

from openmanus_graph import ThreadSaver, get_thread
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import asks, plans, thread, wants_plan

SAY = {"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "echo a"}}


async def test_one_clarifying_question_is_an_interrupt(
    build: Build, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    app = build()
    provider.add(Reply(tool_calls=[ToolUse("ask", {"question": "Which city?"})]))
    await app.ainvoke({"task": "What is the weather like?"}, thread())
    (question,) = await app.questions("t")
    assert (question["kind"], question["question"]) == ("answer", "Which city?")
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "waiting"
    provider.add(wants_plan(), plans(SAY), Reply("Sunny in Rome."))
    answer = Command(resume={question["id"]: {"kind": "answer", "value": "Rome"}})
    out = await build().ainvoke(answer, thread())
    assert out["answer"] == "Sunny in Rome."
    planner = provider.requests[2].messages[-1]["content"]
    assert "What is the weather like?" in planner, "the person's own words reach the planner"
    assert "Rome" in planner
    assert provider.requests[1].tools == provider.requests[0].tools, "the beginning of the prompt stays the same"


async def test_a_follow_up_has_the_earlier_results_at_hand(build: Build, provider: ScriptedServer) -> None:
    app = build()
    provider.add(wants_plan(), plans(SAY), Reply("The letter is a."))
    await app.ainvoke({"task": "say a letter"}, thread())
    again = {"id": "a", "goal": "say it again", "tool": "bash", "args": {"command": "echo a"}}
    provider.add(wants_plan(), plans(again), Reply("Again: a."))
    out = await app.ainvoke({"task": "and now again"}, thread())
    assert out["answer"] == "Again: a."
    coordinator, planner = provider.requests[3].messages, provider.requests[4].messages
    said = [m["content"] for m in coordinator[1:] if m["role"] != "tool" and m["content"]]
    assert said == ["say a letter", "The letter is a.", "and now again"]
    assert any(m["role"] == "tool" and '"stdout":"a' in m["content"] for m in coordinator), "with what was found then"
    assert "The letter is a." in planner[-1]["content"]
    state = (await app.snapshot("t")).values
    assert state["request"] == 2
    assert [one["task"] for one in state["earlier"]] == ["say a letter", "and now again"]


async def test_an_equal_subtask_of_a_later_request_runs_anew(build: Build, provider: ScriptedServer) -> None:
    app = build()
    count = {"id": "n", "goal": "count", "tool": "bash", "args": {"command": "echo x >> log; wc -l < log"}}
    provider.add(wants_plan(), plans(count), Reply("1"))
    await app.ainvoke({"task": "count"}, thread())
    provider.add(wants_plan(), plans(count), Reply("2"))
    out = await app.ainvoke({"task": "count again"}, thread())
    assert out["results"]["n"]["output"]["stdout"].strip() == "2"


async def test_a_question_after_a_failure_leads_to_another_plan(build: Build, provider: ScriptedServer) -> None:
    app = build()
    bad = {"id": "b", "goal": "fails", "tool": "bash", "args": {"command": "exit 1"}}
    provider.add(wants_plan(), plans(bad), asks("Which other way?"))
    await app.ainvoke({"task": "do it"}, thread())
    (question,) = await app.questions("t")
    provider.add(plans(SAY), Reply("done"))
    out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "say a"}}), thread())
    assert (out["status"], out["answer"]) == ("completed", "done")
    assert "say a" in provider.requests[-2].messages[-1]["content"]


async def test_what_a_request_left_undone_is_tried_again(build: Build, provider: ScriptedServer) -> None:
    app = build()
    flaky = {"id": "f", "goal": "flaky", "tool": "bash", "args": {"command": "test -f ready && echo yes"}}
    provider.add(wants_plan(), plans(SAY, flaky), Reply("Not all."))
    out = await app.ainvoke({"task": "do it"}, thread())
    assert out["status"] == "failed"
    state = (await app.snapshot("t")).values
    (Path(state["workspace"]) / "ready").touch()
    provider.add(Reply("All is ready."))
    out = await app.ainvoke({"again": True}, thread())
    assert (out["status"], out["answer"]) == ("completed", "All is ready.")
    assert out["results"]["f"]["output"]["stdout"] == "yes\n"


async def test_past_threads_are_recalled(build: Build, provider: ScriptedServer) -> None:
    app = build()
    provider.add(wants_plan(), plans(SAY), Reply("The aardvark is fine."))
    await app.ainvoke({"task": "How is the aardvark?"}, thread("one"))
    provider.add(wants_plan(), plans(SAY), Reply("Fine."))
    await app.ainvoke({"task": "Feed the aardvark"}, thread("two"))
    assert "How is the aardvark?" in provider.requests[4].messages[-1]["content"]


async def test_an_answered_question_is_not_asked_anew(build: Build, provider: ScriptedServer) -> None:
    app = build()
    provider.add(Reply(tool_calls=[ToolUse("ask", {"question": "Which one?"})]))
    asked = [event async for event in app.astream({"task": "do that"}, thread(), stream_mode="custom")]
    assert [event["type"] for event in asked].count("question_asked") == 1
    question = (await app.questions("t"))[0]["id"]
    provider.add(Reply("Done."))
    answer = Command(resume={question: {"kind": "answer", "value": "blue"}})
    told = [event async for event in app.astream(answer, thread(), stream_mode="custom")]
    assert "question_asked" not in [event["type"] for event in told]

"""A thread that goes on: new requests behind unfinished ones, and trying again where there is nothing to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph.errors import ModelRefusedError, UsageError
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, wants_plan

WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}
COUNT = {"id": "n", "tool": "bash", "args": {"command": "echo x >> n.txt; grep -c x n.txt"}}


async def test_an_equal_subtask_of_an_unfinished_request_is_not_taken_for_this_one(
    build: Build, provider: ScriptedServer
) -> None:
    app = build(settings={"sandbox": "none"})
    provider.add(plans(COUNT, {**WORK, "needs": ["n"]}), Fault.wrong_key())
    with pytest.raises(ModelRefusedError):
        await app.ainvoke({"task": "one"}, thread())
    provider.add(plans(COUNT, {**WORK, "needs": ["n"]}), *done("done"), Reply("2"))
    out = await app.ainvoke({"task": "two"}, thread())
    assert out["results"]["n"]["output"]["stdout"].strip() == "2"


async def test_an_agent_does_not_read_what_an_unfinished_request_told_it(
    build: Build, provider: ScriptedServer
) -> None:
    app = build()
    provider.add(plans(WORK), calls(ToolUse("bash", {"command": "echo of the first"})), Fault.wrong_key())
    with pytest.raises(ModelRefusedError):
        await app.ainvoke({"task": "the first task"}, thread())
    provider.add(plans(WORK), *done("done"))
    out = await app.ainvoke({"task": "the second task"}, thread())
    assert out["results"]["w"]["output"] == "done"
    told = str(provider.requests[-2].messages)
    assert "of the first" not in told
    assert [one["role"] for one in provider.requests[-2].messages] == ["system", "user"]


async def test_trying_again_goes_on_with_an_unfinished_agent(build: Build, provider: ScriptedServer) -> None:
    app = build()
    provider.add(plans(WORK), calls(ToolUse("bash", {"command": "echo once"})), Fault.wrong_key())
    with pytest.raises(ModelRefusedError):
        await app.ainvoke({"task": "try"}, thread())
    provider.add(*done("done"))
    out = await app.ainvoke({"again": True}, thread())
    assert (out["status"], out["results"]["w"]["output"]) == ("completed", "done")
    assert sum(one["role"] == "system" for one in provider.requests[-2].messages) == 1


async def test_there_is_nothing_to_try_again_on_a_new_thread(build: Build, provider: ScriptedServer) -> None:
    with pytest.raises(UsageError, match="nothing to try again"):
        await build().ainvoke({"again": True}, thread())
    assert not provider.requests


async def test_a_new_request_leaves_an_open_question_behind(build: Build, provider: ScriptedServer) -> None:
    app = build()
    provider.add(Reply(tool_calls=[ToolUse("ask", {"question": "Which one?"})]))
    out = await app.ainvoke({"task": "do that"}, thread())
    assert len(await app.questions("t")) == 1
    provider.add(Reply("Hello."))
    out = await app.ainvoke({"task": "hi"}, thread())
    assert (out["status"], out["answer"]) == ("completed", "Hello.")
    assert await app.questions("t") == []


async def test_an_answer_of_the_coordinator_is_known_to_the_planner(build: Build, provider: ScriptedServer) -> None:
    models: Any = {"models": {"planner": {"model": "openai/other"}}}
    app = build(settings=models)
    provider.add(Reply("I will remember that your number is 42."))
    await app.ainvoke({"task": "My number is 42."}, thread())
    say = {"id": "a", "tool": "bash", "args": {"command": "printf 42"}}
    provider.add(wants_plan(), plans(say), Reply("42"))
    await app.ainvoke({"task": "print my number"}, thread())
    assert "My number is 42." in provider.requests[2].messages[-1]["content"]


async def test_files_that_were_there_before_are_not_said_to_be_made(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "setup.py").write_text("x")
    make = {"id": "a", "tool": "bash", "args": {"command": "sleep 0.05; echo y > made.txt"}}
    provider.add(plans(make), Reply("It is made."))
    out = await build().ainvoke({"task": "make it"}, thread(workspace=str(folder)))
    assert "made.txt" in out["answer"]
    assert "setup.py" not in out["answer"]
    assert "setup.py" not in provider.requests[-1].messages[-1]["content"]


async def test_an_agent_knows_the_whole_task_and_what_came_with_it(
    build: Build, provider: ScriptedServer, tmp_path: Path
) -> None:
    app = build()
    provider.add(Reply("Your number is 42."))
    await app.ainvoke({"task": "What is my number?"}, thread())
    (tmp_path / "openmanus-work" / "t").mkdir(parents=True, exist_ok=True)
    (tmp_path / "openmanus-work" / "t" / "prices.csv").write_text("1")
    asks = Reply(tool_calls=[ToolUse("ask", {"question": "Which one?"})])
    provider.add(asks)
    await app.ainvoke({"task": "Compare them well", "attachments": ["prices.csv"]}, thread())
    question = (await app.questions("t"))[0]["id"]
    provider.add(plans(WORK), *done("done"))
    await app.ainvoke(Command(resume={question: {"kind": "answer", "value": "The blue one."}}), thread())
    told = provider.requests[-2].messages[-1]["content"]
    for known in ("Compare them well", "The blue one.", "# Files that came with the task\nprices.csv", "number is 42"):
        assert known in told

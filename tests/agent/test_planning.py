"""Planning, correcting a plan, planning again after a failure."""

from __future__ import annotations

import pytest

from openmanus_graph.errors import PlanningError
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, ends, plans, thread, wants_plan

GOOD = {"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "printf a"}}
BAD = {"id": "b", "goal": "fails", "tool": "bash", "args": {"command": "echo oh no >&2; exit 3"}}
AFTER = {"id": "c", "goal": "use b", "tool": "bash", "args": {"command": "echo ${b.stdout}"}}


async def test_an_invalid_plan_goes_back_with_its_problems(build: Build, provider: ScriptedServer) -> None:
    provider.add(
        wants_plan(),
        plans({"id": "a", "goal": "g", "tool": "bash", "args": {"comand": "ls"}, "needs": ["zz"]}),
        plans(GOOD),
        Reply("a"),
    )
    out = await build().ainvoke({"task": "say a"}, thread())
    assert out["status"] == "completed"
    told = provider.requests[2].messages[-1]["content"]
    assert "'comand'" in told
    assert "'zz'" in told


async def test_a_plan_that_stays_invalid_is_an_error_that_can_be_resumed(
    build: Build, provider: ScriptedServer
) -> None:
    wrong = {"id": "a", "goal": "g", "tool": "no_such_tool"}
    provider.add(wants_plan(), plans(wrong), plans(wrong), plans(wrong))
    app = build()
    with pytest.raises(PlanningError, match="no valid plan in 3 tries") as raised:
        await app.ainvoke({"task": "say a"}, thread())
    assert "no_such_tool" in str(raised.value)
    provider.add(plans(GOOD), Reply("a"))
    out = await app.ainvoke(None, thread())
    assert out["answer"] == "a"


async def test_a_reply_that_is_no_plan_is_told_so(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), Reply("I would rather not."), plans(GOOD), Reply("a"))
    out = await build().ainvoke({"task": "say a"}, thread())
    assert out["status"] == "completed"


async def test_a_failure_is_planned_again_and_what_completed_is_kept(build: Build, provider: ScriptedServer) -> None:
    better = {"id": "b2", "goal": "works", "tool": "bash", "args": {"command": "printf '%s again' ${a.stdout}"}}
    provider.add(
        wants_plan(),
        plans(GOOD, BAD, AFTER),
        plans({"id": "a", "goal": "changed!", "tool": "bash", "args": {"command": "echo changed"}}, better),
        Reply("a again"),
    )
    out = await build().ainvoke({"task": "say a twice"}, thread())
    assert out["status"] == "completed"
    assert out["results"]["a"]["output"]["stdout"] == "a", "a completed subtask stays as it was"
    assert out["results"]["b2"]["output"]["stdout"] == "a again"
    assert "exit code 3: oh no" in provider.requests[2].messages[-1]["content"]


async def test_rounds_are_bounded_and_the_end_is_not_called_completed(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(BAD), plans({**BAD, "id": "b2"}), Reply("It cannot be done."))
    out = await build(settings={"max_replans": 1}).ainvoke({"task": "try"}, thread())
    assert out["status"] == "failed"
    assert out["answer"] == "It cannot be done."
    assert "planned again 1 times" in provider.requests[-1].messages[-1]["content"]


async def test_the_coordinator_may_report_what_there_is(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(GOOD, BAD), Reply("Only a."))
    out = await build().ainvoke({"task": "try"}, thread())
    assert (out["status"], out["answer"]) == ("failed", "Only a.")


async def test_a_failed_agent_is_no_success(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "do it", "agent": "executor"}
    provider.add(wants_plan(), plans(work), ends("It is not there.", "failure"), Reply("No."))
    out = await build().ainvoke({"task": "try"}, thread())
    assert out["results"]["w"]["status"] == "failed"
    assert out["results"]["w"]["error"] == "It is not there."
    assert out["status"] == "failed"


async def test_running_out_of_steps_is_a_failure(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}
    step = [calls(ToolUse("bash", {"command": f"echo {number}"})) for number in range(3)]
    provider.add(wants_plan(), plans(work), *step, Reply("Not done."))
    out = await build(settings={"budget": {"steps": 3}}).ainvoke({"task": "try"}, thread())
    assert out["results"]["w"]["status"] == "failed"
    assert "limit of 3 steps" in out["results"]["w"]["error"]


async def test_going_round_in_circles_is_told_once_and_then_a_failure(build: Build, provider: ScriptedServer) -> None:
    work = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}
    same = [calls(ToolUse("bash", {"command": "cat missing.txt"})) for _ in range(6)]
    provider.add(wants_plan(), plans(work), *same, Reply("Not done."))
    out = await build().ainvoke({"task": "try"}, thread())
    assert "went round in circles" in out["results"]["w"]["error"]
    told = [r for r in provider.requests if "going round in circles" in str(r.messages)]
    assert told, "the model was told before"


async def test_a_given_plan_needs_no_planner(build: Build, provider: ScriptedServer) -> None:
    provider.add(Reply("a"))
    out = await build().ainvoke({"plan": {"goal": "say a", "subtasks": [GOOD]}}, thread())
    assert (out["status"], out["answer"]) == ("completed", "a")
    assert len(provider.requests) == 1


async def test_a_planner_of_its_own_is_asked(build: Build, provider: ScriptedServer) -> None:
    models = {"default": "openai/quick", "planner": "openai/clever"}
    provider.add(wants_plan(), plans(GOOD), Reply("a"))
    out = await build(models=models).ainvoke({"task": "say a"}, thread())
    assert out["status"] == "completed"
    assert "plan" in provider.requests[0].tools
    assert "submit_plan" not in provider.requests[0].tools
    assert provider.requests[1].body["model"].endswith("clever")


async def test_a_plan_in_words_is_taken_for_one(build: Build, provider: ScriptedServer) -> None:
    text = '{"goal": "say a", "subtasks": [{"id": "a", "tool": "bash", "args": {"command": "printf a"}}]}'
    provider.add(Reply(f"```json\n{text}\n```"), Reply("a"))
    out = await build().ainvoke({"task": "say a"}, thread())
    assert (out["status"], len(provider.requests)) == ("completed", 2)


async def test_a_first_plan_that_is_invalid_goes_back_with_its_problems(build: Build, provider: ScriptedServer) -> None:
    provider.add(plans({**GOOD, "tool": "bsh"}), plans(GOOD), Reply("a"))
    out = await build().ainvoke({"task": "say a"}, thread())
    assert out["status"] == "completed"
    assert "'bsh'" in provider.requests[1].messages[-1]["content"]

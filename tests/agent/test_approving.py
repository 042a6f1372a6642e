"""A person approves, edits, refuses or answers calls and plans; the process may end in between."""

from __future__ import annotations

from typing import Any

from langgraph.types import Command

from openmanus_graph import ThreadSaver
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, ends, plans, thread, wants_plan

ASK_BASH = {"rules": [{"tool": "bash", "action": "ask", "reason": "shells are asked about"}]}
SAY = {"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "printf a"}}
WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}


def approve(value: Any, *ids: str) -> Command[Any]:
    """An answer to questions of approval."""
    return Command(resume={key: {"kind": "approve", "value": value} for key in ids})


async def test_a_direct_call_waits_for_a_word_and_is_made_once(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(SAY))
    await build(policy=ASK_BASH).ainvoke({"task": "say a"}, thread())
    app = build(policy=ASK_BASH)
    (question,) = await app.questions("t")
    assert (question["kind"], question["subtask"], question.get("tool")) == ("approve", "a", "bash")
    assert question.get("args") == {"command": "printf a"}
    assert question.get("reason") == "shells are asked about"
    provider.add(Reply("a"))
    out = await app.ainvoke(approve(True, question["id"]), thread())
    assert out["results"]["a"]["output"]["stdout"] == "a"


async def test_edited_arguments_are_used(build: Build, provider: ScriptedServer) -> None:
    app = build(policy=ASK_BASH)
    provider.add(wants_plan(), plans(SAY))
    await app.ainvoke({"task": "say a"}, thread())
    (question,) = await app.questions("t")
    provider.add(Reply("b"))
    word = {"action": "edit", "args": {"command": "printf b"}}
    out = await app.ainvoke(approve(word, question["id"]), thread())
    assert out["results"]["a"]["output"]["stdout"] == "b"


async def test_an_agent_is_told_why_its_call_was_refused(build: Build, provider: ScriptedServer) -> None:
    app = build(policy=ASK_BASH)
    provider.add(wants_plan(), plans(WORK), calls(ToolUse("bash", {"command": "rm x"})))
    await app.ainvoke({"task": "do it"}, thread())
    (question,) = await app.questions("t")
    provider.add(ends("Not allowed.", "failure"), Reply("It was not allowed."))
    out = await app.ainvoke(approve({"action": "reject", "reason": "never remove"}, question["id"]), thread())
    assert out["status"] == "failed"
    assert "A person did not approve it: never remove" in str(provider.requests[3].messages[-1]["content"])


async def test_two_calls_wait_at_once_and_are_answered_by_id(build: Build, provider: ScriptedServer) -> None:
    app = build(policy=ASK_BASH)
    both = calls(ToolUse("bash", {"command": "printf 1"}), ToolUse("bash", {"command": "printf 2"}))
    provider.add(wants_plan(), plans(WORK), both)
    await app.ainvoke({"task": "do it"}, thread())
    questions = await app.questions("t")
    questions.sort(key=lambda one: str(one.get("args")))
    assert [one.get("args") for one in questions] == [{"command": "printf 1"}, {"command": "printf 2"}]
    await app.ainvoke(approve(True, questions[0]["id"]), thread())
    (left,) = await app.questions("t")
    assert left["id"] == questions[1]["id"], "the other one still waits"
    provider.add(*done("both"), Reply("both"))
    out = await app.ainvoke(approve({"action": "answer", "value": "mine"}, left["id"]), thread())
    assert out["status"] == "completed"
    results = [m["content"] for m in provider.requests[3].messages if m["role"] == "tool"]
    assert '"stdout": "1"' in results[0]
    assert results[1] == "mine"


async def test_a_debuggers_word_approves_nothing(build: Build, provider: ScriptedServer, saver: ThreadSaver) -> None:
    app = build(policy=ASK_BASH)
    provider.add(wants_plan(), plans(SAY))
    await app.ainvoke({"task": "say a"}, thread())
    for value in ({"kind": "step", "value": True}, {"kind": "answer", "value": "yes"}, True, "yes"):
        (question,) = await app.questions("t")
        out = await app.ainvoke(Command(resume={question["id"]: value}), thread())
        assert not (out.get("results") or {}), f"{value!r} made the call"
        (again,) = await app.questions("t")
        assert (again.get("tool"), again.get("refused")) == ("bash", "This question takes a 'approve'.")


async def test_external_effects_are_asked_about_by_default(build: Build, provider: ScriptedServer) -> None:
    app = build()
    post = {"id": "p", "goal": "send", "tool": "http_request", "args": {"method": "POST", "url": "http://127.0.0.1:9/"}}
    provider.add(wants_plan(), plans(post))
    await app.ainvoke({"task": "send it"}, thread())
    (question,) = await app.questions("t")
    assert question.get("tool") == "http_request"


async def test_a_plan_is_reviewed_edited_and_sent_back(build: Build, provider: ScriptedServer) -> None:
    app = build(settings={"review": "always"})
    provider.add(wants_plan(), plans(SAY))
    await app.ainvoke({"task": "say a"}, thread())
    (question,) = await app.questions("t")
    assert question["kind"] == "approve"
    assert [one["id"] for one in (question.get("plan") or {})["subtasks"]] == ["a"]
    provider.add(plans({**SAY, "id": "b"}))
    await app.ainvoke(approve({"action": "reject", "reason": "call it b"}, question["id"]), thread())
    assert "call it b" in provider.requests[2].messages[-1]["content"]
    (question,) = await app.questions("t")
    edited = {"goal": "mine", "subtasks": [{**SAY, "id": "c"}]}
    provider.add(Reply("a"))
    out = await app.ainvoke(approve({"action": "edit", "plan": edited}, question["id"]), thread())
    assert list(out["results"]) == ["c"]
    assert out["status"] == "completed"

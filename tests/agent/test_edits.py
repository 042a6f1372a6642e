"""A person edits a call: the edit is checked before it is taken, and every record tells what was really called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.types import Command

from openmanus_graph import Settings, ThreadSaver, build_plan_graph
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.questions import answers_for
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, verdict, wants_plan

pytestmark = pytest.mark.postgres

ASK = {
    "rules": [
        {"tool": "save", "args": {"path": "secrets/*"}, "action": "deny", "reason": "nobody writes there"},
        {"tool": "save", "action": "ask"},
    ]
}
SAVE = {"id": "s", "tool": "save", "args": {"path": "draft.txt", "text": "hello", "times": 3}}


@tool
async def save(path: str, text: str, times: int = 1, password: str = "") -> str:
    """Save a text."""
    Path(path).write_text(text * times)
    return f"saved {path}"


def plan_app(saver: ThreadSaver, policy: Any = ASK) -> Any:
    return build_plan_graph([save, "bash"], policy=policy, settings=Settings.load()).compile(checkpointer=saver)


async def edited(app: Any, **args: Any) -> Any:
    """Answer the one open question with an edit."""
    (question,) = await app.questions("t")
    value = {"action": "edit", "args": args}
    return await app.ainvoke(Command(resume={question["id"]: {"kind": "approve", "value": value}}), thread())


async def test_an_edit_names_only_what_it_changes(saver: ThreadSaver) -> None:
    app = plan_app(saver)
    await app.ainvoke({"plan": {"subtasks": [SAVE]}}, thread())
    (question,) = await app.questions("t")
    answers: Any = answers_for([question], ['edit {"path": "final.txt", "times": null}'])
    out = await app.ainvoke(Command(resume=answers), thread())
    assert Path("final.txt").read_text() == "hello", "the text is kept, and without 'times' the tool's own value holds"
    assert out["results"]["s"]["args"] == {"path": "final.txt", "text": "hello"}
    assert out["results"]["s"]["args_by"] == "a person"


@pytest.mark.parametrize("ways", ["the policy asks", "the plan asks"])
@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"pth": "x"}, "unknown argument 'pth'"),
        ({"times": "often"}, "'times'"),
        ({"path": None}, "'path' that tool 'save' needs"),
        ({"path": "secrets/key"}, "nobody writes there"),
    ],
)
async def test_an_edit_that_cannot_be_made_is_not_taken(
    ways: str, args: dict[str, Any], why: str, saver: ThreadSaver
) -> None:
    policy = ASK if ways == "the policy asks" else {"rules": ASK["rules"][:1], "default": "allow"}
    app = plan_app(saver, policy)
    await app.ainvoke({"plan": {"subtasks": [{**SAVE, "approval": ways == "the plan asks"}]}}, thread())
    with pytest.raises(UnknownQuestionError, match=why):
        await edited(app, **args)
    (question,) = await app.questions("t")
    assert question.get("args") == SAVE["args"], "it still asks, about the same"
    assert (await edited(app, path="well.txt"))["results"]["s"]["status"] == "completed"


async def test_an_edit_that_comes_another_way_is_refused_by_the_call_itself(saver: ThreadSaver) -> None:
    app = plan_app(saver)
    await app.ainvoke({"plan": {"subtasks": [SAVE]}}, thread())
    (question,) = await app.questions("t")
    point = (await app.aget_state(thread())).config["configurable"]["checkpoint_id"]
    value = {"kind": "approve", "value": {"action": "edit", "args": {"path": "secrets/key"}}}
    await app.ainvoke(Command(resume={question["id"]: value}), thread(checkpoint_id=point))
    (again,) = await app.questions("t")
    assert "nobody writes there" in again.get("refused", "")
    assert not Path("secrets").exists()


async def test_no_approval_makes_a_call_that_the_policy_denies(saver: ThreadSaver) -> None:
    app = plan_app(saver, {"rules": [{"tool": "save", "action": "deny", "reason": "read only"}], "default": "allow"})
    out = await app.ainvoke({"plan": {"subtasks": [{**SAVE, "approval": True}]}}, thread())
    assert await app.questions("t") == [], "nobody is asked about what is refused anyway"
    assert "read only" in out["results"]["s"]["error"]
    assert not Path("draft.txt").exists()


async def test_a_plans_approval_shows_and_changes_what_is_really_sent(saver: ThreadSaver) -> None:
    app = plan_app(saver, "allow")
    say = {"id": "say", "tool": "bash", "args": {"command": "printf it"}}
    then = {**SAVE, "args": {"path": "a.txt", "text": "${say.stdout}!"}, "approval": True}
    await app.ainvoke({"plan": {"subtasks": [say, then]}}, thread())
    (question,) = await app.questions("t")
    assert question.get("args") == {"path": "a.txt", "text": "it!"}
    out = await edited(app, path="b.txt")
    assert Path("b.txt").read_text() == "it!"
    assert out["results"]["s"]["args"] == {"path": "b.txt", "text": "it!"}
    assert "args" not in out["results"]["say"]


async def test_secrets_and_long_texts_are_not_kept_twice(saver: ThreadSaver) -> None:
    app = plan_app(saver)
    await app.ainvoke({"plan": {"subtasks": [SAVE]}}, thread())
    out = await edited(app, text="x" * 200_000, password="hunter22", times=1)
    kept = out["results"]["s"]["args"]
    assert Path("draft.txt").stat().st_size == 200_000
    assert len(json.dumps(kept)) < 3_500
    assert kept["text"].startswith("xxx")
    assert kept["text"].endswith("…")
    assert "hunter22" not in json.dumps(kept)


async def test_a_plain_yes_and_an_edit_to_the_same_say_nothing(saver: ThreadSaver) -> None:
    app = plan_app(saver)
    await app.ainvoke({"plan": {"subtasks": [SAVE]}}, thread())
    out = await edited(app, path="draft.txt")
    assert "args" not in out["results"]["s"]


async def test_the_reporter_and_a_new_plan_are_told_what_was_called(build: Build, provider: ScriptedServer) -> None:
    app = build(policy={"rules": [{"tool": "bash", "action": "ask"}]})
    say = {"id": "a", "goal": "publish", "tool": "bash", "args": {"command": "echo draft"}}
    provider.add(wants_plan(), plans(say))
    await app.ainvoke({"task": "publish it"}, thread())
    provider.add(Reply("It is final."))
    out = await edited(app, command="echo final")
    told = str(provider.requests[-1].messages[-1]["content"])
    assert 'A person changed its arguments. What was called: bash {"command": "echo final"}' in told
    assert "echo draft" not in told
    assert out["results"]["a"]["args"] == {"command": "echo final"}


async def test_a_checked_call_tells_it_too(build: Build, provider: ScriptedServer) -> None:
    app = build(policy={"rules": [{"tool": "bash", "action": "ask"}]})
    say = {"id": "a", "goal": "say", "tool": "bash", "args": {"command": "echo 1"}, "done_when": "it says something"}
    provider.add(wants_plan(), plans(say))
    await app.ainvoke({"task": "say it"}, thread())
    provider.add(verdict(True), Reply("It says 2."))
    out = await edited(app, command="echo 2")
    assert out["results"]["a"]["verified"] is True
    assert out["results"]["a"]["args"] == {"command": "echo 2"}


async def test_a_call_that_is_tried_again_is_made_with_what_the_person_said(saver: ThreadSaver) -> None:
    app = plan_app(saver, {"rules": [{"tool": "bash", "action": "ask"}]})
    command = "test -e there || { touch there; exit 1; }"
    again = {"id": "s", "tool": "bash", "args": {"command": "false"}, "retries": 2}
    await app.ainvoke({"plan": {"subtasks": [again]}}, thread())
    out = await edited(app, command=command)
    result = out["results"]["s"]
    assert (result["status"], result["attempts"], result["args"]) == ("completed", 2, {"command": command})


async def test_an_edited_plan_that_is_not_sound_is_not_taken(build: Build, provider: ScriptedServer) -> None:
    app = build(settings={"review": "always"})
    provider.add(wants_plan(), plans({"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "printf a"}}))
    await app.ainvoke({"task": "say a"}, thread())
    (question,) = await app.questions("t")
    broken = {"goal": "mine", "subtasks": [{"id": "a", "tool": "bsh", "args": {}}]}
    value = {"action": "edit", "plan": broken}
    with pytest.raises(UnknownQuestionError, match="'bsh'"):
        await app.ainvoke(Command(resume={question["id"]: {"kind": "approve", "value": value}}), thread())
    assert [one["id"] for one in await app.questions("t")] == [question["id"]]


async def test_an_agent_is_told_what_was_called_in_place_of_its_call(build: Build, provider: ScriptedServer) -> None:
    app = build(policy={"rules": [{"tool": "bash", "action": "ask"}]})
    work = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}
    provider.add(wants_plan(), plans(work), calls(ToolUse("bash", {"command": "echo 1", "timeout_s": 9})))
    await app.ainvoke({"task": "do it"}, thread())
    provider.add(*done("done"))
    await edited(app, command="echo 2")
    told = str(provider.requests[3].messages[-1]["content"])
    assert 'A person changed the arguments to {"command": "echo 2", "timeout_s": 9}.' in told

"""The agent's graph: a request is stepped from its coordinator to its reporter, with tools, people and failures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, Stepper, ThreadSaver, thread_history
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.stepping.view import Stop
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, done, ends, plans, verdict

pytestmark = pytest.mark.postgres

W1 = {"id": "w1", "goal": "make a.txt", "agent": "executor", "done_when": "a.txt exists"}
W2 = {"id": "w2", "goal": "make b.txt", "agent": "executor", "done_when": "b.txt exists"}
LIST = {"id": "ls", "goal": "list them", "tool": "list_files", "args": {"pattern": "*"}, "needs": ["w1", "w2"]}
ASKED = {"default": "allow", "rules": [{"tool": "bash", "action": "ask"}]}

Open = Callable[..., Stepper]


@pytest.fixture
def provider() -> Iterator[ScriptedServer]:
    """A scripted provider that each test fills with replies."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture
async def agent(provider: ScriptedServer, saver: ThreadSaver, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens steppers on the agent's graph, on a request or on the thread alone."""
    opened: list[Stepper] = []

    def make(task: str | None = "make two files", *, policy: Any = None, **settings: Any) -> Stepper:
        chosen = Settings.load(
            home=tmp_path / "home",
            llm_model="openai/scripted",
            llm_base_url=provider.base_url,
            llm_api_key="sk-scripted",
            **settings,
        )
        app = build_manus_graph(settings=chosen, policy=policy).compile(checkpointer=saver)
        given = None if task is None else {"task": task}
        opened.append(Stepper(app, input=given, thread_id="t", configurable={"workspace": str(tmp_path / "work")}))
        return opened[-1]

    yield make
    for stepper in opened:
        await stepper.close()


def creates(path: str, *more: ToolUse) -> Reply:
    """The executor makes a file, and calls more tools beside that."""
    return calls(ToolUse("str_replace_editor", {"command": "create", "path": path, "file_text": path}), *more)


def both(provider: ScriptedServer) -> None:
    """The replies to a request whose branches are stepped one after the other."""
    provider.add(plans(W1, W2, LIST))
    provider.add(creates("a.txt", ToolUse("bash", {"command": "echo a"})), ends("a is there"), verdict(True))
    provider.add(creates("b.txt"), ends("b is there"), verdict(True), Reply("Both are there."))


async def stepped(stepper: Stepper, subtask: str | None, count: int) -> list[str]:
    """The nodes that so many steps ran."""
    return [(await stepper.step(subtask))["node"] for _ in range(count)]


async def test_a_request_is_stepped_from_its_first_node_to_its_answer(agent: Open, provider: ScriptedServer) -> None:
    both(provider)
    stepper = await agent()
    assert stepper.granularity == "node"
    first = await stepped(stepper, None, 5)
    assert first == ["knowledge", "coordinator", "planner", "review", "dispatcher"]
    assert stepper.last["standing"] == ["w1 brief", "w2 brief"]
    assert await stepped(stepper, "w1", 2) == ["brief", "executor"]
    assert stepper.last["standing"] == ["w1 str_replace_editor", "w1 bash", "w2 brief"]
    made = [one["call"]["args"] for one in stepper.branches if "call" in one]
    assert made == [{"command": "create", "path": "a.txt", "file_text": "a.txt"}, {"command": "echo a"}]
    assert await stepped(stepper, "w1", 4) == ["str_replace_editor", "bash", "executor", "verifier"]
    assert stepper.subtasks == {"w1": "completed", "w2": "next", "ls": "pending"}
    assert any(change["name"] == "w1" for change in stepper.diff()["results"])
    assert await stepped(stepper, "w2", 5) == ["brief", "executor", "str_replace_editor", "executor", "verifier"]
    assert await stepped(stepper, None, 2) == ["list_files", "coordinator"]
    assert (await stepper.step())["reason"] == "finished"
    assert stepper.state["answer"].startswith("Both are there.")
    rows = {(row["subtask"], row["node"]): row for row in stepper.table}
    assert rows["w1", "executor"]["tokens"] > 0
    assert rows["w1", "verifier"]["status"] == "completed"
    assert all(row["seconds"] is not None for row in stepper.table)


async def test_what_is_read_step_by_step_is_what_is_stored(
    agent: Open, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    both(provider)
    stepper = await agent(policy=ASKED)
    while (stop := await stepper.step())["reason"] != "finished":
        assert stop["error"] is None
        if stop["questions"]:
            await stepper.answer("yes")
        shown = [{key: value for key, value in one.items() if key != "current"} for one in stepper.history]
        assert shown == [one.as_json() for one in await thread_history(saver, "t")]
        live = stepper.state
        await stepper.close()
        await stepper.refresh()
        assert stepper.state == live


async def test_run_stops_at_tools_and_verifiers_and_out_ends_a_subtask(agent: Open, provider: ScriptedServer) -> None:
    both(provider)
    stepper = await agent(max_parallel=1)
    stepper.breakpoints.add("tool:bash", when=lambda call: "echo" in call["args"]["command"])
    stop = await stepper.run()
    assert (stop["reason"], stop["branch"], stop["node"]) == ("breakpoint", "w1", "bash")
    stop = await stepper.run_to("verifier")
    assert (stop["reason"], stop["branch"]) == ("reached", "w1")
    await stepper.step()
    assert await stepped(stepper, "w2", 1) == ["brief"]
    stop = await stepper.out()
    assert (stop["standing"], stepper.subtasks["w2"]) == (["ls list_files"], "completed")
    stop = await stepper.next()
    assert stop["standing"] == ["coordinator"]
    assert (await stepper.run())["reason"] == "finished"


async def test_a_question_is_no_longer_open_once_its_subtask_goes_on(agent: Open, provider: ScriptedServer) -> None:
    both(provider)
    stepper = await agent(policy=ASKED)
    await stepped(stepper, None, 5)
    await stepped(stepper, "w1", 3)
    stop = await stepper.step("w1")
    assert "'bash' of w1 asks" in stop["text"]
    assert (stepper.subtasks["w1"], len(stop["questions"])) == ("waiting", 1)
    stop = await stepper.answer("yes")
    assert (stop["questions"], stepper.subtasks["w1"]) == ([], "next")
    assert stop["standing"] == ["w1 executor", "w2 brief"]
    await stepper.close()
    again = await agent(None, policy=ASKED)
    assert again.questions == []
    assert await stepped(again, "w1", 2) == ["executor", "verifier"]
    assert "asks nothing" in (await again.answer("yes"))["text"]


async def test_of_two_questions_of_one_subtask_only_the_answered_call_goes_on(
    agent: Open, provider: ScriptedServer
) -> None:
    three = [ToolUse("bash", {"command": f"echo {name} >> log"}) for name in "xyz"]
    provider.add(plans({"id": "w", "goal": "echo", "agent": "executor"}))
    provider.add(calls(*three), *done("done"), Reply("Done."))
    stepper = await agent(policy=ASKED)
    await stepped(stepper, None, 7)
    await stepped(stepper, "w", 2)
    assert "once what stands beside it in w has run" in stepper.last["text"]
    assert stepper.questions == []
    await stepper.step("w")
    assert len(stepper.questions) == 3
    await stepper.close()
    again = await agent(None, policy=ASKED)
    stop = await again.answer("yes", interrupt=again.questions[1]["id"])
    assert len(stop["questions"]) == 2
    assert len(Path(again.state["workspace"], "log").read_text().split()) == 1
    for _ in range(2):
        await again.answer("yes", interrupt=again.questions[0]["id"])
    assert (await again.run())["reason"] == "finished"
    log = Path(again.state["workspace"], "log").read_text().split()
    assert sorted(log) == ["x", "y", "z"]


async def test_a_clarifying_question_is_answered(agent: Open, provider: ScriptedServer) -> None:
    provider.add(Reply(tool_calls=[ToolUse("ask", {"question": "Which files?"})]), Reply("Hello."))
    stepper = await agent()
    stop = await stepper.run()
    assert (stop["reason"], [one["question"] for one in stop["questions"]]) == ("waiting", ["Which files?"])
    assert (await stepper.step())["reason"] == "waiting"
    stop = await stepper.answer("a.txt")
    assert stop["standing"] == ["coordinator"]
    assert (await stepper.run())["reason"] == "finished"


async def test_what_failed_is_planned_again_and_stands_as_next(agent: Open, provider: ScriptedServer) -> None:
    bad = {"id": "b", "goal": "fails", "tool": "bash", "args": {"command": "test -e now"}}
    after = {"id": "c", "goal": "later", "tool": "list_files", "args": {"pattern": "*"}, "needs": ["b"]}
    other = {"id": "d", "goal": "beside", "tool": "list_files", "args": {"pattern": "*"}}
    provider.add(plans(bad, after, other), plans(bad, after), Reply("It is done."))
    stepper = await agent()
    await stepped(stepper, None, 5)
    stop = await stepper.step("b")
    assert stop["error"] is not None
    assert stepper.subtasks == {"b": "failed", "c": "blocked", "d": "next"}
    stop = await stepper.run_to("subtask:b")
    assert stop["reason"] == "reached", stop
    assert stepper.subtasks["b"] == "next", "of its second round, whatever the first one gave"
    assert stepper.subtasks["c"] == "pending"
    Path(stepper.state["workspace"], "now").touch()
    assert (await stepper.run())["error"] is None
    assert stepper.state["answer"].startswith("It is done.")


async def test_an_executors_input_is_edited_and_its_step_run_again(agent: Open, provider: ScriptedServer) -> None:
    both(provider)
    stepper = await agent()
    await stepped(stepper, None, 5)
    await stepped(stepper, "w1", 2)
    stop: Stop = await stepper.rerun(values={"subtask.goal": "make c.txt"})
    assert (stop["error"], stop["branch"], stop["node"]) == (None, "w1", "executor")
    assert stepper.thread_id == "t-2"
    assert next(one for one in stepper.branches if one["name"] == "w1")["state"]["subtask"]["goal"] == "make c.txt"
    assert [one["name"] for one in stepper.branches if one["status"] == "next"][-1] == "w2"


async def test_going_back_inside_of_an_agents_subtask(agent: Open, provider: ScriptedServer) -> None:
    both(provider)
    stepper = await agent()
    await stepped(stepper, None, 5)
    await stepped(stepper, "w1", 6)
    at = next(row["number"] for row in stepper.table if (row["subtask"], row["node"]) == ("w1", "executor"))
    assert at is not None
    await stepper.goto(at)
    assert stepper.state["messages"][-1].tool_calls[0]["name"] == "str_replace_editor"
    stop = await stepper.step()
    assert (stop["branch"], stop["node"], stepper.thread_id) == ("w1", "str_replace_editor", "t-2")
    assert stop["standing"] == ["w1 bash", "w2 brief"]

"""Questions of servers: asked in the middle of a call, and answered, also after the process has ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import ThreadSaver, list_effects
from openmanus_graph.questions import answers_for
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, done, plans, thread, wants_plan
from tests.cli.conftest import MakeProgram, Program, program_in  # noqa: F401 - a fixture
from tests.mcp.conftest import ROOT, BuildAgent, BuildPlan, call, of_the_sdk, rough

ACCEPTED = {"action": "accept", "content": {"sure": True}}


@pytest.fixture
def ask(build: BuildPlan, tmp_path: Path) -> Callable[..., Any]:
    """Runs a plan with calls that ask; answers them in turn, and gives the results and what was asked."""

    async def execute(server: Any, *subtasks: dict[str, Any], answers: list[str], policy: Any = None) -> Any:
        graph = await build(server, policy=policy)
        config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path / "work")}}
        out = await graph.ainvoke({"plan": {"subtasks": list(subtasks)}}, config)
        asked: list[Any] = []
        for answer in answers:
            if not (questions := await graph.questions("t")):
                break
            asked.append(questions[0])
            out = await graph.ainvoke(Command(resume=answers_for(questions[:1], [answer])), config)
        assert await graph.questions("t") == []
        return out["results"], asked

    return execute


async def test_a_question_of_a_server_is_asked_and_the_call_goes_on(ask: Any, log: Path) -> None:
    results, (asked,) = await ask(rough(log), call("a", "book"), answers=['{"name": "Ada", "guests": 2}'])

    assert results["a"]["output"] == {"asked": {"action": "accept", "content": {"name": "Ada", "guests": 2}}}
    assert log.read_text() == "begun book\n"
    assert asked["subtask"] == "a"
    assert "The MCP server 'demo' asks: Which table?" in asked["question"]
    assert "- name (string, needed): Whose table it is." in asked["question"]
    assert "- guests (integer, needed)" in asked["question"]


@pytest.mark.parametrize(
    ("answer", "response"),
    [
        ("yes", ACCEPTED),
        ("no", {"action": "accept", "content": {"sure": False}}),
        ('{"sure": true}', ACCEPTED),
        ("decline", {"action": "decline"}),
        ("Cancel", {"action": "cancel"}),
    ],
)
async def test_one_value_can_be_given_as_it_is(ask: Any, log: Path, answer: str, response: Any) -> None:
    results, _ = await ask(rough(log), call("a", "confirm"), answers=[answer])
    assert results["a"]["output"] == {"asked": response}


async def test_an_answer_that_does_not_fit_is_asked_for_again(ask: Any, log: Path) -> None:
    wrong = ["Ada", '{"name": "A", "guests": 2}', '{"name": "Ada"}', '{"name": "Ada", "guests": 2, "more": 1}', "{"]
    results, asked = await ask(rough(log), call("a", "book"), answers=[*wrong, '{"name": "Ada", "guests": 2}'])

    assert results["a"]["output"]["asked"]["action"] == "accept"
    assert log.read_text() == "begun book\n"
    reasons = [one.get("refused", "") for one in asked]
    expected = ["", "is one value, and 2 are asked for", "at 'name'", "'guests' is a required", "'more'", "is no JSON"]
    assert all(part in reason for part, reason in zip(expected, reasons, strict=True)), reasons


async def test_an_address_is_shown_and_never_opened(ask: Any, log: Path) -> None:
    results, (asked, again) = await ask(rough(log), call("a", "sign_in"), answers=["what?", "done"])
    assert "It wants you to open https://example.com/sign-in yourself; it is not opened by itself." in asked["question"]
    assert "is none of done, decline and cancel" in again["refused"]
    assert results["a"]["output"] == {"asked": {"action": "accept"}}


async def test_two_equal_questions_are_two(ask: Any, log: Path) -> None:
    results, _ = await ask(rough(log), call("a", "twice"), answers=["yes", "no"])
    given = [answer["content"]["sure"] for answer in results["a"]["output"]["asked"]]
    assert given == [True, False]


async def test_a_question_that_nobody_could_answer_is_cancelled(ask: Any, log: Path) -> None:
    results, _ = await ask(rough(log), call("a", "unsound"), answers=[])
    assert results["a"]["output"]["asked"].get("action", "cancel") == "cancel"


async def test_consent_and_the_servers_question_are_two(ask: Any, log: Path) -> None:
    results, (first, second) = await ask(rough(log), call("a", "confirm"), answers=["yes", "no"], policy="ask")
    assert (first["kind"], second["kind"]) == ("approve", "answer")
    assert results["a"]["output"] == {"asked": {"action": "accept", "content": {"sure": False}}}
    assert log.read_text() == "begun confirm\n"


async def test_several_calls_ask_at_the_same_time(ask: Any, log: Path) -> None:
    """The server does not say about which call it asks: one may be asked again what the other was asked."""
    both = [call("a", "confirm"), call("b", "confirm")]
    results, asked = await ask(rough(log), *both, answers=["yes"] * 4)
    assert {question["kind"] for question in asked} == {"answer"}
    assert [results[name]["output"] for name in "ab"] == [{"asked": ACCEPTED}] * 2
    assert log.read_text() == "begun confirm\n" * 2


async def test_a_server_of_the_newer_kind_is_answered_too(ask: Any, log: Path) -> None:
    results, (asked,) = await ask(of_the_sdk(env={"DEMO_LOG": str(log)}), call("a", "pay", amount=5), answers=["yes"])
    assert "Pay 5?" in asked["question"]
    assert results["a"]["output"] == {"result": "paid 5"}
    assert log.read_text() == "paid 5\n"


# ---------------------------------------------------------------- after the process ended


@pytest.fixture
def served(program_in: MakeProgram, database: str, tmp_path: Path, log: Path) -> Program:  # noqa: F811
    server = rough(log, trust_annotations=True).model_dump(mode="json", exclude_none=True)
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"demo": server}}))
    (tmp_path / "openmanus-graph.toml").write_text('policy = "allow"\n')
    assert str(ROOT) in server["env"]["PYTHONPATH"]
    return program_in(DATABASE_URL=database, OPENMANUS_GRAPH_MCP_FILE=str(tmp_path / "mcp.json"))


def test_a_call_that_reads_is_made_again_with_the_answer_that_is_kept(served: Program, log: Path) -> None:
    out, said = served("run", "--plan", served.plan(call("a", "read_confirm")), "--thread", "t", "--quiet", code=3)
    assert "Really?" in out + said

    out, _ = served("resume", "t", "--json", "--answer", "yes")

    assert json.loads(out.splitlines()[-1])
    assert log.read_text() == "begun read_confirm\n" * 2


@pytest.mark.parametrize("happened", [True, False])
def test_of_another_call_a_person_is_asked_what_it_has_done(served: Program, log: Path, happened: bool) -> None:
    served("run", "--plan", served.plan(call("a", "confirm")), "--thread", "t", "--quiet", code=3)

    out, said = served("resume", "t", "--quiet", "--answer", "yes", code=3)
    assert "Did the call of mcp_demo_confirm that 'a' began" in out + said
    assert log.read_text() == "begun confirm\n"

    served("resume", "t", "--quiet", "--answer", "happened" if happened else "no")
    assert log.read_text() == "begun confirm\n" * (1 if happened else 2)


# ---------------------------------------------------------------- models


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_server_asks_the_model_only_where_it_may(
    provider: ScriptedServer, build_agent: BuildAgent, saver: ThreadSaver, tmp_path: Path, log: Path, allowed: bool
) -> None:
    uses = calls(ToolUse("mcp_demo_sample", {}))
    agent = {"id": "w", "goal": "ask", "agent": "executor"}
    replies = [wants_plan(), plans(agent), uses, *([Reply("Lima")] if allowed else []), *done("x"), Reply("x")]
    provider.add(*replies)
    app = await build_agent(rough(log, sampling=allowed), policy="allow")

    out = await app.ainvoke({"task": "ask"}, thread(workspace=str(tmp_path / "work")))

    assert out["status"] == "completed"
    told = str(provider.requests[4 if allowed else 3].messages)
    assert ("Lima" in told) is allowed
    if allowed:
        asked = provider.requests[3].messages
        assert [(one["role"], one["content"]) for one in asked] == [
            ("system", "Answer with one word."),
            ("user", "What is the capital of Peru?"),
        ]
    assert [effect.status for effect in await list_effects(saver, "t")] == ["done"]

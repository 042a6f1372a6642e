"""Tools of an agent's step: few to begin with, more by name, and none that the policy or the graph does not give."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import StructuredTool

from openmanus_graph import Settings
from openmanus_graph.errors import ModelError
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.models.context import summarised
from openmanus_graph.nodes.offered_tools import MORE_TOOLS, offered_tools
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.plan import Subtask
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.registry import BUILTIN_TOOLS
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, wants_plan

FREE: dict[str, Any] = {"id": "w", "goal": "do it", "agent": "executor"}
NAMED: dict[str, Any] = {**FREE, "tools": ["list_files"]}
DEFAULT = [
    "bash",
    "python_execute",
    "str_replace_editor",
    "list_files",
    "fetch_page",
    "web_search",
    "ask_human",
    "terminate",
    MORE_TOOLS,
]
SOME: dict[str, Any] = {"tool": "fetch_page", "args": {"urls": "https://a/*"}}
ASKED = calls(ToolUse(MORE_TOOLS, {"names": ["planning"]}))


def told(server: ScriptedServer, request: int) -> str:
    """The last result of a tool that a request carries."""
    return [str(message["content"]) for message in server.requests[request].messages if message["role"] == "tool"][-1]


def weather() -> StructuredTool:
    """A tool of a user's own, which says nothing of itself."""
    return StructuredTool.from_function(func=lambda day: f"rain on {day}", name="weather", description="Tell it.")


async def test_an_agent_is_offered_a_few_tools_and_told_of_the_others(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(FREE), *done("x"), Reply("x"))
    await build(tools=[*BUILTIN_TOOLS, weather()]).ainvoke({"task": "do it"}, thread())

    request = provider.requests[2]
    assert sorted(request.tools) == sorted([*DEFAULT, "weather"])
    (more,) = [tool["function"] for tool in request.body["tools"] if tool["function"]["name"] == MORE_TOOLS]
    for name in ("search_files", "http_request", "planning", "create_chat_completion"):
        assert f"\n- {name}: " in more["description"]
    assert "crawl4ai" not in str(request.body["tools"])


async def test_an_agent_that_is_given_tools_gets_those_and_no_others(build: Build, provider: ScriptedServer) -> None:
    tries = calls(ToolUse(MORE_TOOLS, {"names": ["bash"]}), ToolUse("bash", {"command": "touch made"}))
    provider.add(wants_plan(), plans(NAMED), tries, *done("x"), Reply("x"))
    await build().ainvoke({"task": "do it"}, thread())

    assert provider.requests[2].tools == ["list_files", "terminate"]
    assert provider.requests[3].tools == ["list_files", "terminate"]
    assert told(provider, 3) == "There is no tool 'bash'. You have: list_files, terminate."


async def test_what_is_asked_for_is_offered_from_the_next_step_on(build: Build, provider: ScriptedServer) -> None:
    uses = calls(ToolUse("planning", {"command": "create", "title": "T", "steps": ["one"]}))
    provider.add(wants_plan(), plans(FREE), ASKED, uses, *done("x"), Reply("x"))
    out = await build().ainvoke({"task": "do it"}, thread())

    assert out["status"] == "completed"
    assert "planning" not in provider.requests[2].tools
    assert "planning" in provider.requests[3].tools
    assert "planning" in provider.requests[4].tools
    assert "Offered from your next step on: planning." in told(provider, 3)
    assert "'plan_id'" in told(provider, 4).replace('"', "'")


async def test_a_name_that_is_no_tool_is_answered_with_those_there_are(build: Build, provider: ScriptedServer) -> None:
    # The browser is not had on every machine.
    policy = {"rules": [{"tool": name, "action": "deny"} for name in ("http_request", "browser_use", "serve")]}
    asks = calls(ToolUse(MORE_TOOLS, {"names": "search_files, teleport, bash"}), ToolUse(MORE_TOOLS, {}))
    provider.add(wants_plan(), plans(FREE), asks, *done("x"), Reply("x"))
    await build(policy=policy).ainvoke({"task": "do it"}, thread())

    first, second = (m["content"] for m in provider.requests[3].messages if m["role"] == "tool")
    assert first == (
        "Offered from your next step on: search_files. 'bash' is offered already. There is no 'teleport' to be had; "
        "you can ask for: search_files, view_image, deep_research, data_query, "
        "chart, planning, create_chat_completion."
    )
    assert second.startswith("Give 'names'; you can ask for: search_files,")
    assert "search_files" in provider.requests[3].tools


async def test_what_was_asked_for_is_known_again_after_the_process_ended(
    build: Build, provider: ScriptedServer
) -> None:
    provider.add(wants_plan(), plans(FREE), ASKED, Fault.wrong_key())
    with pytest.raises(ModelError):
        await build().ainvoke({"task": "do it"}, thread())
    provider.add(*done("x"), Reply("x"))
    out = await build().ainvoke(None, thread())

    assert out["status"] == "completed"
    assert "planning" in provider.requests[-2].tools


async def test_a_tool_can_be_called_without_asking_but_only_one_that_could_be_had(
    build: Build, provider: ScriptedServer
) -> None:
    """Threads of earlier versions have conversations with calls of tools that were all offered then."""
    uses = calls(
        ToolUse("search_files", {"pattern": "x"}), ToolUse("fetch_page", {"urls": "https://example.com"}), text="both"
    )
    provider.add(wants_plan(), plans(FREE), uses, *done("x"), Reply("x"))
    policy = {"rules": [{"tool": "fetch_page", "action": "deny", "reason": "stay offline"}]}
    await build(policy=policy).ainvoke({"task": "do it"}, thread())

    results = {str(m["content"]) for m in provider.requests[3].messages if m["role"] == "tool"}
    assert '{"matches": [], "truncated": false}' in results
    assert any(text.startswith("There is no tool 'fetch_page'. You have:") for text in results)
    assert "search_files" in provider.requests[3].tools


def roles_of(*rules: dict[str, Any], default: str | None = None, tools: list[Any] | None = None) -> Roles:
    """The roles of a graph with these rules as its policy."""
    settings = Settings.load(llm_model="replay:none.jsonl")
    return build_manus_graph(settings=settings, tools=tools, policy={"rules": list(rules), "default": default}).roles


def names_of(roles: Roles, *messages: BaseMessage) -> list[str]:
    """Names of the tools of a step."""
    return [tool.name for tool in offered_tools(Subtask(**FREE), roles, messages).tools]


@pytest.mark.parametrize(
    ("rules", "default", "offered"),
    [
        ([{"tool": "fetch_page", "action": "deny"}], None, False),
        ([{"tool": "crawl4ai", "action": "deny"}], None, True),
        ([{"tool": "*_page", "effect": "read", "action": "deny"}], None, False),
        ([{"tool": "fetch_page", "effect": "external", "action": "deny"}], None, True),
        ([{"tool": "fetch_page", "args": {"urls": "https://a/*"}, "action": "deny"}], None, True),
        ([{**SOME, "action": "allow"}, {"tool": "*", "action": "deny"}], None, True),
        ([{**SOME, "action": "deny"}, {"tool": "fetch_page", "action": "ask"}], None, True),
        ([], "deny", False),
        ([{"tool": "fetch_page", "action": "ask"}], "deny", True),
    ],
)
def test_what_the_policy_always_refuses_is_not_offered(
    rules: list[dict[str, Any]], default: str | None, offered: bool
) -> None:
    names = names_of(roles_of(*rules, default=default))
    assert ("fetch_page" in names) is offered
    assert "terminate" in names


def test_a_tool_that_reads_with_some_arguments_only_is_refused_if_both_effects_are() -> None:
    asked = AIMessage("", tool_calls=[{"id": "1", "name": MORE_TOOLS, "args": {"names": ["http_request"]}}])
    half = roles_of({"tool": "http_request", "effect": "external", "action": "deny"})
    whole = roles_of({"tool": "http_request", "action": "deny"})

    assert "http_request" in names_of(half, asked)
    assert "http_request" not in names_of(whole, asked)


def test_where_only_such_tools_are_there_they_are_offered_at_once() -> None:
    assert names_of(roles_of(tools=["http_request", "terminate"])) == ["http_request", "terminate"]


def test_a_summary_does_not_take_away_what_was_asked_for() -> None:
    roles = roles_of()
    asked = AIMessage("", tool_calls=[{"id": "1", "name": MORE_TOOLS, "args": {"names": ["planning"]}}])
    kept = offered_tools(Subtask(**FREE), roles, []).answered(asked)
    later = [
        message
        for number in range(5)
        for message in (
            AIMessage("", tool_calls=[{"id": f"c{number}", "name": "bash", "args": {"command": "ls"}}]),
            HumanMessage("go on"),
        )
    ]
    shorter = summarised([HumanMessage("the brief"), *kept, *later], "It was looked at.", 2)

    assert len(shorter) < 3 + len(later)
    assert "planning" in names_of(roles, *shorter)

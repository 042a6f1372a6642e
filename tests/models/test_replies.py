"""Replies: what a model says arrives whole, in pieces and with what it used."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage

from openmanus_graph.config.sections import BudgetSettings, ModelSettings
from openmanus_graph.errors import BudgetError, ModelError
from openmanus_graph.models import providers
from openmanus_graph.models.gateway import usage_of
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.models.conftest import PLACE, Asker, Maker
from tests.models.tools import bash


async def test_a_reply_comes_with_its_events_and_usage(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("It is done, and it was done well enough.", usage=(1000, 50)))
    role = asker(input_usd_per_million=2.0, output_usd_per_million=10.0)

    reply = await role.ask()

    assert reply.text == "It is done, and it was done well enough."
    assert reply.response_metadata["finish_reason"] == "stop"
    assert usage_of(reply) == {
        "calls": 1,
        "input_tokens": 1000,
        "output_tokens": 50,
        "cached_tokens": 0,
        "cost_usd": pytest.approx(0.0025),
        "cache_hits": 0,
    }
    assert [event.get("type") for event in role.events if event.get("type") != "model_tokens"] == [
        "model_started",
        "model_finished",
    ]
    assert "".join(event.get("text", "") for event in role.said("model_tokens")) == reply.text
    finished = role.said("model_finished")[0]
    assert (finished.get("role"), finished.get("subtask"), finished.get("model")) == (
        "executor",
        "s1",
        "openai/scripted",
    )
    assert finished.get("usage") == usage_of(reply)
    assert role.scope.spending.total["input_tokens"] == 1000
    assert len({event.get("id") for event in role.events}) == len(role.events)


async def test_a_model_without_a_known_price_has_an_unknown_cost(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Yes."))

    assert usage_of(await asker().ask())["cost_usd"] is None


async def test_the_price_list_knows_a_known_model(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Yes.", usage=(1_000_000, 0)))

    reply = await asker(model="openai/gpt-4o-mini").ask()

    assert usage_of(reply)["cost_usd"] == pytest.approx(0.15)


async def test_calls_of_tools_arrive_whole(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Let me see.", [ToolUse("bash", {"command": "ls " + "x" * 100}, "c1"), ToolUse("bash", {}, "c2")]))

    reply = await asker().ask(tools=[bash])

    assert reply.tool_calls == [
        ToolCall(type="tool_call", id="c1", name="bash", args={"command": "ls " + "x" * 100}),
        ToolCall(type="tool_call", id="c2", name="bash", args={}),
    ]
    assert server.requests[0].tools == ["bash"]


@pytest.mark.parametrize("arguments", ['{"command": "rm -rf /tmp/a', "ls", '["ls"]'])
async def test_arguments_that_cannot_be_read_are_never_completed(
    server: ScriptedServer, asker: Maker, arguments: str
) -> None:
    server.add(Reply(tool_calls=[ToolUse("bash", arguments, "c1")]))

    reply = await asker().ask(tools=[bash])

    assert reply.tool_calls == []
    (broken,) = reply.invalid_tool_calls
    assert (broken["name"], broken["id"], broken["args"]) == ("bash", "c1", arguments)
    assert "JSON" in str(broken["error"])


async def test_an_answer_to_an_unreadable_call_reaches_the_provider_behind_its_call(
    server: ScriptedServer, asker: Maker
) -> None:
    server.add(Reply(tool_calls=[ToolUse("bash", '{"command": ', "c1")]), Reply("I see."))
    role = asker()
    reply = await role.ask(tools=[bash])

    await role.ask([HumanMessage("Go."), reply, ToolMessage("Not JSON.", tool_call_id="c1")], tools=[bash])

    _, assistant, result = server.requests[1].messages
    assert assistant["tool_calls"][0]["id"] == result["tool_call_id"] == "c1"


async def test_a_reply_that_was_cut_says_so(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("It begins and", finish_reason="length"))

    assert (await asker().ask()).response_metadata["finish_reason"] == "length"


async def test_a_result_without_its_call_is_refused_before_it_is_sent(server: ScriptedServer, asker: Maker) -> None:
    with pytest.raises(ModelError, match="does not follow its call"):
        await asker().ask([HumanMessage("Go."), ToolMessage("ok", tool_call_id="c9")])
    assert server.requests == []


async def test_images_go_only_to_a_model_that_sees_them(server: ScriptedServer, asker: Maker) -> None:
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    messages = [HumanMessage(["Look.", image])]
    server.add(Reply("A picture."), Reply("Nothing."))

    await asker(images=True).ask(messages)
    await asker(images=False).ask(messages)

    assert "aGk=" in str(server.requests[0].messages)
    assert "aGk=" not in str(server.requests[1].messages)
    assert "cannot see" in str(server.requests[1].messages)


async def test_images_of_results_come_in_a_message_of_their_own(server: ScriptedServer, asker: Maker) -> None:
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    call = AIMessage("", tool_calls=[ToolCall(name="bash", args={}, id="c1"), ToolCall(name="bash", args={}, id="c2")])
    results = [ToolMessage(["Seen.", image], tool_call_id="c1"), ToolMessage("ok", tool_call_id="c2")]
    server.add(Reply("A picture."))

    await asker(images=True).ask([HumanMessage("Look."), call, *results], tools=[bash])

    roles = [message["role"] for message in server.requests[0].messages]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    assert "aGk=" in str(server.requests[0].messages[4])
    assert "aGk=" not in str(server.requests[0].messages[2])


async def test_ollama_is_told_how_long_to_keep_a_model(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Hello."), Reply(tool_calls=[ToolUse("bash", {"command": "ls"})]))
    url = server.base_url.removesuffix("/v1")
    role = asker(model="ollama_chat/qwen3", base_url=url, keep_alive="10m", tool_calling=True)

    assert (await role.ask()).text == "Hello."
    acted = await role.ask(tools=[bash])

    assert [(call["name"], call["args"]) for call in acted.tool_calls] == [("bash", {"command": "ls"})]
    assert server.requests[0].body["keep_alive"] == "10m"
    assert usage_of(acted)["cost_usd"] == 0.0


async def test_a_used_up_budget_stops_before_the_call(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("One."), Reply("Two."))
    made = asker()
    role = Asker(made.settings.model_copy(update={"budget": BudgetSettings(model_calls=1)}))
    await role.ask()

    with pytest.raises(BudgetError):
        await role.ask()
    assert len(server.requests) == 1


async def test_what_is_set_for_a_role_reaches_the_provider(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Yes."))

    await asker(temperature=0.3, max_tokens=77, extra={"seed": 5}).ask()

    body = server.requests[0].body
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.3, 77, 5)
    assert body["stream_options"] == {"include_usage": True}


async def test_a_langchain_model_goes_the_same_way(asker: Maker) -> None:
    role = asker(GenericFakeChatModel(messages=iter([AIMessage("Hello there.")])))

    reply = await role.ask()

    assert reply.text == "Hello there."
    assert usage_of(reply)["calls"] == 1
    assert [event.get("text") for event in role.said("model_finished")] == ["Hello there."]
    assert not role.models.importable


async def test_a_langchain_model_without_tools_asks_in_json(asker: Maker) -> None:
    said = '{"actions": [{"tool": "bash", "args": {"command": "ls"}}]}'

    reply = await asker(GenericFakeChatModel(messages=iter([AIMessage(said)]))).ask(tools=[bash])

    assert [(call["name"], call["args"]) for call in reply.tool_calls] == [("bash", {"command": "ls"})]


async def test_tokens_are_counted_and_windows_known(asker: Maker) -> None:
    known, unknown, said = asker(model="openai/gpt-4o-mini"), asker(), asker(window=4096)

    assert known.models.window("executor") == 128_000
    assert unknown.models.window("executor") == 32_768
    assert said.models.window("executor") == 4096
    few = known.models.count_tokens("executor", [SystemMessage("Hello.")])
    many = known.models.count_tokens("executor", [SystemMessage("Hello. " * 1000)])
    assert few < 20 < 1000 < many < 3000
    seen = {"type": "image_url", "image_url": {"url": "http://nowhere.invalid/a.png"}}
    assert known.models.count_tokens("executor", [HumanMessage([seen])]) > 500
    assert known.models.sees_images("executor")
    assert not unknown.models.sees_images("executor")


async def test_calls_a_minute_wait_their_turn(
    server: ScriptedServer, asker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmanus_graph.models.pace.WINDOW_S", 0.5)
    server.add(*[Reply("Yes.")] * 3)
    role = asker(requests_per_minute=2)

    for _ in range(3):
        await role.ask()

    at = [request.at for request in server.requests]
    assert at[2] - at[0] >= 0.45
    assert at[1] - at[0] < 0.45


async def test_first_calls_may_be_made_together(
    server: ScriptedServer, asker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openmanus_graph.models.providers._router", functools.cache(providers._router.__wrapped__))  # pyright: ignore[reportPrivateUsage] - as in a fresh process
    monkeypatch.setattr("openmanus_graph.models.providers._added", set[str]())
    server.add(*[Reply("Yes.")] * 8)

    replies = await asyncio.gather(*[asker(model=f"openai/model-{number}").ask() for number in range(8)])

    assert [reply.text for reply in replies] == ["Yes."] * 8


async def test_roles_have_models_of_their_own(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Plan."), Reply("Done."))
    role = asker(model="openai/small", roles={"planner": ModelSettings(model="openai/large")})

    await role.models.reply(type(PLACE)("planner"), [HumanMessage("Plan.")], scope=role.scope, emit=role.events.append)
    await role.ask()

    assert [request.body["model"] for request in server.requests] == ["large", "small"]


def test_the_gateway_does_not_import_litellm() -> None:
    code = "import sys, openmanus_graph.models.gateway; sys.exit('litellm' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_recorded_replies_are_replayed_without_litellm(
    server: ScriptedServer, asker: Maker, tmp_path: Path
) -> None:
    server.add(Reply("Recorded words.", [ToolUse("bash", {"command": "ls"}, "c1")], usage=(30, 7)))
    file = tmp_path / "replies.jsonl"
    made = asker()
    recorded = await Asker(made.settings.model_copy(update={"record": file})).ask(tools=[bash])

    role = asker(f"replay:{file}")
    replayed = await role.ask(tools=[bash])

    assert (replayed.text, replayed.tool_calls) == (recorded.text, recorded.tool_calls)
    assert usage_of(replayed)["cost_usd"] == 0.0
    assert usage_of(replayed)["input_tokens"] == 30
    assert role.said("model_tokens")[0].get("text") == "Recorded words."
    assert len(server.requests) == 1
    assert "sk-scripted-key" not in file.read_text()


def test_replay_needs_no_litellm(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text(
        '{"format": "openmanus-graph recording", "version": 1, "source": "hand"}\n'
        '{"place": "executor/s1/1", "text": "From the file."}\n'
    )
    code = """
import asyncio, sys
from langchain_core.messages import HumanMessage
from openmanus_graph.models.gateway import Models
from openmanus_graph.call_site import CallSite
from openmanus_graph.scope import Scope
from openmanus_graph.config.settings import Settings
settings = Settings.load(llm_model="replay:" + sys.argv[1])
models = Models(settings)
models.require()
scope = Scope("t", settings, None)
reply = asyncio.run(models.reply(CallSite("executor", "s1"), [HumanMessage("x")], scope=scope, emit=lambda event: None))
models.window("executor"), models.count_tokens("executor", [HumanMessage("x")])
assert reply.text == "From the file.", reply
assert "litellm" not in sys.modules
"""
    ended: Any = subprocess.run([sys.executable, "-c", code, str(file)], check=False, capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr


async def test_a_fault_of_the_script_is_seen(server: ScriptedServer, asker: Maker) -> None:
    del server
    with pytest.raises(ModelError, match="no more replies"):
        await asker().ask()


def test_faults_have_names() -> None:
    assert Fault.overflow().code == "context_length_exceeded"

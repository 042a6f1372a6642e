"""How the agent works with the models it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from openmanus_graph import Settings, ThreadSaver, build_manus_graph, get_thread, stored_events
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, ends, plans, thread, verdict, wants_plan

WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}


class Fake(GenericFakeChatModel):
    """A chat model of a Python program that can be bound to tools."""

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Ignore the tools."""
        return self


async def test_a_chat_model_object_works_without_any_setting(saver: ThreadSaver) -> None:
    model = Fake(messages=iter([AIMessage("Hello from Python.")]))
    app = build_manus_graph(model).compile(checkpointer=saver)
    out = await app.ainvoke({"task": "hi"}, thread())
    assert out["answer"] == "Hello from Python."
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.graph["importable"] is False


async def test_roles_have_models_of_their_own(provider: ScriptedServer, saver: ThreadSaver, tmp_path: Path) -> None:
    settings = Settings.load(
        home=tmp_path / "home",
        llm_base_url=provider.base_url,
        llm_api_key="sk-scripted",
        models={"planner": {"model": "openai/unused"}},
    )
    models = {"default": "openai/quick", "planner": "openai/clever"}
    app = build_manus_graph(models, settings=settings).compile(checkpointer=saver)
    provider.add(
        wants_plan(), plans({"id": "a", "goal": "a", "tool": "bash", "args": {"command": "true"}}), Reply("ok")
    )
    await app.ainvoke({"task": "do it"}, thread())
    assert [request.body["model"] for request in provider.requests] == ["quick", "clever", "quick"]


async def test_a_model_that_cannot_call_tools_works_with_actions_in_text(
    build: Build, provider: ScriptedServer
) -> None:
    work = '{"goal": "do it", "done_when": "", "tools": ["bash"]}'

    def says(body: dict[str, Any]) -> Reply | Fault:
        if body.get("tools"):
            return Fault.no_tools()
        text = str(body["messages"])
        if "You check whether one subtask" in text:
            return Reply('{"verified": true, "why": "The shell said fine."}')
        if "You carry out one subtask" in text:
            if "fine\\\\n" in text or "stdout" in text:
                return Reply('{"tool": "terminate", "args": {"status": "success", "answer": "fine"}}')
            return Reply('I will look.\n{"tool": "bash", "args": {"command": "echo fine"}}')
        return Reply(f'{{"tool": "delegate", "args": {work}}}')

    with ScriptedServer(says) as server:
        settings = {"llm_base_url": server.base_url}
        app = build_manus_graph(
            settings=Settings.load(llm_model="openai/plain", llm_api_key="sk-scripted", **settings)
        ).compile()
        out = await app.ainvoke({"task": "say fine"}, thread())
    assert (out["status"], out["answer"]) == ("completed", "fine")
    assert out["results"]["c1"]["output"] == "fine"
    refused = [request for request in server.requests if request.body.get("tools")]
    assert len(refused) == 1, "it was probed once"


async def test_older_messages_are_summarised_when_the_window_fills(build: Build, provider: ScriptedServer) -> None:
    steps = [calls(ToolUse("bash", {"command": f"seq {number} {number + 900}"})) for number in range(4)]
    window = {"models": {"default": {"window": 12_000}}, "summarise_at": 0.5}

    def says(body: dict[str, Any]) -> Reply:
        text = str(body["messages"])
        tools = {tool["function"]["name"] for tool in body.get("tools") or []}
        if "delegate" in tools:
            return plans(WORK)
        if "verdict" in tools:
            return verdict(True)
        if "terminate" not in tools:
            return Reply("Counted so far: 3 lists.") if "messages to summarise" in text else Reply("Done.")
        done = sum(message["role"] == "tool" for message in body["messages"])
        return ends("counted") if "Counted so far" in text else steps[min(done, 3)]

    with ScriptedServer(says) as server:
        settings = Settings.load(
            llm_model="openai/small", llm_base_url=server.base_url, llm_api_key="sk-scripted", **window
        )
        out = await build_manus_graph(settings=settings).compile().ainvoke({"task": "count"}, thread())
    assert out["results"]["w"]["output"] == "counted"
    last = [request for request in server.requests if "terminate" in request.tools][-1]
    assert "Summary of the work so far" in str(last.messages)
    assert all(request.prompt_tokens < 12_000 for request in server.requests)


async def test_prompts_and_instructions_are_the_users(build: Build, provider: ScriptedServer, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "coordinator.md").write_text("<!-- mine, version 7 -->\nYou are a parrot.")
    provider.add(Reply("Squawk."))
    await build(settings={"prompts": folder}, instructions="Speak Latin.").ainvoke({"task": "hi"}, thread())
    system = str(provider.requests[0].messages[0]["content"])
    assert system.startswith("You are a parrot.")
    assert "Speak Latin." in system
    assert "version 7" not in system


async def test_usage_is_in_results_events_and_the_database(
    build: Build, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    prices = {"models": {"default": {"input_usd_per_million": 1.0, "output_usd_per_million": 10.0}}}
    provider.add(
        wants_plan(),
        plans(WORK),
        Reply(tool_calls=[ToolUse("terminate", {"status": "success", "answer": "x"})], usage=(1000, 100)),
        Reply(tool_calls=[ToolUse("verdict", {"verified": True, "why": "It is x."})], usage=(500, 50)),
    )
    out = await build(settings=prices).ainvoke({"task": "do it"}, thread())
    usage = out["results"]["w"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (1500, 150)
    assert abs(usage["cost_usd"] - 0.003) < 1e-9
    events = await stored_events(saver, "t")
    kinds = [event.get("type") for event in events]
    assert kinds[0] == "run_started"
    assert kinds[-1] == "run_finished"
    assert "model_tokens" not in kinds
    assert events[-1].get("usage", {}).get("calls") == 4
    async with saver.connection() as connection:
        rows = await (await connection.execute("SELECT role, subtask FROM model_calls ORDER BY number")).fetchall()
    found = [(row["role"], row["subtask"]) for row in rows]
    assert found == [("coordinator", ""), ("planner", ""), ("executor", "w"), ("verifier", "w")]

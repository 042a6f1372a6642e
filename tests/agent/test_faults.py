"""What a provider can do wrong: every fault ends as a clear sentence or is overcome, and never as a false success."""

from __future__ import annotations

import pytest

from openmanus_graph import Settings, ThreadSaver, get_thread
from openmanus_graph.errors import ModelError, ModelRefusedError, NoModelError
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, wants_plan

SAY = {"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "printf a"}}
WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}


def test_no_model_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLM_MODEL", "LLM_BASE_URL", "LLM_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoModelError) as raised:
        build_manus_graph(settings=Settings.load())
    assert "LLM_MODEL" in str(raised.value)


async def test_a_wrong_key_stops_the_run_and_resumes_once_it_is_mended(
    build: Build, provider: ScriptedServer, saver: ThreadSaver
) -> None:
    provider.add(wants_plan(), plans(WORK), Fault.wrong_key("sk-secret-one"))
    app = build()
    with pytest.raises(ModelRefusedError) as raised:
        await app.ainvoke({"task": "do it"}, thread())
    assert "executor" in str(raised.value)
    assert "sk-secret-one" not in str(raised.value)
    assert len(provider.requests) == 3, "it was not tried again"
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "stopped"
    provider.add(*done("done"), Reply("done"))
    out = await app.ainvoke(None, thread())
    assert (out["status"], out["answer"]) == ("completed", "done")


async def test_a_rate_limit_is_waited_for(build: Build, provider: ScriptedServer) -> None:
    provider.add(Fault.rate_limit(0.1), Reply("Hello."))
    out = await build().ainvoke({"task": "hi"}, thread())
    assert out["answer"] == "Hello."


async def test_a_stream_that_breaks_off_is_no_reply(build: Build, provider: ScriptedServer) -> None:
    provider.add(Fault.breaks_off(Reply("This is half of what")), Reply("Hello."))
    out = await build().ainvoke({"task": "hi"}, thread())
    assert out["answer"] == "Hello."


async def test_malformed_arguments_go_back_to_the_model(build: Build, provider: ScriptedServer) -> None:
    broken = calls(ToolUse("bash", '{"command": "printf'), ToolUse("bash", {"command": "printf fine"}))
    provider.add(wants_plan(), plans(WORK), broken, *done("fine"), Reply("fine"))
    out = await build().ainvoke({"task": "do it"}, thread())
    assert out["status"] == "completed"
    told = [m["content"] for m in provider.requests[3].messages if m["role"] == "tool"]
    assert any("not valid JSON" in text for text in told)
    assert any('"stdout": "fine"' in text for text in told)


async def test_a_tool_that_does_not_exist_is_named(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(WORK), calls(ToolUse("rm_rf", {})), *done("fine"), Reply("fine"))
    out = await build().ainvoke({"task": "do it"}, thread())
    assert out["status"] == "completed"
    assert "There is no tool 'rm_rf'" in str(provider.requests[3].messages[-1]["content"])


async def test_a_tool_that_the_subtask_does_not_allow_cannot_be_called(build: Build, provider: ScriptedServer) -> None:
    provider.add(wants_plan(), plans(WORK), calls(ToolUse("python_execute", {"code": "1"})), *done("x"), Reply("x"))
    await build().ainvoke({"task": "do it"}, thread())
    assert provider.requests[2].tools == ["bash", "terminate"]
    assert "There is no tool 'python_execute'" in str(provider.requests[3].messages[-1]["content"])


async def test_a_reply_cut_at_its_limit_is_not_taken_for_the_result(build: Build, provider: ScriptedServer) -> None:
    cut = Reply("The result is that", finish_reason="length")
    provider.add(wants_plan(), plans(WORK), cut, *done("whole"), Reply("whole"))
    out = await build().ainvoke({"task": "do it"}, thread())
    assert out["results"]["w"]["output"] == "whole"


async def test_an_overflow_shortens_the_context(build: Build, provider: ScriptedServer) -> None:
    long = calls(ToolUse("bash", {"command": "seq 1 4000"}))
    provider.add(wants_plan(), plans(WORK), long, Fault.overflow(), *done("counted"), Reply("counted"))
    out = await build().ainvoke({"task": "do it"}, thread())
    assert out["results"]["w"]["output"] == "counted"
    before, after = provider.requests[3], provider.requests[4]
    assert after.prompt_tokens < before.prompt_tokens


async def test_an_empty_reply_is_no_success(build: Build, provider: ScriptedServer) -> None:
    empty = [Reply("") for _ in range(6)]
    provider.add(wants_plan(), plans(WORK), *empty)
    app = build(settings={"models": {"default": {"retries": 1}}})
    try:
        out = await app.ainvoke({"task": "do it"}, thread())
    except ModelError:
        return
    assert out["status"] == "failed"


async def test_a_provider_that_is_down_fails_the_subtask_and_not_silently(
    build: Build, provider: ScriptedServer
) -> None:
    down = [Fault(503, "Overloaded.", retry_after="0.05") for _ in range(2)]
    provider.add(wants_plan(), plans(WORK), *down, Reply("It could not be done."))
    out = await build(settings={"models": {"default": {"retries": 1}}}).ainvoke({"task": "do it"}, thread())
    assert out["status"] == "failed"
    assert "executor" in out["results"]["w"]["error"]

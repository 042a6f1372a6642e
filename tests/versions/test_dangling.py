"""Dangling: calls without a result are answered as interrupted once nobody will make them, and not before."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict, cast

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from openmanus_graph import ThreadSaver, get_thread
from openmanus_graph.graphs.user.user_graph import make_durable
from openmanus_graph.models.context import INTERRUPTED
from openmanus_graph.state import appended
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.replies import calls, ends, plans, verdict
from tests.chains import thread
from tests.interpreter import Interpreter, kill

from .conftest import warnings_of

pytestmark = pytest.mark.postgres


class Growing(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], DeltaChannel(appended)]


def call(name: str, key: str) -> Any:
    return {"name": name, "args": {}, "id": key, "type": "tool_call"}


def providers_take(messages: list[Any]) -> bool:
    """Whether every call is followed by its result, as providers ask."""
    open_calls: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            if message.tool_call_id not in open_calls:
                return False
            open_calls.remove(message.tool_call_id)
        elif open_calls:
            return False
        elif isinstance(message, AIMessage):
            open_calls = [str(made["id"]) for made in message.tool_calls]
    return not open_calls


def talking(schema: Any, tools: list[Any], seen: list[list[Any]]) -> StateGraph[Any, Any, Any, Any]:
    """A graph whose model calls both tools for "work", and says how many messages it was given otherwise."""

    def model(state: Any) -> dict[str, Any]:
        messages = state["messages"]
        seen.append(list(messages))
        assert providers_take(messages), "a provider would have refused this"
        if messages[-1].content == "work":
            return {"messages": [AIMessage("", tool_calls=[call("quick", "q"), call("slow", "s")])]}
        return {"messages": [AIMessage(f"{len(messages)} messages")]}

    def after(state: Any) -> str:
        return "tools" if state["messages"][-1].tool_calls else END

    graph = StateGraph(schema)
    graph.add_node("model", cast("Any", model))
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", after, ["tools", END])
    graph.add_edge("tools", "model")
    return graph


@tool
async def quick() -> str:
    """Answer at once."""
    return "quickly"


def slow_tool(body: Callable[[], Any]) -> Any:
    @tool
    async def slow() -> Any:
        """Take long."""
        return await body()

    return slow


async def cancelled(app: Any, begun: asyncio.Event) -> None:
    """A run that is cancelled in the midst of a tool."""
    running = asyncio.create_task(app.ainvoke({"messages": [HumanMessage("work")]}, thread()))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("schema", [MessagesState, Growing])
async def test_a_new_input_after_a_cancelled_call_finds_it_interrupted(saver: ThreadSaver, schema: Any) -> None:
    begun, seen = asyncio.Event(), list[list[Any]]()

    async def never() -> None:
        begun.set()
        await asyncio.sleep(60)

    app = make_durable(talking(schema, [quick, slow_tool(never)], seen), saver)
    await cancelled(app, begun)
    out = await app.ainvoke({"messages": [HumanMessage("hello")]}, thread())
    assert [message.type for message in out["messages"]] == ["human", "ai", "tool", "tool", "human", "ai"]
    assert [message.content for message in out["messages"][2:4]] == [INTERRUPTED, INTERRUPTED]
    (told,) = await warnings_of(saver)
    assert "2 calls of 'quick', 'slow' without a result" in told


async def test_going_on_makes_the_call_that_only_has_not_run_yet(saver: ThreadSaver) -> None:
    begun, seen, ran = asyncio.Event(), list[list[Any]](), list[str]()

    async def once() -> str:
        ran.append("slow")
        if len(ran) == 1:
            begun.set()
            await asyncio.sleep(60)
        return "slowly"

    app = make_durable(talking(MessagesState, [quick, slow_tool(once)], seen), saver)
    await cancelled(app, begun)
    out = await app.ainvoke(None, thread())
    assert [message.content for message in out["messages"]] == ["work", "", "quickly", "slowly", "4 messages"]
    assert len(seen) == 2
    assert await warnings_of(saver) == []


async def test_a_call_that_waits_for_a_person_is_left_alone(saver: ThreadSaver) -> None:
    seen: list[list[Any]] = []

    async def asks() -> str:
        return f"a person says {interrupt('may I?')}"

    app = make_durable(talking(MessagesState, [quick, slow_tool(asks)], seen), saver)
    await app.ainvoke({"messages": [HumanMessage("work")]}, thread())
    await app.ainvoke(None, thread())  # looked at once more, and it still waits
    row = await get_thread(saver, "t")
    assert row is not None
    assert (row.status, len(row.questions)) == ("waiting", 1)
    out = await app.ainvoke(Command(resume={row.questions[0]["id"]: {"kind": "answer", "value": "yes"}}), thread())
    assert out["messages"][3].content == "a person says yes"
    assert await warnings_of(saver) == []


async def test_an_input_that_brings_the_result_is_taken_as_it_is(saver: ThreadSaver) -> None:
    def model(state: MessagesState) -> dict[str, Any]:
        if isinstance(state["messages"][-1], HumanMessage):
            return {"messages": [AIMessage("", tool_calls=[call("ask", "a")])]}
        return {"messages": [AIMessage("thanks")]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", model)
    graph.add_edge(START, "model")
    app = make_durable(graph, saver)
    await app.ainvoke({"messages": [HumanMessage("hi")]}, thread())
    out = await app.ainvoke({"messages": [{"role": "tool", "content": "42", "tool_call_id": "a"}]}, thread())
    assert [message.content for message in out["messages"]] == ["hi", "", "42", "thanks"]


@pytest.mark.parametrize("schema", [MessagesState, Growing])
async def test_an_old_gap_is_mended_where_it_is(saver: ThreadSaver, schema: Any) -> None:
    seen: list[list[Any]] = []
    graph = StateGraph(schema)
    graph.add_node("keep", cast("Any", lambda _: {}))
    graph.add_edge(START, "keep")
    gap = [HumanMessage("a"), AIMessage("", tool_calls=[call("slow", "s")]), HumanMessage("b"), AIMessage("c")]
    await make_durable(graph, saver).ainvoke({"messages": gap}, thread())
    app = make_durable(talking(schema, [quick], seen), saver)
    out = await app.ainvoke({"messages": [HumanMessage("d")]}, thread(force=True))
    assert [message.type for message in out["messages"]] == ["human", "ai", "tool", "human", "ai", "human", "ai"]
    again = await app.ainvoke({"messages": [HumanMessage("e")]}, thread())
    assert len(again["messages"]) == 9


WORKER = Path(__file__).parents[1] / "agent" / "worker.py"


def answers(body: dict[str, Any]) -> Reply:
    """What a model would say: two calls, then the end."""
    tools = {made["function"]["name"] for made in body.get("tools") or []}
    results = [message for message in body["messages"] if message["role"] == "tool"]
    if "delegate" in tools:
        return plans({"id": "work", "goal": "write", "agent": "executor", "tools": ["bash"]})
    if "terminate" in tools:
        if not results:
            slow = ToolUse("bash", {"command": "echo slow >> log; test -e go || { touch go; sleep 30; }"})
            return calls(ToolUse("bash", {"command": "echo quick >> log"}), slow)
        return ends("done")
    if "verdict" in tools:
        return verdict(True)
    raise AssertionError(f"nobody offers {tools}")


@pytest.mark.kill
def test_a_killed_executor_is_not_told_that_a_pending_call_was_interrupted(
    database: str, tmp_path: Path, interpreter: Interpreter
) -> None:
    with ScriptedServer(answers) as provider:
        command = [interpreter.python(), str(WORKER), database, provider.base_url, "t", "write"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert any(line.strip() == "tool_returned" for line in process.stdout)  # one of the two
            log = tmp_path / "openmanus-work" / "t" / "log"
            while "slow" not in log.read_text():
                time.sleep(0.02)
            time.sleep(0.5)  # the other call's result is committed
            kill(process)
        asked = len(provider.requests)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        ended = json.loads(done.stdout.splitlines()[-1])
        assert ended["status"] == "completed", done.stderr
        assert len(provider.requests) > asked
        assert "Interrupted" not in json.dumps([request.body for request in provider.requests])
    assert sorted(log.read_text().split()) == ["quick", "slow", "slow"]

"""Plans: a thread of a plan, or of the agent, goes on only with the tools and agents that it still needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from openmanus_graph import Settings, ThreadSaver, build_plan_graph, get_thread
from openmanus_graph.errors import ThreadVersionError
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.registry import builtin
from tests.agent.replies import calls, done, plans, wants_plan
from tests.chains import thread

from .conftest import row_of, warnings_of

pytestmark = pytest.mark.postgres

TEXT = {"type": "string"}


def note(effect: str = "write", required: tuple[str, ...] = (), **arguments: Any) -> BaseTool:
    """A tool that notes what it is given."""

    async def noted(**given: Any) -> dict[str, Any]:
        return {"given": sorted(given)}

    schema = {"type": "object", "properties": arguments, "required": list(required)}
    return StructuredTool.from_function(
        coroutine=noted, name="note", description="Note.", args_schema=schema, metadata={"effect": effect}
    )


PLAN = {
    "subtasks": [
        {"id": "first", "tool": "note", "args": {"text": "a", "tag": "b"}},
        {"id": "color", "tool": "ask_human", "args": {"inquire": "Which color?"}, "needs": ["first"]},
        {"id": "last", "tool": "note", "args": {"text": "${color.answer}"}, "needs": ["color"]},
    ]
}


def app_of(saver: ThreadSaver, *tools: BaseTool) -> DurableGraph:
    return build_plan_graph([*tools, builtin("ask_human")]).compile(checkpointer=saver)


async def answer(saver: ThreadSaver, value: str = "blue") -> Any:
    """The answer to the thread's one question."""
    row = await get_thread(saver, "t")
    assert row is not None
    return Command(resume={row.questions[0]["id"]: {"kind": "answer", "value": value}})


USED = note(text=TEXT, tag=TEXT)


@pytest.mark.parametrize(
    ("tools", "differences"),
    [
        ([note(text=TEXT, tag=TEXT, more=TEXT), builtin("list_files")], []),
        ([builtin("list_files")], ["the tool 'note' is gone, and the subtask 'first' uses it"]),
        ([note(text=TEXT)], ["the tool 'note' has lost its argument 'tag', which the subtask 'first' gives"]),
        (
            [note(text=TEXT, tag=TEXT, more=TEXT, required=("more",))],
            ["the tool 'note' now needs the argument 'more', which the subtask 'first' does not give"],
        ),
    ],
    ids=["more", "gone", "lost", "needs"],
)
async def test_the_tools_of_a_plan_must_still_take_its_calls(
    saver: ThreadSaver, tools: list[BaseTool], differences: list[str]
) -> None:
    await app_of(saver, USED).ainvoke({"plan": PLAN}, thread())
    app = app_of(saver, *tools)
    if differences:
        with pytest.raises(ThreadVersionError) as caught:
            await app.ainvoke(await answer(saver), thread())
        assert caught.value.differences == differences
        row = await get_thread(saver, "t")
        assert row is not None
        assert (row.status, len(row.questions)) == ("waiting", 1)
        app = app_of(saver, USED)
    out = await app.ainvoke(await answer(saver), thread())
    assert out["results"]["last"]["status"] == "completed"
    assert len(await warnings_of(saver)) == (0 if differences else 1)


async def test_an_external_tool_that_calls_itself_harmless_is_refused(saver: ThreadSaver) -> None:
    await app_of(saver, note("external", text=TEXT, tag=TEXT)).ainvoke({"plan": PLAN}, thread())
    with pytest.raises(ThreadVersionError, match="the effect of the tool 'note' was external and is now read"):
        await app_of(saver, note("read", text=TEXT, tag=TEXT)).ainvoke(await answer(saver), thread())


async def test_a_new_plan_on_the_thread_needs_nothing_of_the_old_one(saver: ThreadSaver) -> None:
    app = app_of(saver, USED)
    await app.ainvoke({"plan": PLAN}, thread())
    await app.ainvoke(await answer(saver), thread())
    other = {"subtasks": [{"id": "files", "tool": "list_files", "args": {"pattern": "*"}}]}
    out = await app_of(saver, builtin("list_files")).ainvoke({"plan": other}, thread())
    assert out["results"]["files"]["status"] == "completed"
    assert "the tool 'note' is gone" in (await warnings_of(saver))[0]


async def test_an_edited_plan_may_do_without_the_tool_that_is_gone(saver: ThreadSaver) -> None:
    await app_of(saver, USED).ainvoke({"plan": PLAN}, thread())
    resume = (await answer(saver)).resume
    edited = {"subtasks": [{"id": "files", "tool": "list_files", "args": {"pattern": "*"}}]}
    app = app_of(saver, builtin("list_files"))
    out = await app.ainvoke(Command(resume=resume, update={"plan": edited}), thread())
    assert out["results"]["files"]["status"] == "completed"


@pytest.fixture
def settings(provider: ScriptedServer, tmp_path: Path) -> Settings:
    return Settings.load(
        home=tmp_path / "home", llm_model="openai/scripted", llm_base_url=provider.base_url, llm_api_key="sk-scripted"
    )


@pytest.fixture
def provider() -> Any:
    with ScriptedServer() as server:
        yield server


WORK = {"id": "work", "goal": "note it", "agent": "executor", "tools": ["note", "ask_human"]}


async def begin(saver: ThreadSaver, settings: Settings, provider: ScriptedServer, tool: BaseTool) -> None:
    """The agent works on a subtask up to a question, after a call of `note`."""
    provider.add(
        wants_plan(),
        plans(WORK),
        calls(ToolUse("note", {"text": "a", "tag": "b"})),
        calls(ToolUse("ask_human", {"inquire": "Which color?"})),
    )
    app = manus(saver, settings, tool)
    await app.ainvoke({"task": "note something"}, thread())
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "waiting"


def manus(saver: ThreadSaver, settings: Settings, *tools: BaseTool, **options: Any) -> DurableGraph:
    chosen = [*tools, builtin("ask_human"), builtin("terminate")]
    return build_manus_graph(tools=chosen, settings=settings, policy="allow", **options).compile(checkpointer=saver)


async def test_an_agent_must_have_the_tool_that_its_open_subtask_has_called(
    saver: ThreadSaver, settings: Settings, provider: ScriptedServer
) -> None:
    await begin(saver, settings, provider, USED)
    with pytest.raises(ThreadVersionError) as caught:
        await manus(saver, settings, note(text=TEXT)).ainvoke(await answer(saver), thread())
    assert caught.value.differences == [
        "the tool 'note' has lost its argument 'tag', which the subtask 'work' gives",
    ]
    with pytest.raises(ThreadVersionError, match="the tool 'note' is gone, and the subtask 'work' uses it"):
        await manus(saver, settings).ainvoke(await answer(saver), thread())
    provider.add(*done("noted"))
    out = await manus(saver, settings, USED, builtin("list_files")).ainvoke(await answer(saver), thread())
    assert out["answer"] == "noted"
    assert "the tool 'list_files' is new" in (await warnings_of(saver))[0]


async def test_a_new_request_needs_nothing_of_the_last_one(
    saver: ThreadSaver, settings: Settings, provider: ScriptedServer
) -> None:
    await begin(saver, settings, provider, USED)
    provider.add(*done("noted"), Reply("Hello again."))
    await manus(saver, settings, USED).ainvoke(await answer(saver), thread())
    out = await manus(saver, settings, instructions="Be brief.").ainvoke({"task": "hello"}, thread())
    assert out["answer"] == "Hello again."
    (told,) = await warnings_of(saver)
    assert "the tool 'note' is gone" in told
    assert "the prompts of coordinator, executor, knowledge, planner, reporter, verifier, vision have changed" in told
    assert "node" not in told  # a tool is a node of the graph that runs subtasks; that is said once


async def test_an_agent_of_ones_own_that_a_plan_needs_must_be_there(
    saver: ThreadSaver, settings: Settings, provider: ScriptedServer
) -> None:
    inner = StateGraph(MessagesState)
    inner.add_node("reply", cast("Any", lambda _: {}))
    inner.add_edge(START, "reply")
    plan = {
        "subtasks": [
            {"id": "color", "tool": "ask_human", "args": {"inquire": "Which color?"}},
            {"id": "help", "goal": "help", "agent": "helper", "needs": ["color"]},
        ]
    }
    await manus(saver, settings, agents={"helper": inner.compile()}).ainvoke({"plan": plan}, thread())
    with pytest.raises(ThreadVersionError) as caught:
        await manus(saver, settings).ainvoke(await answer(saver), thread())
    assert caught.value.differences == ["the agent 'helper' is gone, and the subtask 'help' uses it"]
    assert (await row_of(saver))["status"] == "waiting"


async def test_a_graph_of_ones_own_below_a_subtask_is_looked_into(
    saver: ThreadSaver, settings: Settings, provider: ScriptedServer
) -> None:
    def helper(*names: str) -> Any:
        graph, before = StateGraph(MessagesState), START
        for name in names:
            asks = name == "ask"
            graph.add_node(
                name, cast("Any", lambda _, asks=asks: {"messages": [AIMessage(str(interrupt("?") if asks else "ok"))]})
            )
            graph.add_edge(before, name)
            before = name
        return graph.compile()

    plan = {"subtasks": [{"id": "help", "goal": "help", "agent": "helper"}]}
    await manus(saver, settings, agents={"helper": helper("begin", "ask")}).ainvoke({"plan": plan}, thread())
    with pytest.raises(ThreadVersionError) as caught:
        await manus(saver, settings, agents={"helper": helper("begin", "inquire")}).ainvoke(
            await answer(saver), thread()
        )
    assert caught.value.differences == [
        "the node 'ask' of the graph inside 'agent_helper' is gone, and the thread is about to run it"
    ]
    provider.add(Reply("All done."))
    app = manus(saver, settings, agents={"helper": helper("start", "ask")})
    out = await app.ainvoke(await answer(saver), thread())
    assert out["results"]["help"]["output"] == "blue"
    assert "the node 'begin' of the graph inside 'agent_helper' is gone" in (await warnings_of(saver))[0]

"""Effects: those before a point stay recorded in a fork, those after it are new intents."""

from __future__ import annotations

import pytest
from langchain_core.tools import BaseTool, tool

from openmanus_graph import ThreadSaver, build_plan_graph, fork_thread, list_effects, tool_context
from openmanus_graph.checkpoints.history.checkpoint_ref import points_of
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import with_effect

KEYS: list[str | None] = []


@tool
async def pay(amount: int) -> str:
    """Pay."""
    KEYS.append(tool_context().idempotency_key)
    return f"paid {amount}"


TOOLS: list[BaseTool] = [with_effect(pay, "external")]
PAYS = plan(
    subtask("one", "pay", args={"amount": 1}),
    subtask("two", "pay", ["one"], args={"amount": 2}),
    subtask("beside", "pay", args={"amount": 3}),
)


@pytest.mark.parametrize(
    ("address", "again"), [("two:0", {"two"}), ("one:0", {"one", "two"}), ("1", {"one", "two", "beside"})]
)
async def test_up_to_the_point(saver: ThreadSaver, address: str, again: set[str]) -> None:
    KEYS.clear()
    app = build_plan_graph(TOOLS, policy="allow").compile(checkpointer=saver)
    await app.ainvoke({"plan": PAYS}, thread())
    before = {one.subtask: one.key for one in await list_effects(saver, "t")}
    assert sorted(before.values()) == sorted(map(str, KEYS))
    fork = await fork_thread(saver, f"t@{address}")
    kept = {one.subtask for one in await list_effects(saver, fork.thread.thread_id)}
    assert kept == before.keys() - again
    KEYS.clear()
    await app.ainvoke(None, thread(fork.thread.thread_id))
    after = {one.subtask: one.key for one in await list_effects(saver, fork.thread.thread_id)}
    assert {name for name in after if after[name] != before[name]} == again
    assert sorted(map(str, KEYS)) == sorted(after[name] for name in again)


async def test_a_whole_copy_makes_no_call_again(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS, policy="allow").compile(checkpointer=saver)
    await app.ainvoke({"plan": PAYS}, thread())
    KEYS.clear()
    fork = await fork_thread(saver, "t")
    assert fork.thread.status == "completed"
    await app.ainvoke(None, thread(fork.thread.thread_id))
    assert KEYS == []
    assert len(await list_effects(saver, fork.thread.thread_id)) == 3
    assert len(await points_of(saver, fork.thread.thread_id)) == len(await points_of(saver, "t"))

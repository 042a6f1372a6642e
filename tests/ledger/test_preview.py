"""Previews: what a resume would keep, run, repeat and ask, said before and without running or writing anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openmanus_graph import ThreadSaver, build_manus_graph, build_plan_graph, resume_preview
from openmanus_graph.errors import UnknownThreadError
from openmanus_graph.tools.ask_human import ask_human
from tests.engine.plans import plan, subtask, thread
from tests.ledger.model import TurnsModel
from tests.ledger.paying import hang, paying, refuses
from tests.ledger.stopping import cancelled

pytestmark = pytest.mark.postgres


async def stored(saver: ThreadSaver) -> list[Any]:
    """Everything that a preview could have changed."""
    async with saver.connection() as connection:
        found = await connection.execute(
            "SELECT (SELECT count(*) FROM checkpoints) AS c, (SELECT count(*) FROM checkpoint_writes) AS w,"
            " (SELECT count(*) FROM events) AS e, (SELECT max(updated_at) FROM threads) AS u,"
            " (SELECT max(runner_epoch) FROM threads) AS r, (SELECT string_agg(token, '') FROM effects) AS t"
        )
        return await found.fetchall()


async def test_each_subtask_of_a_plan_has_its_fate(saver: ThreadSaver) -> None:
    tools = [paying("pay"), hang, refuses, ask_human]
    app = build_plan_graph(tools).compile(checkpointer=saver)
    given: Any = plan(
        subtask("a", "pay", args={"amount": 1}),
        subtask("b", "hang", ["a"], args={"amount": 1}),
        subtask("c", "pay", ["b"], args={"amount": 2}),
        subtask("d", "refuses", args={"times": 9}),
        subtask("e", "pay", ["d"], args={"amount": 3}),
        subtask("f", "pay", ["e"], args={"amount": 3}),
        subtask("q", "ask_human", args={"inquire": "Which?"}),
    )
    await cancelled(app.ainvoke({"plan": given}, thread()))
    before = await stored(saver)
    found = await resume_preview(app, "t")

    assert await stored(saver) == before
    assert (found.status, found.nodes) == ("stopped", ("dispatcher",))
    assert {one.id: (one.action, one.status) for one in found.subtasks} == {
        "a": ("kept", "completed"),
        "b": ("continues", None),
        "c": ("starts", None),
        "d": ("kept", "failed"),
        "e": ("blocked", None),
        "f": ("blocked", None),
        "q": ("waits", None),
    }
    going_on = {one.id: (one.step, one.nodes) for one in found.subtasks if one.nodes}
    assert going_on == {"b": (1, ("hang",)), "q": (1, ("ask_human",))}
    actions = {one.subtask: (one.tool, one.action) for one in found.effects}
    assert actions == {"a": ("pay", "recorded"), "b": ("hang", "asked"), "d": ("refuses", "recorded")}
    assert json.loads(json.dumps(found.as_json()))["subtasks"][1]["nodes"] == ["hang"]


async def test_an_agent_goes_on_in_the_middle_of_its_loop(saver: ThreadSaver) -> None:
    model = TurnsModel(turns=[[("pay", {"amount": 1})], [("pay", {"amount": 2}), ("hang", {"amount": 1})]])
    app = build_manus_graph(model, tools=[paying("pay"), hang], policy="allow").compile(checkpointer=saver)
    given: Any = {"plan": plan({"id": "agent", "goal": "pay", "agent": "executor"})}
    await cancelled(app.ainvoke(given, thread()))
    (agent,) = (await resume_preview(app, "t")).subtasks

    # START, brief, executor, pay, executor came before; of the two calls, the one that ended is not made again.
    assert (agent.action, agent.step, agent.nodes) == ("continues", 5, ("hang",))


async def test_after_the_end_what_is_not_completed_starts_anew(saver: ThreadSaver) -> None:
    app = build_plan_graph([paying("pay"), refuses]).compile(checkpointer=saver)
    given: Any = plan(subtask("a", "pay", args={"amount": 1}), subtask("b", "refuses", args={"times": 9}))
    await app.ainvoke({"plan": given}, thread())
    found = await resume_preview(app, "t")

    assert (found.status, found.nodes) == ("failed", ())
    assert [(one.id, one.action) for one in found.subtasks] == [("a", "kept"), ("b", "starts anew")]


async def test_an_unknown_thread_is_refused(saver: ThreadSaver) -> None:
    app = build_plan_graph([hang]).compile(checkpointer=saver)
    with pytest.raises(UnknownThreadError, match="'nobody'"):
        await resume_preview(app, "nobody")

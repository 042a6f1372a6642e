"""Intents: what counts as the same call over retries, failures, further rounds and turns of an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command
from psycopg import sql

from openmanus_graph import (
    ThreadSaver,
    build_manus_graph,
    build_plan_graph,
    delete_thread,
    find_thread,
    list_effects,
)
from openmanus_graph.questions import answers_for
from tests.engine.plans import plan, subtask, thread
from tests.ledger.model import TurnsModel
from tests.ledger.paying import CALLED, asks, breaks, hang, large, lines, made, paying, refuses

pytestmark = pytest.mark.postgres


def app_of(saver: ThreadSaver, *tools: Any, **options: Any) -> Any:
    return build_plan_graph(tools, **options).compile(checkpointer=saver)


async def answer(app: Any, *texts: str) -> Any:
    given = answers_for(await app.questions("t"), list(texts))
    return await app.ainvoke(Command(resume=given), thread())


async def test_a_call_is_written_down_with_its_result_and_without_secrets(saver: ThreadSaver) -> None:
    app = app_of(saver, made(_sends))
    args = {"text": "x" * 500, "password": "hunter2", "url": "https://me:hunter2@example.org/"}
    await app.ainvoke({"plan": plan(subtask("s", "sends", args=args))}, thread())

    (effect,) = await list_effects(saver, "t")
    assert (effect.status, effect.tries, effect.tool, effect.subtask) == ("done", 1, "sends", "s")
    assert effect.as_json()["result"] == "sent"
    assert "hunter2" not in str(vars(effect))
    assert effect.finished_at is not None
    assert effect.finished_at >= effect.claimed_at


async def _sends(text: str, password: str, url: str) -> str:
    """Send."""
    del text, password, url
    return "sent"


@pytest.mark.parametrize(("facts", "kept"), [({"effect": "read"}, 0), ({"effect": "write", "ledger": True}, 1)])
async def test_only_effects_outside_are_kept_unless_a_tool_asks_for_it(
    saver: ThreadSaver, facts: dict[str, Any], kept: int
) -> None:
    async def plain() -> str:
        """Do something."""
        return "done"

    await app_of(saver, made(plain, **facts)).ainvoke({"plan": plan(subtask("s", "plain"))}, thread())
    assert len(await list_effects(saver, "t")) == kept


async def test_a_known_failure_is_tried_again_under_the_same_key(saver: ThreadSaver) -> None:
    app = app_of(saver, refuses)
    given = plan(subtask("s", "refuses", args={"times": 1}, retries=1))
    out = await app.ainvoke({"plan": given}, thread())

    assert out["results"]["s"]["output"] == "well"
    (effect,) = await list_effects(saver, "t")
    assert (effect.status, effect.tries, effect.attempt) == ("done", 2, 2)
    assert lines(CALLED) == [f"refuses {effect.key}"] * 2


async def test_a_call_with_an_unknown_outcome_is_asked_about_before_it_is_made_in_a_later_round(
    saver: ThreadSaver,
) -> None:
    app = app_of(saver, breaks)
    out = await app.ainvoke({"plan": plan(subtask("s", "breaks", args={"times": 1}, retries=3))}, thread())
    assert "What the call did is unknown" in out["results"]["s"]["error"]
    assert lines(CALLED) == ["breaks"]

    await app.ainvoke({"plan": plan(subtask("s", "breaks", args={"times": 1}, retries=3))}, thread())
    (question,) = await app.questions("t")
    assert question["kind"] == "effect"
    assert "the line is dead" in question.get("reason", "")
    assert lines(CALLED) == ["breaks"]
    out = await answer(app, "no")
    assert (out["results"]["s"]["output"], len(lines(CALLED))) == ("well", 2)
    (effect,) = await list_effects(saver, "t")
    assert (effect.status, effect.tries) == ("done", 2)


async def test_a_call_that_ran_out_of_time_and_happened_is_not_made_again(saver: ThreadSaver) -> None:
    app = app_of(saver, hang)
    given = plan(subtask("s", "hang", args={"amount": 1}, timeout_s=0.05))
    await app.ainvoke({"plan": given}, thread())
    await app.ainvoke({"plan": given}, thread())
    out = await answer(app, "happened")

    assert out["results"]["s"]["status"] == "completed"
    assert out["results"]["s"]["output"]["happened"] is True
    assert lines(CALLED) == ["hang 1"]


async def test_only_a_word_on_what_happened_ends_the_question(saver: ThreadSaver) -> None:
    app = app_of(saver, breaks)
    given = plan(subtask("s", "breaks", args={"times": 1}))
    await app.ainvoke({"plan": given}, thread())
    await app.ainvoke({"plan": given}, thread())
    for kind, value in (("step", "happened"), ("approve", True), ("answer", "happened"), ("effect", "yes")):
        (question,) = await app.questions("t")
        await app.ainvoke(Command(resume={question["id"]: {"kind": kind, "value": value}}), thread())
    (question,) = await app.questions("t")
    assert "yes" in question.get("refused", "")
    assert lines(CALLED) == ["breaks"]
    out = await answer(app, '= {"sent": 3}')
    assert out["results"]["s"]["output"] == {"sent": 3}
    assert lines(CALLED) == ["breaks"]


async def test_the_same_call_in_another_turn_of_an_agent_is_another_intent(saver: ThreadSaver) -> None:
    turn = [("pay", {"amount": 5}), ("pay", {"amount": 5})]
    app = build_manus_graph(TurnsModel(turns=[turn, turn]), tools=[paying("pay")], policy="allow")
    given = plan({"id": "agent", "goal": "pay", "agent": "executor"})
    out = await app.compile(checkpointer=saver).ainvoke({"plan": given}, thread())  # pyright: ignore - a plain dict

    assert out["results"]["agent"]["status"] == "completed"
    assert len(set(lines())) == 4
    assert len({effect.call_id for effect in await list_effects(saver, "t")}) == 4


async def test_an_agent_that_repeats_a_call_with_an_unknown_outcome_has_a_person_asked(saver: ThreadSaver) -> None:
    model = TurnsModel(turns=[[("breaks", {"times": 1})], [("breaks", {"times": 1})]])
    app = build_manus_graph(model, tools=[breaks], policy="allow").compile(checkpointer=saver)
    given: Any = {"plan": plan({"id": "agent", "goal": "try", "agent": "executor"})}
    await app.ainvoke(given, thread())
    assert [question["kind"] for question in await app.questions("t")] == ["effect"]
    await answer(app, "happened")

    assert lines(CALLED) == ["breaks"]
    assert "what it returned is not known" in model.told[-1]


async def lose_checkpoints(saver: ThreadSaver) -> None:
    """What a crash between a settlement and the checkpoint that follows it leaves, and more."""
    async with saver.connection() as connection:
        for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes"):
            await connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))


async def test_a_recorded_result_is_given_whole_even_where_it_is_large(saver: ThreadSaver, tmp_path: Path) -> None:
    config = thread(workspace=str(tmp_path / "w"))
    given = plan(subtask("s", "large"), subtask("t", "measure", args={"text": "${s}"}))
    app = app_of(saver, large, made(_measure, effect="read"))
    await app.ainvoke({"plan": given}, config)
    (effect,) = await list_effects(saver, "t")
    assert effect.result_file is not None
    assert len(effect.result or "") < 5_000
    await lose_checkpoints(saver)
    out = await app.ainvoke({"plan": given}, config)
    assert out["results"]["t"]["output"] == 50_000

    await lose_checkpoints(saver)
    (tmp_path / "w" / effect.result_file).unlink()
    out = await app.ainvoke({"plan": given}, config)
    assert "its result is gone" in out["results"]["s"]["error"]
    assert lines(CALLED) == ["large"]


async def _measure(text: str) -> int:
    return len(text)


async def test_a_thread_made_again_under_its_id_has_other_intents(saver: ThreadSaver) -> None:
    app = app_of(saver, paying("pay"))
    given = plan(subtask("s", "pay", args={"amount": 1}))
    for _ in range(2):
        await app.ainvoke({"plan": given}, thread())
        await delete_thread(saver, await find_thread(saver, "t"))
    assert len(set(lines())) == 2


@pytest.mark.parametrize("policy", ["allow", "ask"])
async def test_a_tool_that_asks_by_itself_begins_again_with_the_answer(saver: ThreadSaver, policy: str) -> None:
    app = app_of(saver, asks, policy=policy)
    await app.ainvoke({"plan": plan(subtask("s", "asks"))}, thread())
    if policy == "ask":
        await answer(app, "yes")
    (effect,) = await list_effects(saver, "t")
    assert effect.status == "waiting"
    out = await answer(app, "7")
    assert out["results"]["s"]["output"] == "7"
    assert lines() == ["asks 7"]
    (effect,) = await list_effects(saver, "t")
    assert (effect.status, effect.tries) == ("done", 2)

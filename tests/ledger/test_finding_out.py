"""Finding out what became of a call: by the tool, else by a person, and for one try at a time."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import ThreadSaver, build_plan_graph, resume_preview
from openmanus_graph.questions import answers_for
from tests.engine.plans import plan, subtask, thread
from tests.ledger.paying import CALLED, hang, lines, made
from tests.ledger.stopping import cancelled

pytestmark = pytest.mark.postgres


async def test_a_person_who_approved_a_call_is_asked_what_became_of_it_and_not_for_consent_again(
    saver: ThreadSaver,
) -> None:
    app = build_plan_graph([hang], policy="ask").compile(checkpointer=saver)
    given: Any = plan(subtask("s", "hang", args={"amount": 1}))
    await app.ainvoke({"plan": given}, thread())
    approved: Any = Command(resume=answers_for(await app.questions("t"), ["yes"]))
    await cancelled(app.ainvoke(approved, thread()))
    assert [one.action for one in (await resume_preview(app, "t")).effects] == ["asked"]
    await app.ainvoke(None, thread())
    (question,) = await app.questions("t")
    assert question["kind"] == "effect"
    assert lines(CALLED) == ["hang 1"]
    out = await app.ainvoke(Command(resume=answers_for([question], ["= 1"])), thread())
    assert out["results"]["s"]["output"] == 1
    assert lines(CALLED) == ["hang 1"]


async def test_a_word_that_it_did_not_happen_holds_for_one_more_try_only(saver: ThreadSaver) -> None:
    app = build_plan_graph([hang]).compile(checkpointer=saver)
    given: Any = plan(subtask("s", "hang", args={"amount": 1}))
    await cancelled(app.ainvoke({"plan": given}, thread()))
    for tries in (1, 2):
        await app.ainvoke(None, thread())
        (question,) = await app.questions("t")
        assert question["kind"] == "effect"
        assert lines(CALLED) == ["hang 1"] * tries
        again: Any = Command(resume=answers_for([question], ["no"]))
        await cancelled(app.ainvoke(again, thread()), calls=tries + 1)


async def test_a_tool_may_find_out_or_fail_to(saver: ThreadSaver) -> None:
    said: list[Any] = [RuntimeError("no line"), "perhaps", None, {"happened": True}]

    async def verify(args: dict[str, Any], context: Any) -> Any:
        assert (args, context.subtask_id) == ({"amount": 1}, "s")
        answer = said.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    unsure = made(_hangs, verify=verify)
    app = build_plan_graph([unsure]).compile(checkpointer=saver)
    await cancelled(app.ainvoke({"plan": plan(subtask("s", "hangs", args={"amount": 1}))}, thread()))
    for words in ("no line", "perhaps", "its process ended"):
        await app.ainvoke(None, thread())
        (question,) = await app.questions("t")
        assert words in question.get("reason", "")
    out = await app.ainvoke(None, thread())
    assert out["results"]["s"]["output"]["happened"] is True
    assert lines(CALLED) == ["hang 1"]


async def _hangs(amount: int) -> None:
    await hang.ainvoke({"amount": amount})

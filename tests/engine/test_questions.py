"""Questions: suspended branches, several at once, answers by id, of the right kind, and from elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.types import Command

from openmanus_graph import ThreadSaver, build_plan_graph, get_thread, open_checkpointer
from openmanus_graph.checkpoints.threads import store_answers
from openmanus_graph.errors import UnknownQuestionError
from openmanus_graph.nodes.dispatcher import Dispatch
from openmanus_graph.nodes.dispatching.branches import Branches
from openmanus_graph.nodes.dispatching.task_calls import TaskCalls
from openmanus_graph.questions import Answer, answers_for

from .plans import plan, subtask, thread
from .sample_tools import TOOLS

pytestmark = pytest.mark.postgres


def ask(name: str, **fields: Any) -> dict[str, Any]:
    return subtask(name, "ask_human", args={"inquire": f"What about {name}?"}, **fields)


def answer(value: Any, kind: str = "answer") -> dict[str, Any]:
    return {"kind": kind, "value": value}


async def test_the_other_branch_completes_while_one_waits(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        ask("q"),
        subtask("after", "echo", args={"value": "${q.answer}"}),
        subtask("a"),
        subtask("b", needs=["a"]),
    )
    finished = [
        event["subtask"]
        async for event in app.astream({"plan": given}, thread(), stream_mode="custom")
        if event["type"] == "subtask_finished"
    ]
    assert finished == ["a", "b"]
    row = await get_thread(saver, "t")
    assert row is not None
    assert row.status == "waiting"
    assert [question["question"] for question in row.questions] == ["What about q?"]
    (question,) = await app.questions("t")
    out = await app.ainvoke(Command(resume={question["id"]: answer("42")}), thread())
    assert out["results"]["after"]["output"] == "42"
    assert (await get_thread(saver, "t")).status == "completed"  # type: ignore[union-attr]


async def test_two_questions_at_once_answered_one_at_a_time_by_others(saver: ThreadSaver, database: str) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    out = await app.ainvoke({"plan": plan(ask("q1"), ask("q2"), subtask("a", needs=["q1", "q2"]))}, thread())
    assert len(out["__interrupt__"]) == 2
    questions = await app.questions("t")
    assert {question["subtask"] for question in questions} == {"q1", "q2"}
    async with open_checkpointer(database) as other:
        second = build_plan_graph(TOOLS).compile(checkpointer=other)
        answers: Any = answers_for(questions, ["q2=two"])
        out = await second.ainvoke(Command(resume=answers), thread())
    (left,) = await app.questions("t")
    assert left["subtask"] == "q1"
    out = await app.ainvoke(Command(resume={left["id"]: answer("one")}), thread())
    assert out["results"]["q1"]["output"] == {"answer": "one"}
    assert out["results"]["q2"]["output"] == {"answer": "two"}
    assert out["results"]["a"]["status"] == "completed"


async def test_an_answer_of_another_kind_asks_again(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a", approval=True))}, thread())
    (question,) = await app.questions("t")
    assert question["kind"] == "approve"
    for wrong in (answer("go", "step"), answer("yes", "answer"), "yes", True):
        out = await app.ainvoke(Command(resume={question["id"]: wrong}), thread())
        assert "__interrupt__" in out
        assert "a" not in out.get("results", {})
        (question,) = await app.questions("t")
    out = await app.ainvoke(Command(resume={question["id"]: answer(True, "approve")}), thread())
    assert out["results"]["a"]["status"] == "completed"


async def test_a_rejected_call_is_skipped_and_blocks_what_needs_it(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(subtask("a", approval=True), subtask("b", needs=["a"]))}, thread())
    (question,) = await app.questions("t")
    out = await app.ainvoke(Command(resume={question["id"]: answer(False, "approve")}), thread())
    assert out["results"]["a"]["status"] == "skipped"
    assert out["results"]["b"]["status"] == "blocked"


async def test_an_unknown_question_is_refused(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(ask("q"))}, thread())
    with pytest.raises(UnknownQuestionError, match="no open question"):
        await app.ainvoke(Command(resume={"0" * 32: answer("x")}), thread())
    (question,) = await app.questions("t")
    assert question["subtask"] == "q"
    assert (await get_thread(saver, "t")).status == "waiting"  # type: ignore[union-attr]


async def until_questions(reader: Any, count: int) -> list[Any]:
    """The open questions once there are so many, while the run goes on."""
    for _ in range(1_000):
        if len(questions := await reader.questions("t")) == count:
            return questions
        await asyncio.sleep(0.05)
    pytest.fail(f"there were never {count} open questions")


async def test_an_answer_that_arrives_while_others_run_is_taken_up(
    saver: ThreadSaver, database: str, tmp_path: Path
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        ask("q"),
        subtask("after", "echo", ["q"], args={"value": "${q.answer}"}),
        subtask("slow", "wait_for", args={"file": str(tmp_path / "go")}),
        subtask("end", needs=["slow"]),
    )
    running = asyncio.create_task(app.ainvoke({"plan": given}, thread()))
    async with open_checkpointer(database) as other:
        reader = build_plan_graph(TOOLS).compile(checkpointer=other)
        given_answers: dict[str, Answer] = answers_for(await until_questions(reader, 1), ["blue"])
        await store_answers(other, "t", given_answers)
    (tmp_path / "go").touch()
    out = await asyncio.wait_for(running, 60)
    assert out["results"]["after"]["output"] == "blue"
    assert out["results"]["end"]["status"] == "completed"
    assert out["results"]["slow"]["attempts"] == 1


async def test_an_answered_question_is_not_open_while_what_follows_it_runs(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    follows = subtask("follows", "wait_for", ["first"], args={"file": str(tmp_path / "go")})
    await app.ainvoke({"plan": plan(ask("first"), ask("second"), follows)}, thread())
    first, second = sorted(await app.questions("t"), key=lambda question: str(question["subtask"]))
    running = asyncio.create_task(app.ainvoke(Command(resume={first["id"]: answer("one")}), thread()))
    assert [question["id"] for question in await until_questions(app, 1)] == [second["id"]]
    (tmp_path / "go").touch()
    out = await asyncio.wait_for(running, 60)
    assert [interrupt.id for interrupt in out["__interrupt__"]] == [second["id"]]
    assert [question["id"] for question in await app.questions("t")] == [second["id"]]


async def test_a_question_of_a_call_that_another_kind_of_run_made_is_closed(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    with monkeypatch.context() as patch:  # as before subtasks were branches
        patch.setattr(Dispatch, "_calls", _calls_of_tasks)
        await app.ainvoke({"plan": plan(ask("first"), ask("second"))}, thread())
    first, second = sorted(await app.questions("t"), key=lambda question: str(question["subtask"]))
    await app.ainvoke(Command(resume={first["id"]: answer("one")}), thread())
    assert [question["id"] for question in await app.questions("t")] == [second["id"]]


async def test_a_question_is_closed_whose_process_died_before_it_could_note_that(
    saver: ThreadSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    await app.ainvoke({"plan": plan(ask("first"), ask("second"))}, thread())
    first, second = sorted(await app.questions("t"), key=lambda question: str(question["subtask"]))
    with monkeypatch.context() as patch:
        patch.setattr(Branches, "_close_all", _nothing)
        await app.ainvoke(Command(resume={first["id"]: answer("one")}), thread())
    assert len(await app.questions("t")) == 2
    await app.ainvoke(None, thread())
    assert [question["id"] for question in await app.questions("t")] == [second["id"]]


async def _calls_of_tasks(self: Dispatch, known: Any) -> TaskCalls[Any]:
    return TaskCalls()


async def _nothing(*_: Any) -> None:
    return None

"""Clean text: no reply that was paid for is lost to a character, wherever a model puts it."""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from openmanus_graph import ThreadSaver, build_manus_graph, get_thread, stored_events
from openmanus_graph.models.clean_text import cleaned
from openmanus_graph.models.stream import TokenStream
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, plans, thread, wants_plan

HALVES = "\ud83d\ude00"
"""An emoji as some servers send it: in two halves, which a stream may cut apart."""
ODD = f"{HALVES * 40} a\0b \ud83d"
CLEAN = f"{'😀' * 40} a\ufffdb \ufffd"


@pytest.mark.postgres
async def test_an_answer_is_joined_and_cleaned(build: Build, provider: ScriptedServer, saver: ThreadSaver) -> None:
    app = build()
    provider.add(Reply(f"{HALVES}{ODD}"), Reply("It is."))
    tokens: list[str] = []
    async for event in app.astream({"task": f"hi \0 {HALVES} \ud83d"}, thread(), stream_mode="custom"):
        json.dumps(event, ensure_ascii=False).encode()
        tokens += [event["text"]] if event["type"] == "model_tokens" else []
    assert "".join(tokens) == f"😀{CLEAN}"
    values = (await app.snapshot("t")).values
    assert values["answer"] == f"😀{CLEAN}"
    assert values["task"] == "hi \ufffd 😀 \ufffd"
    row = await get_thread(saver, "t")
    assert row is not None and (row.status, row.title) == ("completed", "hi \ufffd 😀 \ufffd")
    # What was said goes into the next prompt.
    out = await app.ainvoke({"task": "is it?"}, thread())
    assert out["answer"] == "It is."


@pytest.mark.postgres
async def test_a_question_is_asked_and_answered(build: Build, provider: ScriptedServer, saver: ThreadSaver) -> None:
    from langgraph.types import Command

    app = build()
    asks = {"id": "q", "goal": "ask", "tool": "ask_human", "args": {"inquire": ODD}}
    provider.add(wants_plan(), plans(asks), Reply("Thanks."))
    await app.ainvoke({"task": "ask me"}, thread())
    (question,) = await app.questions("t")
    assert question["question"] == CLEAN
    row = await get_thread(saver, "t")
    assert row is not None and row.questions[0]["question"] == CLEAN
    answer: Any = {"kind": "answer", "value": "y\0es \ud83d"}
    out = await app.ainvoke(Command(resume={question["id"]: answer}), thread())
    assert out["status"] == "completed"


@pytest.mark.postgres
async def test_arguments_and_a_plan_are_cleaned(build: Build, provider: ScriptedServer, saver: ThreadSaver) -> None:
    app = build()
    work = {"id": "w", "goal": f"do it {ODD}", "agent": "executor", "tools": ["str_replace_editor"]}
    writes = {"command": "create", "path": "note.txt", "file_text": ODD}
    provider.add(
        wants_plan(),
        plans(work, goal=ODD),
        calls(ToolUse("str_replace_editor", writes), text=ODD),
        *done(ODD),
        Reply(ODD),
    )
    out = await app.ainvoke({"task": "write"}, thread())
    assert out["status"] == "completed"
    assert out["answer"].startswith(CLEAN)
    assert out["plan"]["goal"] == CLEAN
    called = [event for event in await stored_events(saver, "t") if event.get("type") == "tool_called"]
    assert called[0].get("args", {})["file_text"] == CLEAN


class Kind(enum.StrEnum):
    STOP = "stop"


class Odd(BaseChatModel):
    """A chat model of a Python program that streams code points and puts values of classes beside its reply."""

    words: str

    @property
    def _llm_type(self) -> str:
        return "odd"

    def bind_tools(self, *_: Any, **__: Any) -> Any:
        """Ignore the tools."""
        return self

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.words))])

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        for letter in self.words:
            yield ChatGenerationChunk(message=AIMessageChunk(content=letter))
        end = AIMessageChunk(
            content="", response_metadata={"reason": Kind.STOP, "raw": [object()], "score": float("nan")}
        )
        yield ChatGenerationChunk(message=end)


@pytest.mark.postgres
async def test_values_of_classes_beside_a_reply_become_plain(saver: ThreadSaver) -> None:
    app = build_manus_graph(Odd(words=ODD)).compile(checkpointer=saver)
    out = await app.ainvoke({"task": "hi"}, thread())
    assert out["answer"] == CLEAN
    assert (await app.snapshot("t")).values["answer"] == CLEAN


def test_a_clean_message_stays_itself() -> None:
    message = AIMessage(
        [{"type": "text", "text": "a 😀"}],
        tool_calls=[{"name": "bash", "args": {"n": [1, 2.5, None, True]}, "id": "1"}],
        additional_kwargs={"signature": b"\xff"},
    )
    assert cleaned(message) is message
    odd = HumanMessage([{"type": "text", "text": ODD}], name="a\0")
    assert cleaned(odd).content == [{"type": "text", "text": CLEAN}]
    assert odd.content == [{"type": "text", "text": ODD}]


def test_a_stream_holds_back_half_an_emoji(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("openmanus_graph.models.stream.EVERY_S", 0.0)
    stream = TokenStream(said.append)
    for piece in ("a\ud83d", "\ude00b", "\ud83d"):
        stream.add(piece)
    stream.end()
    assert said == ["a", HALVES + "b", "\ud83d"]

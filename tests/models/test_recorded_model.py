"""Recording and replaying in graphs of one's own, where a model knows nothing but its prompt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from pydantic import BaseModel, Field

from openmanus_graph.errors import RecordingError
from openmanus_graph.models.recording import Replay
from openmanus_graph.testing import record_model, replay_model, replaying, write_recording


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Died(Exception):  # noqa: N818 - stands for the end of a process
    """The process is gone."""


class Adder(BaseChatModel):
    """Adds 1 three times, one call of the tool after the other, then says the sum."""

    calls: list[int] = Field(default_factory=list[int])

    @property
    def _llm_type(self) -> str:
        return "adder"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[LanguageModelInput, AIMessage]:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        results = [message.text for message in messages if isinstance(message, ToolMessage)]
        self.calls.append(len(results))
        if len(results) == 3:
            reply = AIMessage(f"It is {results[-1]}.")
        else:
            args = {"a": int((results or ["0"])[-1]), "b": 1}
            reply = AIMessage("", tool_calls=[{"name": "add", "args": args, "id": f"c{len(results)}"}])
        return ChatResult(generations=[ChatGeneration(message=reply)])


def loop(model: BaseChatModel, saver: InMemorySaver | None = None, dies_at: int = -1) -> CompiledStateGraph[Any]:
    """A loop of a model and a tool; its tool node fails at the given number of messages."""
    bound = model.bind_tools([add])

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    async def act(state: MessagesState) -> dict[str, Any]:
        if len(state["messages"]) == dies_at:
            raise Died
        last = state["messages"][-1]
        assert isinstance(last, AIMessage)
        return {"messages": [await add.ainvoke({**call, "type": "tool_call"}) for call in last.tool_calls]}

    def goes_on(state: MessagesState) -> str:
        return "act" if getattr(state["messages"][-1], "tool_calls", None) else END

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", goes_on, ["act", END])
    graph.add_edge("act", "think")
    return graph.compile(checkpointer=saver)


TASK: Any = {"messages": [HumanMessage("Count.")]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.jsonl"


async def test_a_graph_of_ones_own_is_recorded_and_replayed(path: Path) -> None:
    live = await loop(record_model(Adder(), path, role="adder")).ainvoke(TASK)

    with replaying(path):
        again = await loop(replay_model(path, role="adder")).ainvoke(TASK)

    assert [message.text for message in again["messages"]] == [message.text for message in live["messages"]]
    assert Replay(path).places == [f"adder/-/{turn}" for turn in (1, 2, 3, 4)]


async def test_a_resumed_graph_goes_on_with_the_next_reply(path: Path) -> None:
    await loop(record_model(Adder(), path)).ainvoke(TASK)
    saver, config = InMemorySaver(), RunnableConfig(configurable={"thread_id": "t"})
    with pytest.raises(Died):
        await loop(replay_model(path), saver, dies_at=4).ainvoke(TASK, config)

    ended = await loop(replay_model(path), saver).ainvoke(None, config)  # as another process would

    assert ended["messages"][-1].text == "It is 3."
    assert len(ended["messages"]) == 8


async def test_a_resumed_graph_is_recorded_into_the_same_file(path: Path) -> None:
    saver, config = InMemorySaver(), RunnableConfig(configurable={"thread_id": "t"})
    with pytest.raises(Died):
        await loop(record_model(Adder(), path), saver, dies_at=4).ainvoke(TASK, config)
    await loop(record_model(Adder(), path), saver).ainvoke(None, config)

    assert Replay(path).places == [f"executor/-/{turn}" for turn in (1, 2, 3, 4)]
    assert (await loop(replay_model(path)).ainvoke(TASK))["messages"][-1].text == "It is 3."


async def test_a_hand_written_loop_is_resumed_by_the_replies_in_its_prompt(path: Path) -> None:
    call = {"name": "add", "args": {"a": 1, "b": 1}}
    write_recording(path, {"executor/-/1": {"tool_calls": [call]}, "executor/-/2": "Two."})
    prompt = [
        HumanMessage("Count."),
        AIMessage("", tool_calls=[{**call, "id": "c"}]),
        ToolMessage("2", tool_call_id="c"),
    ]

    assert (await replay_model(path).ainvoke(prompt)).text == "Two."
    model = replay_model(path)
    assert [(await model.ainvoke(prompt)).text for _ in range(2)] == ["Two.", "Two."]  # a node that is tried again


async def test_prompts_without_history_are_told_apart_by_what_they_say(path: Path) -> None:
    class Echo(Adder):
        def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
            self.calls.append(1)
            return ChatResult(generations=[ChatGeneration(message=AIMessage(f"{messages[-1].text} {len(self.calls)}"))])

    live = record_model(Echo(), path)
    for word in ("a", "b", "a"):
        await live.ainvoke(word)
    model = replay_model(path)

    assert [(await model.ainvoke(word)).text for word in ("b", "a", "a", "a")] == ["b 2", "a 1", "a 3", "a 3"]


async def test_hand_written_prompts_without_history_are_answered_in_order(path: Path) -> None:
    write_recording(path, {"executor/-/1": "one", "executor/-/2": "two", "executor/s2/1": "other"})
    model = replay_model(path)

    assert [(await model.ainvoke(word)).text for word in ("a", "b", "a")] == ["one", "two", "one"]
    assert replay_model(path, subtask="s2").invoke("a").text == "other"
    with pytest.raises(RecordingError, match=r"no reply for executor/-/3; the nearest recorded one is executor/-/2"):
        await model.ainvoke("c")


async def test_turns_by_a_rule_of_ones_own(path: Path) -> None:
    write_recording(path, {"executor/-/1": "one", "executor/-/2": "two"})
    model = replay_model(path, turn=lambda messages: int(messages[-1].text))

    assert [(await model.ainvoke(word)).text for word in ("2", "1", "2")] == ["two", "one", "two"]


async def test_drift_is_logged(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await loop(record_model(Adder(), path)).ainvoke(TASK)

    with caplog.at_level(logging.WARNING):
        await loop(replay_model(path)).ainvoke({"messages": [HumanMessage("Count well.")]})

    assert len(caplog.messages) == 4
    assert "message 1 (human) begins 'Count well.' and began 'Count.'" in caplog.messages[0]


def test_structured_output_is_replayed(path: Path) -> None:
    class Answer(BaseModel):
        """The answer."""

        number: int

    write_recording(path, {"executor/-/1": {"tool_calls": [{"name": "Answer", "args": {"number": 7}}]}})

    assert replay_model(path).with_structured_output(Answer).invoke("Which?") == Answer(number=7)


def test_recording_into_another_kind_of_file_is_refused_before_the_model_is_asked(path: Path) -> None:
    path.write_text("notes\n")

    with pytest.raises(RecordingError, match="is no recording"):
        record_model(Adder(), path)

"""Tool questions: of two tools that ask at the same time, each gets the answer to its own question."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt

from openmanus_graph import ThreadSaver, make_durable
from openmanus_graph.langgraph_internals import question_id

pytestmark = pytest.mark.postgres

THREAD: Any = {"configurable": {"thread_id": "t"}}


class Turns:
    """Lets two tools come to their questions in an order of the test's choice."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.came = {"pay": threading.Event(), "delete": threading.Event()}

    def begin(self, *order: str) -> None:
        self.order = list(order)
        for event in self.came.values():
            event.clear()

    def wait(self, name: str) -> None:
        if name != self.order[0]:
            assert self.came[self.order[0]].wait(30)

    def passed(self, name: str) -> None:
        self.came[name].set()


def asking_tools(turns: Turns, times: int = 1) -> list[Any]:
    def ask(name: str) -> str:
        turns.wait(name)
        answers: list[str] = []
        try:
            for number in range(times):
                answers.append(interrupt(f"{name} {number}?"))
        finally:
            turns.passed(name)
        return f"{name}: {', '.join(answers)}"

    @tool
    def pay(to: str) -> str:
        """Pay somebody."""
        return ask("pay")

    @tool
    def delete(path: str) -> str:
        """Delete a file."""
        return ask("delete")

    return [pay, delete]


CALLS = [
    {"name": "pay", "args": {"to": "Ada"}, "id": "1"},
    {"name": "delete", "args": {"path": "a"}, "id": "2"},
]


def graph_of(tools: list[Any], inside: str) -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(MessagesState)
    node = ToolNode(tools)
    if inside == "subgraph":
        inner = StateGraph(MessagesState)
        inner.add_node("tools", node)
        inner.add_edge(START, "tools")
        graph.add_node("tools", inner.compile())
    elif inside == "function":

        async def call(state: MessagesState, config: RunnableConfig) -> Any:
            return await node.ainvoke(state, config)

        graph.add_node("tools", call)
    else:
        graph.add_node("tools", node)
    graph.add_edge(START, "tools")
    return graph


@pytest.mark.parametrize("inside", ["node", "subgraph", "function"])
@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize(
    "orders",
    [
        [("delete", "pay"), ("pay", "delete"), ("delete", "pay"), ("pay", "delete"), ("delete", "pay")],
        [("pay", "delete"), ("delete", "pay"), ("delete", "pay"), ("pay", "delete"), ("delete", "pay")],
    ],
)
async def test_each_answer_is_for_the_tool_that_asked(
    saver: ThreadSaver, orders: list[tuple[str, str]], by_id: bool, inside: str
) -> None:
    turns = Turns()
    app = make_durable(graph_of(asking_tools(turns, times=2), inside), saver)
    given: Any = {"messages": [AIMessage(content="", tool_calls=CALLS)]}
    asked: list[str] = []
    out: dict[str, Any] = {}
    for order in orders:
        turns.begin(*order)
        out = await app.ainvoke(given, THREAD)
        if "__interrupt__" not in out:
            break
        (question,) = out["__interrupt__"]
        asked.append(question.value)
        answer = f"yes to {question.value}"
        given = Command(resume={question.id: answer} if by_id else answer)
    assert sorted(asked) == ["delete 0?", "delete 1?", "pay 0?", "pay 1?"]
    assert [str(message.content) for message in out["messages"][1:]] == [
        "pay: yes to pay 0?, yes to pay 1?",
        "delete: yes to delete 0?, yes to delete 1?",
    ]


async def test_graphs_that_two_tools_run_keep_their_questions_apart(saver: ThreadSaver) -> None:
    slow = ["pay", "delete", "pay"]

    def made(name: str) -> Any:
        def ask(state: MessagesState) -> Any:
            return {"messages": [AIMessage(content=interrupt(f"{name}?"))]}

        graph = StateGraph(MessagesState)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        inner = graph.compile()

        @tool(name)
        async def run(text: str, config: RunnableConfig) -> str:
            """Run a graph."""
            for _ in range(5 if name == slow[0] else 0):  # so that the other's graph is the first
                await asyncio.sleep(0)
            out = await inner.ainvoke({"messages": []}, config)
            return f"{name}: {out['messages'][-1].content}"

        return run

    calls = [{**call, "args": {"text": "x"}} for call in CALLS]
    app = make_durable(graph_of([made("pay"), made("delete")], "node"), saver)
    out = await app.ainvoke({"messages": [AIMessage(content="", tool_calls=calls)]}, THREAD)
    while "__interrupt__" in out:
        (question,) = out["__interrupt__"]
        slow.pop(0)
        out = await app.ainvoke(Command(resume=f"yes to {question.value}"), THREAD)
    assert [str(message.content) for message in out["messages"][1:]] == ["pay: yes to pay?", "delete: yes to delete?"]


async def test_the_question_of_a_single_call_has_the_id_that_langgraph_gives_it(saver: ThreadSaver) -> None:
    turns = Turns()
    turns.begin("pay")
    graph = graph_of(asking_tools(turns), "node")
    given = {"messages": [AIMessage(content="", tool_calls=CALLS[:1])]}
    out = await make_durable(graph, saver).ainvoke(given, THREAD)
    assert out["__interrupt__"][0].value == "pay 0?"
    task = (await make_durable(graph, saver).aget_state(THREAD)).tasks[0]
    assert out["__interrupt__"][0].id == question_id(f"tools:{task.id}", 0)

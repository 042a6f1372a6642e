"""Graphs of a user's own: one that can be held in its middle, and one that asks."""

from __future__ import annotations

import operator
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt


class State(TypedDict, total=False):
    """What both graphs keep."""

    task: str
    seen: Annotated[list[str], operator.add]
    messages: Annotated[list[AnyMessage], add_messages]


def note(name: str) -> None:
    """Append a line to the log of the folder that the program runs in."""
    with Path("log").open("a") as file:
        file.write(f"{name}\n")


def begin(state: Any) -> State:
    """Note the task."""
    note(f"{state['task']}.begin")
    return {"seen": ["begin"], "messages": [AIMessage(f"I begin with {state['task']}.")]}


def held(state: Any) -> State:
    """Go on once it is let go."""
    note(f"{state['task']}.held")
    while Path("hold").exists():
        time.sleep(0.02)
    return {"seen": ["held"]}


def question(state: Any) -> State:
    """Ask the person."""
    word = str(interrupt("How does it end?"))
    note(f"{state['task']}.{word}")
    return {"seen": [word]}


def end(state: Any) -> State:
    """Say what was said at the beginning, and what was seen."""
    note(f"{state['task']}.end")
    return {"messages": [AIMessage(f"{state['messages'][0].content} I have seen: {', '.join(state['seen'])}.")]}


def chain(middle: str) -> StateGraph[State]:
    """The graph with one of the two nodes in its middle."""
    graph = StateGraph(State)
    graph.add_node("begin", begin)
    graph.add_node("held", held) if middle == "held" else graph.add_node("question", question)
    graph.add_node("end", end)
    graph.add_edge(START, "begin")
    graph.add_edge("begin", middle)
    graph.add_edge(middle, "end")
    graph.add_edge("end", END)
    return graph


flow = chain("held")
asking = chain("question")

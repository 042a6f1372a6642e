"""An essay: a small graph of the user's own, and the subtask that has it written."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class Essay(TypedDict, total=False):
    """State of a small graph."""

    task: str
    draft: str
    answer: str


def essay_graph(fails: bool = False, asks: bool = False) -> Any:
    """Writes an essay in two steps."""

    def draft(state: Essay) -> Essay:
        if fails:
            raise RuntimeError("no ink")
        return {"draft": f"draft of {len(state.get('task', ''))} characters"}

    def finish(state: Essay) -> Essay:
        title = interrupt("Which title?") if asks else "Essay"
        return {"answer": f"{title}: {state.get('draft')}"}

    graph = StateGraph(Essay)
    graph.add_node("draft", draft)
    graph.add_node("finish", finish)
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "finish")
    graph.add_edge("finish", END)
    return graph.compile(name="Writes essays of any length.")


ESSAY = {"id": "e", "goal": "an essay on rivers", "agent": "essayist"}

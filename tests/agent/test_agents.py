"""A graph of the user's own as an agent that the planner may give subtasks to."""

from __future__ import annotations

from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.conftest import Build
from tests.agent.replies import decides, plans, thread, wants_plan


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


async def test_the_planner_knows_it_and_its_answer_is_the_output(build: Build, provider: ScriptedServer) -> None:
    app = build(agents={"essayist": essay_graph()})
    after = {"id": "s", "goal": "say", "tool": "bash", "args": {"command": "printf %s '${e}'"}}
    provider.add(wants_plan(), plans(ESSAY, after), Reply("Here."))
    out = await app.ainvoke({"task": "write"}, thread())
    assert out["status"] == "completed"
    assert out["results"]["e"]["output"].startswith("Essay: draft of ")
    assert out["results"]["s"]["output"]["stdout"] == out["results"]["e"]["output"]
    assert "essayist" in provider.requests[1].messages[-1]["content"]


async def test_its_failure_is_the_subtasks(build: Build, provider: ScriptedServer) -> None:
    app = build(agents={"essayist": essay_graph(fails=True)})
    provider.add(wants_plan(), plans(ESSAY), decides("report"), Reply("No."))
    out = await app.ainvoke({"task": "write"}, thread())
    assert out["results"]["e"]["status"] == "failed"
    assert "no ink" in out["results"]["e"]["error"]


async def test_its_own_question_suspends_the_run(build: Build, provider: ScriptedServer) -> None:
    app = build(agents={"essayist": essay_graph(asks=True)})
    provider.add(wants_plan(), plans(ESSAY))
    await app.ainvoke({"task": "write"}, thread())
    (question,) = await app.questions("t")
    assert question["question"] == "Which title?"
    provider.add(Reply("Here."))
    out = await app.ainvoke(Command(resume={question["id"]: "Rivers"}), thread())
    assert out["results"]["e"]["output"].startswith("Rivers: draft of ")

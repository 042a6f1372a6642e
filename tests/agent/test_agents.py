"""A graph of the user's own as an agent that the planner may give subtasks to."""

from __future__ import annotations

from langgraph.config import get_store
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command

from openmanus_graph.testing import Reply, ScriptedServer
from tests.agent.conftest import Build
from tests.agent.essay import ESSAY, Essay, essay_graph
from tests.agent.replies import plans, thread, wants_plan


async def test_the_planner_knows_it_and_its_answer_is_the_output(build: Build, provider: ScriptedServer) -> None:
    app = build(agents={"essayist": essay_graph()})
    after = {
        "id": "s",
        "goal": "say",
        "tool": "bash",
        "args": {"command": 'printf %s "$e"', "variables": {"e": "${e}"}},
    }
    provider.add(wants_plan(), plans(ESSAY, after), Reply("Here."))
    out = await app.ainvoke({"task": "write"}, thread())
    assert out["status"] == "completed"
    assert out["results"]["e"]["output"].startswith("Essay: draft of ")
    assert out["results"]["s"]["output"]["stdout"] == out["results"]["e"]["output"]
    assert "essayist" in provider.requests[1].messages[-1]["content"]


async def test_its_failure_is_the_subtasks(build: Build, provider: ScriptedServer) -> None:
    app = build(agents={"essayist": essay_graph(fails=True)})
    provider.add(wants_plan(), plans(ESSAY), Reply("No."))
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


async def test_it_has_the_store_that_it_was_compiled_with(build: Build, provider: ScriptedServer) -> None:
    given = InMemoryStore()

    async def write(state: Essay) -> Essay:
        await get_store().aput(("essays",), "one", {"task": state.get("task")})
        return {"answer": "It is written."}

    graph = StateGraph(Essay)
    graph.add_node("write", write)
    graph.add_edge(START, "write")
    app = build(agents={"essayist": graph.compile(name="Writes essays.", store=given)})
    provider.add(wants_plan(), plans(ESSAY), Reply("Here."))
    out = await app.ainvoke({"task": "write"}, thread())
    assert out["status"] == "completed"
    assert given.get(("essays",), "one") is not None

"""How work ends: nothing that is not done is called completed, however oddly a model or an agent says that it is."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import END, START, StateGraph

from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import plans, thread

SAY = {"id": "a", "goal": "say a", "tool": "bash", "args": {"command": "printf a"}}
FAILS = {"id": "b", "goal": "fails", "tool": "bash", "args": {"command": "exit 3"}}


class TestRequests:
    """Requests as a whole."""

    async def test_a_malformed_plan_beside_words_is_no_answer(self, build: Build, provider: ScriptedServer) -> None:
        broken = Reply("I will look that up.", tool_calls=[ToolUse("submit_plan", '{"goal": "x", "subta')])
        provider.add(broken, plans(SAY), Reply("a"))
        out = await build().ainvoke({"task": "say a"}, thread())
        assert out["answer"] == "a"

    async def test_an_answer_that_a_filter_cut_is_none(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(Reply("The first half of", finish_reason="content_filter"), plans(SAY), Reply("a"))
        out = await build().ainvoke({"task": "say a"}, thread())
        assert out["answer"] == "a"

    async def test_dropping_what_failed_completes_nothing(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(SAY, FAILS), plans({"id": "a"}), Reply("Only a."))
        out = await build().ainvoke({"task": "say a and b"}, thread())
        assert (out["status"], out["answer"]) == ("failed", "Only a.")
        assert "exit code 3" in provider.requests[1].messages[-1]["content"]
        assert provider.requests[1].messages[-1] in provider.requests[-1].messages

    async def test_what_a_later_plan_dropped_stays_in_the_conversation(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        other = {"id": "c", "tool": "bash", "args": {"command": "printf c"}}
        provider.add(plans(SAY, FAILS), plans({"id": "a"}, other), Reply("a and c."))
        out = await build().ainvoke({"task": "say a and b"}, thread())
        assert out["results"]["b"]["status"] == "skipped"
        assert "exit code 3" in provider.requests[1].messages[-1]["content"]
        assert provider.requests[1].messages[-1] in provider.requests[-1].messages

    async def test_an_answer_that_is_cut_goes_on(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(SAY), Reply("One, two,", finish_reason="length"), Reply(" three."))
        out = await build().ainvoke({"task": "count"}, thread())
        assert (out["status"], out["answer"]) == ("completed", "One, two, three.")

    async def test_an_answer_that_stays_cut_is_a_part(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(SAY), *[Reply(" more", finish_reason="length") for _ in range(6)])
        out = await build().ainvoke({"task": "count"}, thread())
        assert out["status"] == "partial"
        assert "cut off" in out["answer"]

    async def test_outputs_too_long_for_the_reporter_are_shortened(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        long = {"id": "a", "tool": "bash", "args": {"command": "seq 3000"}}
        provider.add(plans(long), Fault.overflow(), Reply("Numbers."))
        out = await build().ainvoke({"task": "count"}, thread())
        assert (out["status"], out["answer"]) == ("completed", "Numbers.")
        sizes = [len(str(one.messages)) for one in provider.requests[-2:]]
        assert sizes[1] < sizes[0]


class _Told(TypedDict, total=False):
    task: str
    answer: str
    status: str
    error: str | None
    messages: list[AnyMessage]


def _agent(**ends_with: Any) -> Any:
    graph = StateGraph(_Told)

    async def work(state: _Told) -> dict[str, Any]:
        return ends_with

    graph.add_node("work", work)
    graph.add_edge(START, "work")
    graph.add_edge("work", END)
    return graph.compile()


class TestAgents:
    """Graphs of one's own that say themselves that they failed."""

    @pytest.mark.parametrize(
        "ended",
        [
            {"answer": "Half of it.", "status": "partial"},
            {"answer": "No.", "status": "failed"},
            {"answer": "", "error": "The shop is closed."},
            {"messages": [AIMessage("")]},
        ],
    )
    async def test_it_is_believed(self, build: Build, provider: ScriptedServer, ended: dict[str, Any]) -> None:
        provider.add(plans({"id": "w", "goal": "do", "agent": "own"}), Reply("No."))
        out = await build(agents={"own": _agent(**ended)}).ainvoke({"task": "try"}, thread())
        assert (out["status"], out["results"]["w"]["status"]) == ("failed", "failed")

    async def test_this_agent_inside_itself(self, build: Build, provider: ScriptedServer) -> None:
        inner = build(tools=["bash"])
        provider.add(
            plans({"id": "w", "goal": "do", "agent": "inner"}),
            plans(FAILS),
            Reply("It did not work."),
            Reply("No."),
        )
        out = await build(agents={"inner": inner}).ainvoke({"task": "try"}, thread())
        assert (out["status"], out["results"]["w"]["status"]) == ("failed", "failed")

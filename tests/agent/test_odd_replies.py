"""Replies of an executor as models really write them: odd endings, ids given twice, thoughts among the words."""

from __future__ import annotations

from typing import Any

import pytest

from openmanus_graph.errors import ModelError
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, decides, ends, plans, thread

WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}


class TestTerminate:
    """The call with which an agent ends."""

    @pytest.mark.parametrize("status", ["failed", "Failure", "error", "cancelled"])
    async def test_a_failure_in_other_words_is_one(self, build: Build, provider: ScriptedServer, status: str) -> None:
        provider.add(plans(WORK), ends("It is not there.", status), decides("report"), Reply("Not done."))
        out = await build().ainvoke({"task": "try"}, thread())
        assert (out["status"], out["results"]["w"]["status"]) == ("failed", "failed")
        assert out["results"]["w"]["error"] == "It is not there."

    @pytest.mark.parametrize("args", [{}, {"answer": "x"}, {"status": "maybe"}, {"status": None}])
    async def test_without_a_status_it_is_asked_again(
        self, build: Build, provider: ScriptedServer, args: dict[str, Any]
    ) -> None:
        provider.add(plans(WORK), calls(ToolUse("terminate", args)), ends("done"), Reply("done"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "done"
        assert "'status'" in provider.requests[2].messages[-1]["content"]

    async def test_a_status_in_capitals_is_read(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(WORK), ends("done", "SUCCESS"), Reply("done"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "done"

    async def test_twice_in_one_reply_where_it_is_no_tool_of_the_graph(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        both = calls(
            ToolUse("terminate", {"status": "success", "answer": "one"}),
            ToolUse("terminate", {"status": "success", "answer": "two"}),
        )
        provider.add(plans(WORK), both, Reply("one"))
        out = await build(tools=["bash"]).ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "one"

    async def test_with_a_call_that_fails_it_is_too_early(self, build: Build, provider: ScriptedServer) -> None:
        early = calls(
            ToolUse("bash", {"command": "cp missing.txt there.txt"}),
            ToolUse("terminate", {"status": "success", "answer": "copied"}),
        )
        provider.add(plans(WORK), early, ends("There is no such file.", "failure"), decides("report"), Reply("No."))
        out = await build().ainvoke({"task": "copy it"}, thread())
        assert out["results"]["w"]["status"] == "failed"

    async def test_an_answer_that_is_an_object_stays_one(self, build: Build, provider: ScriptedServer) -> None:
        answer = ToolUse("terminate", {"status": "success", "answer": {"price": 3}})
        after = {"id": "c", "tool": "bash", "args": {"command": "printf '${w.price}'"}}
        provider.add(plans(WORK, after), calls(answer), Reply("3"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["c"]["output"]["stdout"] == "3"


class TestCalls:
    """Calls of tools as models really make them."""

    async def test_the_same_id_twice_in_a_reply(self, build: Build, provider: ScriptedServer) -> None:
        same = calls(
            ToolUse("bash", {"command": "printf one"}, id="call_0"),
            ToolUse("bash", {"command": "printf two"}, id="call_0"),
        )
        provider.add(plans(WORK), same, ends("done"), Reply("done"))
        await build().ainvoke({"task": "try"}, thread())
        said = provider.requests[2].messages
        ids = [made["id"] for one in said for made in one.get("tool_calls") or []]
        results = {one["tool_call_id"]: one["content"] for one in said if one["role"] == "tool"}
        assert len(set(ids)) == 2
        assert ['"one"' in results[ids[0]], '"two"' in results[ids[1]]] == [True, True]

    async def test_the_second_name_of_a_tool(self, build: Build, provider: ScriptedServer) -> None:
        work = {**WORK, "tools": ["fetch_page"]}
        use = calls(ToolUse("crawl4ai", {"urls": ["http://127.0.0.1:1/"]}))
        provider.add(plans(work), use, ends("done"), Reply("done"))
        await build().ainvoke({"task": "try"}, thread())
        assert "There is no tool" not in str(provider.requests[2].messages[-1]["content"])

    async def test_thirty_in_one_reply(self, build: Build, provider: ScriptedServer) -> None:
        many = [ToolUse("bash", {"command": f"echo {number}"}) for number in range(30)]
        provider.add(plans(WORK), calls(*many), ends("done"), Reply("done"))
        await build(settings={"sandbox": "none"}).ainvoke({"task": "try"}, thread())
        assert sum(one["role"] == "tool" for one in provider.requests[2].messages) == 30


class TestThoughts:
    """Reasoning in tags, as local models send it."""

    async def test_they_are_no_part_of_an_answer(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(Reply("<think>Who is that?</think>\n\nHello."))
        assert (await build().ainvoke({"task": "hi"}, thread()))["answer"] == "Hello."

    async def test_they_alone_are_no_result(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(WORK), Reply("<think>Let me see.</think>"), ends("done"), Reply("done"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "done"

    async def test_tags_in_the_middle_of_an_answer_stay(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(Reply("The tag `<think>` opens reasoning."))
        out = await build().ainvoke({"task": "what is it"}, thread())
        assert out["answer"] == "The tag `<think>` opens reasoning."

    async def test_the_end_of_a_tag_that_the_template_opened(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(Reply("Who is that?\n</think>\n\nHello."))
        assert (await build().ainvoke({"task": "hi"}, thread()))["answer"] == "Hello."

    async def test_cut_while_it_thought_it_is_no_reply(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(Reply("<think>Let me see, and see", finish_reason="length"))
        with pytest.raises(ModelError, match="before it says anything"):
            await build().ainvoke({"task": "hi"}, thread())

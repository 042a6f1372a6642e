"""Replies of an executor as models really write them: odd endings, ids given twice, thoughts among the words."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from openmanus_graph import ThreadSaver
from openmanus_graph.errors import ModelError
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from tests.agent.conftest import Build
from tests.agent.replies import calls, done, ends, plans, thread, verdict

WORK = {"id": "w", "goal": "do it", "agent": "executor", "tools": ["bash"]}


class TestTerminate:
    """The call with which an agent ends."""

    @pytest.mark.parametrize("status", ["failed", "Failure", "error", "cancelled"])
    async def test_a_failure_in_other_words_is_one(self, build: Build, provider: ScriptedServer, status: str) -> None:
        provider.add(plans(WORK), ends("It is not there.", status), Reply("Not done."))
        out = await build().ainvoke({"task": "try"}, thread())
        assert (out["status"], out["results"]["w"]["status"]) == ("failed", "failed")
        assert out["results"]["w"]["error"] == "It is not there."

    @pytest.mark.parametrize("args", [{}, {"answer": "x"}, {"status": "maybe"}, {"status": None}])
    async def test_without_a_status_it_is_asked_again(
        self, build: Build, provider: ScriptedServer, args: dict[str, Any]
    ) -> None:
        provider.add(plans(WORK), calls(ToolUse("terminate", args)), *done("done"), Reply("done"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "done"
        assert "'status'" in provider.requests[2].messages[-1]["content"]

    async def test_a_status_in_capitals_is_read(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(WORK), *done("done", "SUCCESS"), Reply("done"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "done"

    async def test_twice_in_one_reply_where_it_is_no_tool_of_the_graph(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        both = calls(
            ToolUse("terminate", {"status": "success", "answer": "one"}),
            ToolUse("terminate", {"status": "success", "answer": "two"}),
        )
        provider.add(plans(WORK), both, verdict(True), Reply("one"))
        out = await build(tools=["bash"]).ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "one"

    async def test_with_a_call_that_fails_it_is_too_early(self, build: Build, provider: ScriptedServer) -> None:
        early = calls(
            ToolUse("bash", {"command": "cp missing.txt there.txt"}),
            ToolUse("terminate", {"status": "success", "answer": "copied"}),
        )
        provider.add(plans(WORK), early, ends("There is no such file.", "failure"), Reply("No."))
        out = await build().ainvoke({"task": "copy it"}, thread())
        assert out["results"]["w"]["status"] == "failed"

    async def test_an_answer_that_is_an_object_stays_one(self, build: Build, provider: ScriptedServer) -> None:
        answer = ToolUse("terminate", {"status": "success", "answer": {"price": 3}})
        after = {"id": "c", "tool": "bash", "args": {"command": "printf $p", "variables": {"p": "${w.price}"}}}
        provider.add(plans(WORK, after), calls(answer), verdict(True), Reply("3"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["c"]["output"]["stdout"] == "3"

    async def test_beside_the_last_call_it_ends_once_that_has_succeeded(
        self, build: Build, provider: ScriptedServer, tmp_path: Path
    ) -> None:
        both = calls(
            ToolUse("bash", {"command": "echo x > there.txt"}),
            ToolUse("terminate", {"status": "success", "answer": "It is in there.txt."}),
        )
        provider.add(plans({**WORK, "done_when": "there.txt exists"}), both, verdict(True), Reply("Written."))
        out = await build().ainvoke({"task": "write it"}, thread(workspace=str(tmp_path)))
        assert out["results"]["w"]["output"] == "It is in there.txt."
        assert len(provider.requests) == 3

    async def test_words_beside_it_are_the_answer_where_it_has_none(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        ending = calls(ToolUse("terminate", {"status": "success"}), text="It is 42.")
        provider.add(plans(WORK), ending, verdict(True), Reply("42"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "It is 42."


class TestWords:
    """Replies that call nothing."""

    async def test_they_end_nothing_the_first_time(self, build: Build, provider: ScriptedServer) -> None:
        made = calls(ToolUse("bash", {"command": "printf made"}))
        provider.add(plans(WORK), Reply("I will do it now."), made, *done("made"), Reply("Made."))
        out = await build().ainvoke({"task": "try"}, thread())
        assert (out["status"], out["results"]["w"]["output"]) == ("completed", "made")
        told = provider.requests[2].messages[-1]
        assert told["role"] == "user"
        assert "call `terminate` with the result, or go on with a tool" in told["content"]

    async def test_the_second_time_they_are_the_answer_which_is_checked(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        words = [Reply("I will do it now."), Reply("I have done it.")]
        refused = verdict(False, "Nothing was called.")
        provider.add(plans(WORK), *words, refused, Reply("Not done."))
        out = await build(settings={"max_verifications": 1}).ainvoke({"task": "try"}, thread())
        result = out["results"]["w"]
        assert (out["status"], result["status"], result["verified"]) == ("failed", "failed", False)
        assert result["output"] == "I have done it."
        assert "# Calls and their results\n\nnone" in provider.requests[3].messages[-1]["content"]

    async def test_at_the_last_step_they_are_the_answer(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(WORK), Reply("It is 42."), verdict(True), Reply("42"))
        out = await build(settings={"budget": {"steps": 1}}).ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == "It is 42."

    async def test_long_ones_are_sent_again_in_part_and_kept_whole(
        self, build: Build, provider: ScriptedServer, saver: ThreadSaver
    ) -> None:
        prose = f"I think {'about it ' * 500} MIDDLE {'and more ' * 500}"
        provider.add(plans(WORK), Reply(prose), Reply(prose), verdict(True), Reply("42"))
        out = await build().ainvoke({"task": "try"}, thread())
        assert out["results"]["w"]["output"] == prose
        sent = provider.requests[2].messages[-2]["content"]
        assert "MIDDLE" not in sent
        assert len(sent) < 4200

    async def test_a_loop_is_noticed_over_what_it_is_reminded_of(self, build: Build, provider: ScriptedServer) -> None:
        same = calls(ToolUse("bash", {"command": "cat missing.txt"}))
        provider.add(plans(WORK), same, same, Reply("Hm."), same, ends("No.", "failure"), Reply("No."))
        await build().ainvoke({"task": "try"}, thread())
        assert "going round in circles" in str(provider.requests[5].messages)


class TestLimits:
    """What an agent is told of the steps that it has left."""

    async def test_near_the_end_it_is_told_at_the_very_end(self, build: Build, provider: ScriptedServer) -> None:
        steps = [calls(ToolUse("bash", {"command": f"echo {number}"})) for number in range(4)]
        provider.add(plans(WORK), *steps, *done("done"), Reply("done"))
        await build(settings={"budget": {"steps": 5}}).ainvoke({"task": "try"}, thread())
        asked = [request.messages for request in provider.requests if "terminate" in request.tools]
        notes = [messages[-1]["content"].rpartition("[")[2] for messages in asked]
        assert ["steps are left" in note or "last step" in note for note in notes] == [False, False, True, True, True]
        assert notes[2].startswith("3 steps are left")
        for before, after in pairwise(asked):
            kept = before[:-1] if before[-1]["role"] == "user" and len(before) > 2 else before
            assert after[: len(kept)] == kept, "what the provider has cached stays as it is"


class TestCalls:
    """Calls of tools as models really make them."""

    async def test_arguments_that_a_json_schema_forbids_are_told_before_the_tool_runs(
        self, build: Build, provider: ScriptedServer
    ) -> None:
        given: list[dict[str, Any]] = []

        def order(**arguments: Any) -> str:
            given.append(arguments)
            return "ordered"

        schema = {
            "type": "object",
            "properties": {"n": {"type": "integer", "exclusiveMinimum": 0}, "code": {"pattern": "^[A-Z]{3}$"}},
            "required": ["n"],
        }
        tool = StructuredTool.from_function(func=order, name="order", description="Order.", args_schema=schema)
        tool.metadata = {"effect": "read"}
        work = {**WORK, "tools": ["order"]}
        wrong = calls(ToolUse("order", {"n": 0, "code": "xx", "colour": "red"}))
        provider.add(plans(work), wrong, calls(ToolUse("order", {"n": 1, "code": "ABC"})), *done("done"), Reply("done"))

        out = await build(tools=[tool]).ainvoke({"task": "try"}, thread())

        assert out["results"]["w"]["output"] == "done"
        told = provider.requests[2].messages[-1]["content"]
        assert "the unknown argument 'colour'; it takes n, code" in told
        assert "the argument 'n', which does not fit: it must be more than 0, not 0" in told
        assert "the argument 'code', which does not fit: it must match the pattern '^[A-Z]{3}$', unlike 'xx'" in told
        assert given == [{"n": 1, "code": "ABC"}]

    async def test_a_missing_argument_is_named(self, build: Build, provider: ScriptedServer) -> None:
        work = {**WORK, "tools": ["list_files", "str_replace_editor"]}
        provider.add(plans(work), calls(ToolUse("str_replace_editor", {"command": "view"})), *done("x"), Reply("x"))
        await build().ainvoke({"task": "try"}, thread())
        told = provider.requests[2].messages[-1]["content"]
        assert "The tool 'str_replace_editor' needs 'path'." in told

    async def test_malformed_arguments_are_named_once(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(WORK), calls(ToolUse("bash", '{"command": "ls')), *done("x"), Reply("x"))
        await build().ainvoke({"task": "try"}, thread())
        told = provider.requests[2].messages[-1]["content"]
        assert told.count("not valid JSON") == 1
        assert '{"command": "ls' in told

    async def test_the_same_id_twice_in_a_reply(self, build: Build, provider: ScriptedServer) -> None:
        same = calls(
            ToolUse("bash", {"command": "printf one"}, id="call_0"),
            ToolUse("bash", {"command": "printf two"}, id="call_0"),
        )
        provider.add(plans(WORK), same, *done("done"), Reply("done"))
        await build().ainvoke({"task": "try"}, thread())
        said = provider.requests[2].messages
        ids = [made["id"] for one in said for made in one.get("tool_calls") or []]
        results = {one["tool_call_id"]: one["content"] for one in said if one["role"] == "tool"}
        assert len(set(ids)) == 2
        assert ['"one"' in results[ids[0]], '"two"' in results[ids[1]]] == [True, True]

    async def test_the_second_name_of_a_tool(self, build: Build, provider: ScriptedServer) -> None:
        work = {**WORK, "tools": ["fetch_page"]}
        use = calls(ToolUse("crawl4ai", {"urls": ["http://127.0.0.1:1/"]}))
        provider.add(plans(work), use, *done("done"), Reply("done"))
        await build().ainvoke({"task": "try"}, thread())
        assert "There is no tool" not in str(provider.requests[2].messages[-1]["content"])

    async def test_thirty_in_one_reply(self, build: Build, provider: ScriptedServer) -> None:
        many = [ToolUse("bash", {"command": f"echo {number}"}) for number in range(30)]
        provider.add(plans(WORK), calls(*many), *done("done"), Reply("done"))
        await build(settings={"sandbox": "none"}).ainvoke({"task": "try"}, thread())
        assert sum(one["role"] == "tool" for one in provider.requests[2].messages) == 30


class TestThoughts:
    """Reasoning in tags, as local models send it."""

    async def test_they_are_no_part_of_an_answer(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(Reply("<think>Who is that?</think>\n\nHello."))
        assert (await build().ainvoke({"task": "hi"}, thread()))["answer"] == "Hello."

    async def test_they_alone_are_no_result(self, build: Build, provider: ScriptedServer) -> None:
        provider.add(plans(WORK), Reply("<think>Let me see.</think>"), *done("done"), Reply("done"))
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

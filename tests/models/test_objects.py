"""Objects: a model answers with JSON by whichever way it can, and what it cannot do is found out once."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage

from openmanus_graph.errors import ModelRefusedError
from openmanus_graph.models.structured import read_object
from openmanus_graph.testing import Fault, Reply, ScriptedServer, ToolUse
from tests.models.conftest import Maker
from tests.models.tools import bash

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CITY = {"city": "Oslo"}


async def test_an_object_comes_as_a_forced_call(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply(tool_calls=[ToolUse("answer", CITY)]))

    answer = await asker().ask_object(SCHEMA)

    assert (answer.value, answer.problem) == (CITY, None)
    body = server.requests[0].body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "answer"}}
    assert body["tools"][0]["function"]["parameters"] == SCHEMA


async def test_an_object_may_come_as_words_instead(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply('Here it is:\n```json\n{"city": "Oslo",}\n```'))

    assert (await asker().ask_object(SCHEMA)).value == CITY


async def test_a_conversation_goes_on_behind_an_object(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply(tool_calls=[ToolUse("answer", {"town": 1})]), Reply(tool_calls=[ToolUse("answer", CITY)]))
    role = asker()
    first = await role.ask_object(SCHEMA)

    await role.ask_object(SCHEMA, [HumanMessage("Where?"), first.message, HumanMessage("'city' is missing.")])

    assert server.requests[1].messages[1] == {"role": "assistant", "content": '{"town": 1}'}


@pytest.mark.parametrize(
    ("refusals", "way"),
    [
        (["Invalid tool_choice: only none is allowed."], "called"),
        (["This model does not support tools."], "response_format"),
        (["This model does not support tools.", "response_format is not supported."], "words"),
    ],
)
async def test_what_a_model_cannot_do_is_found_out_once(
    server: ScriptedServer, asker: Maker, refusals: list[str], way: str
) -> None:
    said = Reply(tool_calls=[ToolUse("answer", CITY)]) if way == "called" else Reply('{"city": "Oslo"}')
    server.add(*[Fault(400, words) for words in refusals], said, said)

    first = await asker().ask_object(SCHEMA)
    again = await asker().ask_object(SCHEMA)  # another `Models`, as another process would have

    assert first.value == again.value == CITY
    assert len(server.requests) == len(refusals) + 2
    for request in server.requests[-2:]:
        assert ("tools" in request.body) == (way == "called")
        assert ("response_format" in request.body) == (way == "response_format")
        assert ('"city"' in str(request.messages)) == (way != "called")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("I do not know.", "no JSON object"),
        ("[1, 2]", "a JSON array"),
        ('[{"city": "Oslo"}, {"city": "Rome"}]', "a JSON array"),
        ('{"city": "Os', "Unterminated string.*line 1, column 10"),
        ('{"city" "Oslo"}', "Expecting ':' delimiter.*near"),
    ],
)
async def test_a_reply_without_an_object_says_what_is_wrong(
    server: ScriptedServer, asker: Maker, text: str, problem: str
) -> None:
    server.add(Reply(text))

    answer = await asker().ask_object(SCHEMA)

    assert answer.value is None
    assert re.search(problem, str(answer.problem)), answer.problem
    assert answer.message.text == text


async def test_an_object_that_was_cut_says_so(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply(tool_calls=[ToolUse("answer", '{"city": "Os')], finish_reason="length"))

    answer = await asker().ask_object(SCHEMA)

    assert answer.value is None
    assert "cut at its maximum length" in str(answer.problem)


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Oslo"}',
        '```\n{"city": "Oslo"}\n```',
        'Sure! {"city": "Oslo"} Anything else?',
        'A set {1, 2} is not it, but this is: {"city": "Oslo"}',
        '<think>Perhaps {"city": "Rome"}?</think>{"city": "Oslo"}',
        '{"city": "Oslo",}',
        'A brace { opens it: {"city": "Oslo"}',
    ],
)
def test_an_object_is_found_in_words(text: str) -> None:
    assert read_object(text) == (CITY, None)


@given(
    before=st.text("abc \n.,:'{`"),
    value=st.dictionaries(st.text(), st.recursive(st.text() | st.integers() | st.none(), st.lists, max_leaves=5)),
    indent=st.sampled_from([None, 2]),
    after=st.text("abc \n.,:'`"),
)
def test_any_object_is_found_among_words(before: str, value: dict[str, Any], indent: int | None, after: str) -> None:
    assume(value and before.count("{") < 10)

    assert read_object(f"{before} {json.dumps(value, indent=indent)} {after}") == (value, None)


@pytest.mark.parametrize("text", ['{"a": {"b": 1}', 'So: { "a": [{"b": 1}, {"c": 2}'])
def test_an_object_inside_one_that_was_cut_is_not_taken_for_it(text: str) -> None:
    assert read_object(text)[0] is None


def test_commas_and_braces_in_strings_stay() -> None:
    assert read_object('{"text": "a ,} b {", "list": [1, 2,],}')[0] == {"text": "a ,} b {", "list": [1, 2]}


async def test_a_model_without_tools_acts_in_json(server: ScriptedServer, asker: Maker) -> None:
    said = 'I look.\n```json\n{"actions": [{"tool": "bash", "args": {"command": "ls"}}]}\n```'
    server.add(Fault.no_tools(), Reply(said), Reply("Two files."))
    role = asker()
    question = HumanMessage("How many files?")

    reply = await role.ask([question], tools=[bash])
    (call,) = reply.tool_calls
    result = ToolMessage("a.txt b.txt", tool_call_id=str(call["id"]))
    last = await role.ask([question, reply, result], tools=[bash])

    assert (call["name"], call["args"], reply.text) == ("bash", {"command": "ls"}, "I look.")
    assert last.text == "Two files."
    assert last.tool_calls == []
    system, _, acted, told = server.requests[2].messages
    assert "Run a command." in system["content"]
    assert '{"actions": [{"tool": "bash", "args": {"command": "ls"}}]}' in acted["content"]
    assert told == {"role": "user", "content": "Result of bash:\n~~~\na.txt b.txt\n~~~"}
    assert "tools" not in server.requests[2].body


async def test_an_action_that_cannot_be_read_is_no_answer(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply('{"actions": [{"tool": "bash", "args": {"command": "ls"}'))

    reply = await asker(tool_calling=False).ask(tools=[bash])

    assert reply.tool_calls == []
    assert reply.invalid_tool_calls[0]["name"] == "bash"
    assert "not valid" in str(reply.invalid_tool_calls[0]["error"])


async def test_words_about_json_are_words(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply('The file holds {"tool": 5} and nothing else.'))

    reply = await asker(tool_calling=False).ask(tools=[bash])

    assert reply.text == 'The file holds {"tool": 5} and nothing else.'
    assert reply.tool_calls == reply.invalid_tool_calls == []


async def test_a_refusal_is_believed_over_the_list_of_models(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.no_tools(), Reply("Done."))

    assert (await asker(model="openai/gpt-4o-mini").ask(tools=[bash])).text == "Done."


async def test_what_the_user_says_of_a_model_is_believed(server: ScriptedServer, asker: Maker) -> None:
    server.add(Fault.no_tools(), Reply("Done."))

    with pytest.raises(ModelRefusedError, match="does not support tools"):
        await asker(tool_calling=True).ask(tools=[bash])
    await asker(tool_calling=False).ask(tools=[bash])

    assert "tools" not in server.requests[1].body


@pytest.mark.parametrize(
    "words",
    [
        "Invalid schema for function 'bash': 'x' is not valid under any of the given schemas.",
        "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
    ],
)
async def test_a_refused_request_is_not_taken_for_a_missing_ability(
    server: ScriptedServer, asker: Maker, words: str
) -> None:
    server.add(Fault(400, words), Reply("Done."))

    with pytest.raises(ModelRefusedError):
        await asker().ask(tools=[bash])
    await asker().ask(tools=[bash])

    assert server.requests[1].tools == ["bash"]


@pytest.mark.parametrize(
    "words",
    [
        "registry.ollama.ai/library/gemma3 does not support tools",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "No endpoints found that support tool use.",
        "Unknown parameter: 'tools'.",
        "tools: Extra inputs are not permitted",
    ],
)
async def test_servers_say_in_many_ways_that_they_have_no_tools(
    server: ScriptedServer, asker: Maker, words: str
) -> None:
    server.add(Fault(404 if "endpoints" in words else 400, words), Reply("Done."))

    assert (await asker().ask(tools=[bash])).text == "Done."
    assert server.requests[1].tools == []


async def test_a_history_with_tools_needs_none_declared(server: ScriptedServer, asker: Maker) -> None:
    server.add(Reply("Summary."))
    call = AIMessage("", tool_calls=[ToolCall(name="bash", args={"command": "ls"}, id="c1")])

    await asker().ask([HumanMessage("Go."), call, ToolMessage("a.txt", tool_call_id="c1"), HumanMessage("Sum up.")])

    assert all(message["role"] in ("user", "assistant") for message in server.requests[0].messages)
    assert "a.txt" in str(server.requests[0].messages)


async def test_an_object_of_a_langchain_model(asker: Maker) -> None:
    role = asker(GenericFakeChatModel(messages=iter([AIMessage('{"city": "Oslo"}')])))

    answer: Any = await role.ask_object(SCHEMA)

    assert answer.value == CITY

"""The tools as those who plan are told of them: a line each for most, and names for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from openmanus_graph import Settings
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.nodes.planner import plan_schema
from openmanus_graph.nodes.planning.proposal import proposal_schema
from openmanus_graph.nodes.planning.tool_catalogue import catalogue_text, tools_text
from openmanus_graph.nodes.roles import Roles
from openmanus_graph.testing.script import count_tokens
from openmanus_graph.tools.registry import builtin_tools


@pytest.fixture
def roles() -> Roles:
    settings = Settings.load(llm_model="replay:none.jsonl")
    return build_manus_graph(settings=settings, policy={"rules": [{"tool": "web_search", "action": "deny"}]}).roles


def made(name: str, description: str, arguments: Any, **metadata: Any) -> StructuredTool:
    """A tool of a user's own."""

    async def call(**given: Any) -> str:
        return str(given)

    return StructuredTool.from_function(
        coroutine=call, name=name, description=description, args_schema=arguments, metadata=metadata
    )


def test_a_tool_is_a_line_with_arguments_output_and_use() -> None:
    schema = {
        "type": "object",
        "properties": {
            "day": {"type": "string"},
            "kind": {"enum": ["rain", "sun"]},
            "places": {"type": "array", "items": {"type": "string"}},
            "n": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
            "limit": {"type": "integer", "default": 5},
            "more": {},
        },
        "required": ["day", "kind"],
    }
    returns = {"rows": [{"day": "text", "value": "any"}], "files": ["text"]}
    weather = made("weather", "Tell the weather. It is\na guess.\n\nMore about it.", schema, returns=returns)

    assert tools_text({"weather": weather}) == (
        "- weather(day*, kind*: rain|sun, places: [], n: int, more: any, ...) -> {rows: [{day, value}], files: []}: "
        "Tell the weather"
    )


def test_a_long_description_is_cut() -> None:
    (line,) = tools_text({"x": made("x", "word " * 100, {"type": "object", "properties": {}})}).splitlines()
    assert line.startswith("- x(): word word")
    assert line.endswith("word ...")
    assert len(line) < 140


def test_of_the_other_tools_only_the_names_are_told() -> None:
    lines = tools_text({tool.name: tool for tool in builtin_tools()}).splitlines()
    assert [line.partition("(")[0] for line in lines[:-1]] == [
        "- bash",
        "- python_execute",
        "- str_replace_editor",
        "- list_files",
        "- fetch_page",
        "- web_search",
        "- ask_human",
    ]
    others = "search_files, view_image, http_request, deep_research, transcribe_audio, speak, generate_image, "
    assert lines[-1] == f"- others: {others}data_query, chart, use_skill"


def test_what_the_policy_always_refuses_is_not_told(roles: Roles) -> None:
    assert "web_search" not in catalogue_text(roles)
    assert "\n- fetch_page(" in catalogue_text(roles)


def test_those_who_plan_are_told_in_few_words(roles: Roles) -> None:
    """The coordinator is told in every request, small talk among them: 655 and 564 tokens were most of it."""
    tools = tools_text({tool.name: tool for tool in builtin_tools()})
    assert count_tokens(tools) + count_tokens(catalogue_text(roles)) - count_tokens(tools_text(roles.tools)) < 300
    assert count_tokens(plan_schema(roles)) < 320


def test_a_plan_is_asked_for_in_words_that_a_model_can_follow() -> None:
    schema = proposal_schema(["bash"], ["executor"])
    subtask = schema["properties"]["subtasks"]["items"]
    assert "Needs one of `tool` and `agent`" in subtask["description"]
    assert subtask["properties"]["tool"]["enum"] == ["bash"]
    assert subtask["properties"]["agent"]["enum"] == ["executor"]
    assert "None" not in str(schema)

"""Schemas in requests: short, and meaning the same as the tools' own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, Field

from openmanus_graph.models.tool_schema import compact, request_tool
from openmanus_graph.tools.registry import builtin_tools
from openmanus_graph.tools.spec import spec_of


def parameters(members: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The members of an object schema as a request has them."""
    return compact({"type": "object", "properties": members, **more})["properties"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "A", "description": "D."},
            {"type": "string", "description": "D."},
        ),
        ({"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]}, {"type": "integer", "minimum": 1}),
        ({"type": ["string", "null"]}, {"type": "string"}),
        ({"type": ["string", "integer", "null"]}, {"type": ["string", "integer"]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}], "default": None},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        ({"type": "object", "default": {}, "title": "T"}, {"type": "object"}),
        ({"type": "boolean", "default": False}, {"type": "boolean", "default": False}),
        ({"type": "integer", "default": 0}, {"type": "integer", "default": 0}),
    ],
)
def test_what_says_nothing_is_left_out(given: dict[str, Any], shown: dict[str, Any]) -> None:
    assert parameters({"a": given}) == {"a": shown}


@pytest.mark.parametrize(
    "given",
    [
        {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 5},  # null means something else than nothing
        {"type": ["integer", "null"], "default": 5},
        {"enum": ["a", None], "type": ["string", "null"]},
        {"type": "null"},
        {"const": {"title": "kept", "default": None}},
        {"type": "object", "default": {"title": "kept"}},
        {"enum": [{"title": "kept"}]},
        True,
    ],
)
def test_what_means_something_stays(given: Any) -> None:
    assert parameters({"a": given}) == {"a": given}


def test_a_null_that_must_be_given_stays() -> None:
    either = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert parameters({"a": either, "b": either}, required=["a"]) == {"a": either, "b": {"type": "string"}}


def test_members_called_as_keywords_are_members() -> None:
    text = {"type": "string", "title": "Title"}
    members = {"title": text, "default": text, "anyOf": text, "properties": text}
    assert parameters(members) == {key: {"type": "string"} for key in members}


def test_it_is_the_same_at_every_depth() -> None:
    text = {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "title": "T"}
    inner = {"type": "object", "title": "I", "properties": {"t": text}}
    short = {"type": "object", "properties": {"t": {"type": "string"}}}
    given = {
        "type": "object",
        "$defs": {"I": inner},
        "properties": {
            "many": {"type": "array", "items": inner},
            "either": {"anyOf": [inner, {"type": "integer"}]},
            "by_name": {"type": "object", "additionalProperties": inner},
        },
    }
    assert compact(given) == {
        "type": "object",
        "$defs": {"I": short},
        "properties": {
            "many": {"type": "array", "items": short},
            "either": {"anyOf": [short, {"type": "integer"}]},
            "by_name": {"type": "object", "additionalProperties": short},
        },
    }
    assert given["properties"]["many"]["items"]["title"] == "I"


class Arguments(BaseModel):
    """What the tool takes."""

    day: str = Field(description="The day.")
    place: str | None = Field(default=None, description="The place.")


async def test_a_tool_of_any_kind_is_shown_so_and_takes_null_as_before() -> None:
    async def weather(day: str, place: str | None = None) -> str:
        """Tell the weather."""
        return f"{day} {place}"

    schema = Arguments.model_json_schema()
    for arguments in (Arguments, schema):
        tool = StructuredTool.from_function(coroutine=weather, args_schema=arguments)
        assert request_tool(tool) == {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "Tell the weather.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "day": {"type": "string", "description": "The day."},
                        "place": {"type": "string", "description": "The place."},
                    },
                    "required": ["day"],
                },
            },
        }
        assert await tool.ainvoke({"day": "today", "place": None}) == "today None"


def test_the_tools_of_every_step_stay_small() -> None:
    """Each is sent in every step: 13,137 characters of all built-in tools were most of what a run used."""
    sizes = {
        tool.name: len(json.dumps(request_tool(tool), ensure_ascii=False))
        for tool in builtin_tools()
        if not spec_of(tool).on_request and spec_of(tool).alias_of is None
    }
    assert sum(sizes.values()) < 6_300, sizes
    text = json.dumps([request_tool(tool) for tool in builtin_tools()])
    assert '"title": "' not in text
    assert '{"type": "null"}], "default"' not in text

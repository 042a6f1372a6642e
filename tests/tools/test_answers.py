"""Answers: how an agent ends its subtask, and gives an answer in the form that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field, ValidationError, field_validator

from openmanus_graph.errors import SettingsError, ToolArgumentsError
from openmanus_graph.nodes.call import failure_in
from openmanus_graph.plans.json_schema import validator_of
from openmanus_graph.tools.create_chat_completion import create_chat_completion, create_chat_completion_for
from openmanus_graph.tools.schema import mended
from openmanus_graph.tools.terminate import terminate


class TestTerminate:
    async def test_the_answer_travels(self) -> None:
        out = await terminate.ainvoke({"status": "success", "answer": "42"})

        assert out == {"status": "success", "answer": "42", "error": None}
        assert failure_in(out) is None

    async def test_a_failure_is_a_failure(self) -> None:
        assert failure_in(await terminate.ainvoke({"status": "failure", "answer": "No such page."})) == "No such page."
        assert failure_in(await terminate.ainvoke({"status": "failure"})) is not None

    async def test_a_whole_output_becomes_its_text(self) -> None:
        assert (await terminate.ainvoke({"status": "success", "answer": {"a": [1]}}))["answer"] == '{"a": [1]}'

    async def test_any_other_status_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            await terminate.ainvoke({"status": "done"})


async def complete(schema: dict[str, Any], response: Any) -> Any:
    return await create_chat_completion.ainvoke({"response_schema": schema, "response": response})


INTEGERS = {"type": "array", "items": {"type": "integer"}}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "mood": {"enum": ["Happy", "not so happy"]},
        "boss": {"anyOf": [{"$ref": "#/$defs/boss"}, {"type": "null"}]},
        "nick": {"type": "string"},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
    "$defs": {"boss": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


class TestMending:
    @pytest.mark.parametrize(
        ("schema", "raw", "expected"),
        [
            ({"type": "string"}, "x", "x"),
            ({"type": "integer"}, "3", 3),
            ({"type": "number"}, " -2.5e3 ", -2500.0),
            ({"type": "number"}, "7", 7),
            ({"type": "boolean"}, "True", True),
            ({"type": "null"}, "null", None),
            ({"type": "string"}, 3, "3"),
            ({"type": "string"}, ["x"], "x"),
            (INTEGERS, 3, [3]),
            (INTEGERS, "3", [3]),
            (INTEGERS, "[1, 2]", [1, 2]),
            (INTEGERS, ["1", 2, "3"], [1, 2, 3]),
            (INTEGERS, ["1"] * 500, [1] * 500),
            ({"type": ["integer", "null"]}, "4", 4),
            ({"enum": ["in progress", "done"]}, "In_Progress", "in progress"),
            ({"const": "yes"}, " YES ", "yes"),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
            ({"type": "object"}, '```json\n{"a": 1}\n```', {"a": 1}),
            ({"allOf": [{"type": "integer"}, {"minimum": 2}]}, "3", 3),
            ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, ["1", 2], [1, "2"]),
            ({}, {"any": ["thing"]}, {"any": ["thing"]}),
            (
                PERSON,
                {"name": "A", "age": "30", "tags": "x", "mood": "happy", "boss": '{"name": 1}', "nick": None},
                {"name": "A", "age": 30, "tags": ["x"], "mood": "Happy", "boss": {"name": "1"}},
            ),
        ],
    )
    async def test_what_has_one_reading_is_mended(self, schema: dict[str, Any], raw: Any, expected: Any) -> None:
        out = await complete(schema, raw)

        assert out == expected
        assert type(out) is type(expected)

    @pytest.mark.parametrize(
        ("schema", "raw", "said"),
        [
            ({"type": "integer"}, "three", ["'response': 'three'"]),
            ({"type": "integer"}, "3.5", ["'response'"]),
            ({"type": "integer"}, True, ["'response': True"]),
            ({"type": "array", "items": {"type": "integer"}}, ["1", "x"], ["'response.1': 'x'"]),
            ({"type": "string"}, ["a", "b"], ["'response'"]),
            ({"type": "string"}, None, ["'response': None"]),
            ({"enum": ["A b", "a B"]}, "a b", ["'response'"]),
            ({"type": "integer", "minimum": 5}, "3", ["'response'"]),
            (PERSON, {"age": "x", "extra": 1}, ["'name' is a required", "'response.age': 'x'", "'extra'"]),
            (PERSON, {"name": "A", "age": 1, "boss": {}}, ["'response.boss': 'name' is a required"]),
        ],
    )
    async def test_what_has_not_is_told_field_by_field(self, schema: dict[str, Any], raw: Any, said: list[str]) -> None:
        with pytest.raises(ToolArgumentsError) as caught:
            await complete(schema, raw)

        assert [text for text in said if text not in str(caught.value)] == []

    @pytest.mark.parametrize(
        "schema", [{"type": "whole"}, {"$ref": "http://192.0.2.1/x"}, {"$ref": "#/$defs/x"}, {"$ref": "#"}]
    )
    async def test_a_schema_that_is_none_is_said(self, schema: dict[str, Any]) -> None:
        with pytest.raises(ToolArgumentsError, match="schema"):
            await complete(schema, 1)

    async def test_the_given_value_is_not_changed(self) -> None:
        raw = {"name": "A", "age": "3"}
        await complete(PERSON, raw)

        assert raw == {"name": "A", "age": "3"}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(-9, 9)
    | st.sampled_from(["", "3", "true", "x", "[1]", "{}"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.sampled_from("abc"), inside, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["integer", "number", "string", "boolean", "null", "array", "object"])
SCHEMAS = st.recursive(
    st.fixed_dictionaries({"type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True)})
    | st.sampled_from([{}, {"enum": ["x", 3]}, {"const": "3"}]),
    lambda inside: (
        st.fixed_dictionaries({"anyOf": st.lists(inside, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"type": st.just("array"), "items": inside})
        | st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.dictionaries(st.sampled_from("abc"), inside, max_size=3),
                "required": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
            }
        )
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(schema=SCHEMAS, value=VALUES)
def test_what_comes_out_fits_and_what_fits_comes_out(schema: dict[str, Any], value: Any) -> None:
    validator = validator_of(schema)
    try:
        found = mended(value, schema)
    except ToolArgumentsError:
        assert not validator.is_valid(value)
        return
    assert validator.is_valid(found)
    if validator.is_valid(value):
        assert found == value


class Color(Enum):
    RED = "red"


class Tree(BaseModel):
    value: int
    below: list[Tree] = Field(default_factory=list["Tree"])

    @field_validator("value")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


@dataclass
class Point:
    x: float
    y: float = 0.0


class TestTypes:
    @pytest.mark.parametrize(
        ("kind", "raw", "expected"),
        [
            (int, "3", 3),
            (str, 3, "3"),
            (list[int], "4", [4]),
            (dict[str, int], {"a": "1"}, {"a": 1}),
            (int | None, "null", None),
            (Literal["a", "b"], "A", "a"),
            (tuple[int, str], ["1", 2], [1, "2"]),
            (Color, "Red", "red"),
            (Point, {"x": "1.5"}, {"x": 1.5, "y": 0.0}),
            (Tree, {"value": "2", "below": {"value": 4}}, {"value": 2, "below": [{"value": 4, "below": []}]}),
            ({"type": "integer"}, "3", 3),
        ],
    )
    async def test_any_type_makes_a_tool(self, kind: Any, raw: Any, expected: Any) -> None:
        tool = create_chat_completion_for(kind)

        assert await tool.ainvoke({"response": raw}) == expected

    async def test_a_types_own_rules_count(self) -> None:
        with pytest.raises(ToolArgumentsError, match="must be even") as caught:
            await create_chat_completion_for(Tree).ainvoke({"response": {"value": 2, "below": [{"value": 3}]}})

        assert "'response.below.0.value'" in str(caught.value)

    def test_a_model_is_shown_the_schema(self) -> None:
        tool: BaseTool = create_chat_completion_for(list[Point])
        shown = convert_to_openai_tool(tool)["function"]

        assert shown["name"] == "create_chat_completion"
        items = shown["parameters"]["properties"]["response"]["items"]
        assert set(items["properties"]) == {"x", "y"}

    def test_what_has_no_schema_is_refused(self) -> None:
        class Opaque:
            pass

        for kind in (Opaque, {"type": "whole"}):
            with pytest.raises(SettingsError):
                create_chat_completion_for(kind)

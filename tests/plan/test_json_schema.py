"""Tools with a JSON Schema: what does not fit is refused by the check of a plan, and again at the call."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command

from openmanus_graph import ThreadSaver, build_plan_graph
from openmanus_graph.errors import PlanError, SettingsError, UnknownQuestionError
from openmanus_graph.plan import Plan
from openmanus_graph.plans.arguments import check_call, check_schema
from openmanus_graph.plans.json_schema import validator_of
from openmanus_graph.plans.misfit import misfits
from openmanus_graph.plans.references import mark_unresolved
from openmanus_graph.questions import answers_for
from openmanus_graph.tools.rebuild import load_tools

TREE = {
    "$defs": {
        "tree": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
            "required": ["name"],
        }
    }
}
OF_FILE = {
    "if": {"properties": {"mode": {"const": "file"}}, "required": ["mode"]},
    "then": {"required": ["path"]},
    "else": {"required": ["text"]},
}

SCHEMAS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    # name: (properties, or the whole schema if it has a type; what fits; what does not; what is said)
    "enum": ({"x": {"enum": ["a", 1, None]}}, {"x": 1}, {"x": True}, "'x', which does not fit: it must be one of"),
    "const": ({"x": {"const": "yes"}}, {"x": "yes"}, {"x": "no"}, "must be 'yes', not 'no'"),
    "pattern": ({"x": {"type": "string", "pattern": "^[A-Z]{3}$"}}, {"x": "ABC"}, {"x": "xx"}, "'^[A-Z]{3}$'"),
    "minimum": ({"x": {"minimum": 1}}, {"x": 1}, {"x": 0}, "at least 1, not 0"),
    "maximum": ({"x": {"maximum": 9}}, {"x": 9}, {"x": 9.5}, "at most 9, not 9.5"),
    "exclusiveMinimum": ({"x": {"exclusiveMinimum": 0}}, {"x": 0.1}, {"x": 0}, "more than 0, not 0"),
    "exclusiveMaximum": ({"x": {"exclusiveMaximum": 5}}, {"x": 4}, {"x": 5}, "less than 5, not 5"),
    "multipleOf": ({"x": {"multipleOf": 5}}, {"x": 15}, {"x": 7}, "a multiple of 5, not 7"),
    "minLength": ({"x": {"minLength": 2}}, {"x": "ab"}, {"x": "a"}, "at least 2 characters, not 1"),
    "minItems": ({"x": {"minItems": 1}}, {"x": [0]}, {"x": []}, "at least 1 items, not 0"),
    "uniqueItems": ({"x": {"uniqueItems": True}}, {"x": [1, 2]}, {"x": [1, 1]}, "the same item twice"),
    "prefixItems": (
        {"x": {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}},
        {"x": ["a", 1]},
        {"x": ["a", "b"]},
        "'x.1', which does not fit: it must be a whole number",
    ),
    "contains": ({"x": {"contains": {"const": 7}}}, {"x": [1, 7]}, {"x": [1, 2]}, 'at least 1 items that fit {"const"'),
    "maxContains": (
        {"x": {"contains": {"type": "integer"}, "maxContains": 1}},
        {"x": ["a", 7]},
        {"x": [1, 2]},
        "at most 1 items that fit",
    ),
    "additionalProperties": (
        {"x": {"properties": {"a": {}}, "additionalProperties": False}},
        {"x": {"a": 1}},
        {"x": {"a": 1, "b": 2}},
        "must not have the member 'b'",
    ),
    "patternProperties": (
        {"x": {"patternProperties": {"^n_": {"type": "integer"}}}},
        {"x": {"n_a": 1, "m": "x"}},
        {"x": {"n_a": "x"}},
        "'x.n_a'",
    ),
    "propertyNames": ({"x": {"propertyNames": {"maxLength": 2}}}, {"x": {"ab": 1}}, {"x": {"abc": 1}}, "at most 2"),
    "unevaluatedProperties": (
        {"x": {"allOf": [{"properties": {"a": {}}}], "unevaluatedProperties": False}},
        {"x": {"a": 1}},
        {"x": {"b": 1}},
        "must not have the member 'b'",
    ),
    "anyOf": (
        {"x": {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "array"}]}},
        {"x": 2},
        {"x": 1},
        "fits none of the allowed types: must be at least 2, not 1; or must be a list, not 1",
    ),
    "oneOf": (
        {"x": {"oneOf": [{"multipleOf": 2}, {"multipleOf": 3}]}},
        {"x": 4},
        {"x": 6},
        "exactly one of the alternatives",
    ),
    "allOf": ({"x": {"allOf": [{"minimum": 2}, {"maximum": 3}]}}, {"x": 3}, {"x": 4}, "at most 3, not 4"),
    "not": ({"x": {"not": {"type": "string"}}}, {"x": 1}, {"x": "a"}, 'must not fit {"type": "string"}'),
    "$ref": (
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/tree"}}, **TREE},
        {"x": {"name": "a", "kids": [{"name": "b", "kids": []}]}},
        {"x": {"name": "a", "kids": [{"name": "b", "kids": [{}]}]}},
        "'x.kids.0.kids.0', which does not fit: it must have the member 'name'",
    ),
    "dependentRequired": (
        {"type": "object", "properties": {"x": {}, "y": {}}, "dependentRequired": {"x": ["y"]}},
        {"x": 1, "y": 2},
        {"x": 1},
        "must have the member 'y' together with 'x'",
    ),
    "if, then": (
        {"type": "object", "properties": {"mode": {}, "path": {}, "text": {}}, **OF_FILE},
        {"mode": "file", "path": "p"},
        {"mode": "file", "text": "t"},
        "does not give the argument 'path'",
    ),
    "if, else": (
        {"type": "object", "properties": {"mode": {}, "path": {}, "text": {}}, **OF_FILE},
        {"mode": "text", "text": "t"},
        {"mode": "text", "path": "p"},
        "does not give the argument 'text'",
    ),
    "not, whole": (
        {"type": "object", "properties": {"a": {}, "b": {}}, "not": {"required": ["a", "b"]}},
        {"a": 1},
        {"a": 1, "b": 2},
        "args which do not fit: together they must not fit",
    ),
    "nested": (
        {"x": {"properties": {"y": {"items": {"properties": {"z": {"type": "boolean"}}}}}}},
        {"x": {"y": [{"z": True}]}},
        {"x": {"y": [{"z": True}, {"z": 1}]}},
        "'x.y.1.z', which does not fit: it must be true or false, not 1",
    ),
    "false": (
        {"x": {"properties": {"y": False}}},
        {"x": {}},
        {"x": {"y": 1}},
        "'x.y', which does not fit: it must not",
    ),
    "items, as a list": (
        {"x": {"items": [{"type": "string"}, {"type": "integer"}]}},  # until draft 2019-09
        {"x": ["a", 1]},
        {"x": [1, 1]},
        "'x.0', which does not fit: it must be text",
    ),
    "exclusiveMinimum, true": (
        {"x": {"minimum": 3, "exclusiveMinimum": True}},  # until draft 4
        {"x": 4},
        {"x": 3},
        "3",
    ),
    **{
        f"format {name}": ({"x": {"format": name}}, {"x": fits}, {"x": misfit}, f"the format {name!r}, unlike")
        for name, fits, misfit in (
            ("date", "2026-02-28", "2026-02-30"),
            ("date-time", "2026-02-28T10:00:00Z", "2026-02-28 10:00"),
            ("time", "10:00:00+01:00", "25:00:00Z"),
            ("email", "a@example.com", "a"),
            ("ipv4", "192.0.2.1", "192.0.2.256"),
            ("ipv6", "2001:db8::1", "2001:db8:::1"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
            ("uri", "https://example.com/a?b=c", "example.com/a b"),
            ("regex", "^a+$", "["),
        )
    },
}
CASES = [pytest.param(name, id=name) for name in SCHEMAS]


async def _told(**arguments: Any) -> dict[str, Any]:
    return {"told": arguments}


def tool_of(schema: Any, name: str = "remote", **more: Any) -> BaseTool:
    return StructuredTool.from_function(
        coroutine=_told, name=name, description="r", args_schema=schema, metadata={"effect": "read", **more}
    )


def schema_of(name: str) -> dict[str, Any]:
    rules = SCHEMAS[name][0]
    return rules if "type" in rules else {"type": "object", "properties": rules}


def problems(tool: BaseTool, args: dict[str, Any]) -> list[str]:
    subtasks = [
        {"id": "s", "agent": "executor", "goal": "g"},
        {"id": "t", "tool": "remote", "args": args},
    ]
    try:
        Plan.from_dict({"subtasks": subtasks}, tools={"remote": tool}, agents=["executor"])
    except PlanError as error:
        return error.problems
    return []


@pytest.mark.parametrize("name", CASES)
def test_what_fits_is_accepted_and_what_does_not_is_named(name: str) -> None:
    _, fits, misfit, said = SCHEMAS[name]
    tool = tool_of(schema_of(name))

    assert problems(tool, fits) == []
    (problem,) = problems(tool, misfit)
    assert problem.startswith("subtask 't': ")
    assert said in problem


@pytest.mark.parametrize("name", CASES)
def test_a_reference_passes_for_any_value_and_hides_nothing_beside_it(name: str) -> None:
    _, fits, misfit, said = SCHEMAS[name]
    schema = copy.deepcopy(schema_of(name))
    schema.setdefault("properties", {})["other"] = {"type": "integer", "minimum": 3}
    tool = tool_of(schema)

    assert problems(tool, {**dict.fromkeys(fits, "${s}"), "other": "${s.n}"}) == []
    assert said in "\n".join(problems(tool, {**misfit, "other": "${s}"}))
    assert "'other', which does not fit" in "\n".join(problems(tool, {**dict.fromkeys(fits, "${s}"), "other": 1}))


def _with_references(value: Any, draw: Any) -> tuple[Any, Any]:
    """A value with references in the place of some of its parts, and the value with text where they were in text."""
    if draw(st.booleans()):
        return "${s}", value
    if isinstance(value, dict):
        pairs = {key: _with_references(part, draw) for key, part in value.items()}
        return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}
    if isinstance(value, list):
        items = [_with_references(part, draw) for part in value]
        return [item[0] for item in items], [item[1] for item in items]
    if isinstance(value, str) and draw(st.booleans()):
        return "${s.a}" + value[len(value) // 2 :], value
    return value, value


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_value_that_a_reference_may_become_is_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SCHEMAS)))
    schema, fits = schema_of(name), SCHEMAS[name][1]
    marked, value = _with_references(fits, data.draw)
    if marked == "${s}":
        marked = dict.fromkeys(fits, "${s}")

    assert list(misfits(value, schema)) == []
    assert list(misfits(mark_unresolved(marked), schema)) == []


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_what_is_refused_is_wrong_whatever_the_references_become(data: st.DataObject) -> None:
    """Rules that contain rules, so that what is unknown inside a `not` may not count as an error outside of it."""
    plain = st.sampled_from([schema_of(name)["properties"]["x"] for name in SCHEMAS if "x" in SCHEMAS[name][1]])
    plain = plain.filter(lambda rules: "$ref" not in rules)
    combined = st.recursive(
        plain,
        lambda inside: (
            st.builds(lambda part: {"not": part}, inside)
            | st.builds(lambda parts: {"oneOf": parts}, st.lists(inside, min_size=2, max_size=3))
            | st.builds(lambda parts: {"anyOf": parts}, st.lists(inside, min_size=2, max_size=3))
            | st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, inside, inside, inside)
            | st.builds(lambda part: {"contains": part, "maxContains": 1}, inside)
        ),
        max_leaves=4,
    )
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **data.draw(combined)}
    values = [value for _, fits, misfit, _ in SCHEMAS.values() for value in (*fits.values(), *misfit.values())]
    marked, value = _with_references(data.draw(st.sampled_from(values)), data.draw)
    try:
        validator = validator_of(schema)
    except Exception:  # noqa: BLE001 - a rule of an older draft
        return
    if list(validator.iter_errors(mark_unresolved(marked))):
        assert not validator.is_valid(value)


@pytest.mark.postgres
async def test_references_are_checked_at_the_call_before_the_tool_runs(saver: ThreadSaver, tmp_path: Path) -> None:
    # Which arguments there are is known before; only their values are not.
    given = {
        f"s{number}": name for number, name in enumerate(SCHEMAS) if "x" in SCHEMAS[name][2] and "x" in SCHEMAS[name][1]
    }
    del given[next(key for key, name in given.items() if name == "dependentRequired")]
    tools = [tool_of(schema_of(name), key) for key, name in given.items()]

    async def values() -> Any:
        """What the others are called with."""
        return {key: {"fits": SCHEMAS[name][1], "misfit": SCHEMAS[name][2]} for key, name in given.items()}

    source = StructuredTool.from_function(coroutine=values, name="values", metadata={"effect": "read"})
    subtasks: list[dict[str, Any]] = [{"id": "v", "tool": "values"}]
    for key, name in given.items():
        for which, index in (("fits", 1), ("misfit", 2)):
            arguments = {part: f"${{v.{key}.{which}.{part}}}" for part in SCHEMAS[name][index]}
            subtasks.append({"id": f"{key}-{which}", "tool": key, "args": arguments, "retries": 2})
    app = build_plan_graph([source, *tools]).compile(checkpointer=saver)

    results = (
        await app.ainvoke(
            {"plan": {"subtasks": subtasks}}, {"configurable": {"thread_id": "t", "workspace": str(tmp_path)}}
        )
    )["results"]

    for key, name in given.items():
        _, fits, _, said = SCHEMAS[name]
        assert results[f"{key}-fits"]["output"] == {"told": fits}, name
        refused = results[f"{key}-misfit"]
        assert (refused["status"], refused["output"], refused["attempts"]) == ("failed", None, 1), name
        assert said in str(refused["error"]), name
        assert f"gives tool {key!r}" in str(refused["error"]), name


def test_dependencies_between_arguments_are_checked_whatever_their_values() -> None:
    for name in ("dependentRequired", "if, then", "not, whole"):
        _, _, misfit, said = SCHEMAS[name]
        marked = {key: value if key == "mode" else "${s}" for key, value in misfit.items()}
        assert said in "\n".join(problems(tool_of(schema_of(name)), marked))


@pytest.mark.parametrize(
    ("schema", "args", "words"),
    [
        (
            {"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"properties": {"a": {"type": "string"}}}}},
            {"a": 1},
            "text",
        ),
        ({"allOf": [{"properties": {"a": {}}}]}, {"b": 1}, "unknown argument 'b'; it takes a"),
        ({"required": ["a"]}, {"b": 1}, "unknown argument 'b'"),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "integer"}}, {"b": "x"}, "'b', which does not fit"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b": "x"}, "unknown argument 'b'"),
        ({"properties": {"a": {"type": "string", "enum": ["x"]}}}, {"a": 7}, "it must be text, not 7"),
        ({"properties": {"a": {"enum": [1, 2]}}}, {"a": "1${s}"}, "it must be one of 1, 2"),
        ({"properties": {"a": {"enum": list(range(30))}}}, {"a": 99}, "18, 19 and 10 more, not 99"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"a": {"$ref": "#"}}},
            {"a": {"a": 1}},
            "",
        ),
    ],
)
def test_arguments_are_known_by_every_part_of_a_schema(schema: Any, args: Any, words: str) -> None:
    found = problems(tool_of(schema), args)
    assert (words in "\n".join(found)) if words else not found


def test_a_reference_inside_a_schema_that_names_its_dialect() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"a": {"type": "integer"}, "more": {"$ref": "#"}},
    }
    assert problems(tool_of(schema), {"more": {"more": {"a": "${s}"}}}) == []
    assert "'more.more.a'" in "\n".join(problems(tool_of(schema), {"more": {"more": {"a": "${s}!"}}}))


def test_text_of_an_output_is_no_reference_at_the_call() -> None:
    tool = tool_of({"properties": {"a": {"type": "string", "maxLength": 10}}})
    check_call(tool, {"a": "${HOME}/${"})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "whole"}, "no JSON Schema at 'type': 'whole' is not valid"),
        ({"properties": {"a": {"minimum": "1"}}}, "at 'properties.a.minimum'"),
        ({"properties": {"a": {"pattern": "["}}}, "at 'properties.a.pattern'"),
        ({"properties": {"a": {"$ref": "#/$defs/gone"}}}, "refers to '#/$defs/gone', which is not in it"),
        ({"properties": {"a": {"$ref": "https://schemas.example.com/a.json"}}}, "which is not in it"),
        ({"properties": {"a": {"enum": {1, 2}}}}, "not JSON serializable"),
    ],
)
def test_a_tool_with_a_bad_schema_is_refused_when_it_is_loaded(schema: Any, words: str, tmp_path: Path) -> None:
    for load in (check_schema, lambda tool: build_plan_graph([tool])):
        with pytest.raises(SettingsError, match="The tool 'remote' cannot be used") as caught:
            load(tool_of(schema))
        assert words in str(caught.value)
    file = tmp_path / "own.py"
    file.write_text(
        "from langchain_core.tools import StructuredTool\n"
        f"t = StructuredTool.from_function(func=dict, name='remote', description='r', args_schema={schema!r})\n"
    )
    with pytest.raises(SettingsError, match="The tool 'remote' cannot be used"):
        load_tools(str(file))


def test_patterns_that_only_javascript_reads_are_not_checked() -> None:
    tool = tool_of({"properties": {"a": {"pattern": r"^\p{L}+$"}, "b": {"patternProperties": {r"\p{L}": False}}}})
    check_schema(tool)
    assert problems(tool, {"a": "ä", "b": {"x": 1}}) == []


def test_a_tool_that_checks_its_arguments_itself_is_called_with_what_is_given() -> None:
    schema = {"properties": {"a": {"type": "integer"}}}
    check_call(tool_of(schema, checks_arguments=True), {"a": "7"})
    assert "must be a whole number" in "\n".join(problems(tool_of(schema, checks_arguments=True), {"a": "7"}))


REMOTE = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "exclusiveMinimum": 0},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
    },
    "required": ["n"],
    "not": {"required": ["zzz"]},
}


@pytest.mark.postgres
async def test_nobody_is_asked_about_a_call_that_cannot_be_made(saver: ThreadSaver, tmp_path: Path) -> None:
    rules = {"rules": [{"tool": "remote", "action": "ask", "reason": "it costs money"}]}
    app = build_plan_graph([tool_of(REMOTE), "ask_human"], policy=rules).compile(checkpointer=saver)
    plan = {
        "subtasks": [
            {"id": "who", "tool": "ask_human", "args": {"inquire": "How many?"}},
            {"id": "bad", "tool": "remote", "args": {"n": "${who.answer}"}},
            {"id": "good", "tool": "remote", "args": {"n": 1}},
        ]
    }
    config: Any = {"configurable": {"thread_id": "t", "workspace": str(tmp_path)}}
    await app.ainvoke({"plan": plan}, config)
    questions = await app.questions("t")
    assert {question["subtask"] for question in questions} == {"who", "good"}

    answers: Any = answers_for(questions, ["who=0", 'good=edit {"n": 2, "code": "xx"}'])
    with pytest.raises(UnknownQuestionError, match=r"must match the pattern '\^\[A-Z\]\{3\}\$', unlike 'xx'"):
        await app.ainvoke(Command(resume=answers), config)
    assert {question["subtask"] for question in await app.questions("t")} == {"who", "good"}

    answers = answers_for(questions, ["who=0", 'good=edit {"code": "ABC"}'])
    results = (await app.ainvoke(Command(resume=answers), config))["results"]

    assert "must be a whole number, not '0'" in results["bad"]["error"]
    assert results["good"]["status"] == "completed"

"""Plans checked against the tools and agents that there are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, tool
from pydantic import BaseModel, ConfigDict, Field, model_validator

from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan
from openmanus_graph.tools.registry import builtin


class Measure(BaseModel):
    path: str = Field(max_length=12)
    count: int = 1
    mode: Literal["fast", "slow"] = "fast"
    tags: list[int] = []
    either: int | list[int] | None = None
    nested: dict[str, int] = {}
    from_: str = Field(default="", alias="from")

    @model_validator(mode="after")
    def _not_both(self) -> Measure:
        if self.count == 13:
            raise ValueError("13 is not allowed")
        if self.count == 14:
            raise RuntimeError("broken")
        return self


async def nothing(**_: Any) -> int:
    return 1


measure = StructuredTool.from_function(coroutine=nothing, name="measure", description="m", args_schema=Measure)


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")
    path: str


open_ended = StructuredTool.from_function(coroutine=nothing, name="open", description="o", args_schema=Anything)


@tool
def injected(x: int, call: Annotated[str, InjectedToolCallId]) -> int:
    """Takes an argument that the engine gives."""
    return x + len(call)


remote = StructuredTool.from_function(
    coroutine=nothing,
    name="remote",
    description="r",
    args_schema={
        "type": "object",
        "properties": {
            "text": {"type": "string", "minLength": 3},
            "number": {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]},
            "choice": {"enum": ["x", "y", 1]},
            "object": {"$ref": "#/$defs/Object"},
            "either": {"oneOf": [{"type": "boolean"}, {"type": "array", "maxItems": 1}]},
        },
        "required": ["text"],
        "$defs": {
            "Object": {
                "type": "object",
                "properties": {"list": {"type": "array", "items": {"type": "number"}}},
                "required": ["list"],
                "additionalProperties": False,
            }
        },
    },
)


class Bare(BaseTool):
    name: str = "bare"
    description: str = "b"

    def _run(self, u: int, v: str = "x") -> int:
        return u + len(v)


TOOLS: dict[str, BaseTool] = {
    one.name: one
    for one in [measure, open_ended, injected, remote, Bare(), builtin("list_files"), builtin("ask_human")]
}


def problems_of(tool_name: str, **args: Any) -> list[str]:
    """The problems of one call, after a call of `list_files` with the id `s`."""
    subtasks = [
        {"id": "s", "tool": "list_files", "args": {"pattern": "*"}},
        {"id": "t", "tool": tool_name, "args": args},
    ]
    plan = Plan.from_dict({"subtasks": subtasks})
    try:
        plan.check(TOOLS, agents=["executor"])
    except PlanError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("measure", {"path": "x", "count": 3, "mode": "slow", "tags": [1], "from": "f"}),
        ("measure", {"path": "x", "either": [2], "nested": {"k": 1}}),
        ("measure", {"path": "${s}", "count": "${s.files.0}", "mode": "${s}", "tags": "${s}"}),
        ("measure", {"path": "${s}", "tags": ["${s}", 1], "either": ["${s}"], "nested": {"k": "${s}"}}),
        ("measure", {"path": "far too long for it ${s}", "mode": "fa${s}"}),
        ("measure", {"path": "$${HOME}/xxxx"}),
        ("open", {"path": "x", "more": 1}),
        ("injected", {"x": 1}),
        ("remote", {"text": "abc", "number": None, "choice": 1, "either": True}),
        ("remote", {"text": "abc", "object": {"list": [1, 2.5]}}),
        ("remote", {"text": "${s}", "number": "${s}", "choice": "${s}", "object": {"list": ["${s}"]}}),
        ("remote", {"text": "${s}x", "choice": "${s}x", "object": "${s}", "either": ["${s}"]}),
        ("bare", {"u": 1}),
    ],
)
def test_arguments_that_fit_or_may_fit_are_accepted(name: str, args: dict[str, Any]) -> None:
    assert problems_of(name, **args) == []


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("measure", {}, "does not give the argument 'path' that tool 'measure' needs"),
        ("measure", {"path": "x", "cont": 1}, "unknown argument 'cont'; did you mean 'count'?"),
        ("measure", {"path": "x", "zzz": 1}, "it takes path, count, mode, tags, either, nested, from"),
        ("measure", {"path": "x", "zzz": "${s}"}, "unknown argument 'zzz'"),
        (
            "measure",
            {"path": 3},
            "the argument 'path' as 3, which does not fit: input should be a valid string",
        ),
        ("measure", {"path": "x", "count": "many"}, "valid integer"),
        ("measure", {"path": "x", "count": "1${s}"}, "'count' as '1${s}'"),
        ("measure", {"path": "x", "tags": "${s} "}, "valid list"),
        ("measure", {"path": "x", "tags": {"a": "${s}"}}, "valid list"),
        ("measure", {"path": "x", "nested": {"k": "v"}}, "'nested.k' as 'v'"),
        ("measure", {"path": "x", "mode": "quick"}, "'fast' or 'slow'"),
        ("measure", {"path": "$${HOME}/xxxxx"}, "at most 12"),
        ("measure", {"path": "x", "count": 13}, "13 is not allowed"),
        ("measure", {"path": "x", "count": 14}, "RuntimeError: broken"),
        ("injected", {"x": 1, "call": "c"}, "unknown argument 'call'"),
        ("remote", {}, "does not give the argument 'text'"),
        ("remote", {"text": "abc", "b": 1}, "unknown argument 'b'"),
        ("remote", {"text": 3}, "must be text, not 3"),
        ("remote", {"text": "ab"}, "at least 3 characters"),
        ("remote", {"text": "abc", "number": "x"}, "'number', which does not fit: it must be a whole number"),
        ("remote", {"text": "abc", "number": 1}, "at least 2"),
        ("remote", {"text": "abc", "number": True}, "must be a whole number, not True"),
        ("remote", {"text": "abc", "number": "1${s}"}, "must be a whole number"),
        ("remote", {"text": "abc", "choice": "z"}, "must be one of 'x', 'y', 1"),
        ("remote", {"text": "abc", "choice": True}, "must be one of"),
        ("remote", {"text": "abc", "object": {}}, "must have the member 'list'"),
        ("remote", {"text": "abc", "object": {"list": [], "q": 1}}, "must not have the member 'q'"),
        ("remote", {"text": "abc", "object": {"list": [1, "x"]}}, "'object.list.1'"),
        ("remote", {"text": "abc", "either": "x"}, "none of the allowed types"),
        ("bare", {"u": "x", "w": 1}, "unknown argument 'w'"),
        ("list_file", {}, "unknown tool 'list_file'; did you mean 'list_files'?"),
        ("zzz", {}, "the tools are ask_human, bare"),
    ],
)
def test_arguments_that_do_not_fit_are_named(name: str, args: dict[str, Any], words: str) -> None:
    problems = problems_of(name, **args)
    assert all(problem.startswith("subtask 't': ") for problem in problems)
    assert words in "\n".join(problems)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("${s.file}", "'file', which the output of tool 'list_files' does not have; did you mean 'files'?"),
        ("${s.zzz}", "it has files, truncated"),
        ("${s.files.first}", "use an index such as 0"),
        ("${s.files.0.name}", "leave it out"),
    ],
)
def test_fields_that_a_built_in_tool_never_returns(reference: str, words: str) -> None:
    assert words in "\n".join(problems_of("measure", path=reference))


def test_fields_of_other_outputs_are_not_known() -> None:
    @tool
    def list_files(pattern: str) -> dict[str, str]:
        """A tool of the user's with the name of a built-in one."""
        return {"anything": pattern}

    plan = Plan.from_dict(
        {
            "subtasks": [
                {"id": "s", "tool": "list_files", "args": {"pattern": "*"}},
                {"id": "a", "agent": "executor", "goal": "${s.anything}"},
                {"id": "b", "agent": "executor", "goal": "${a.whatever.3}"},
                {"id": "c", "tool": "ask_human", "args": {"inquire": "really?"}},
                {"id": "d", "agent": "executor", "goal": "${c.answer.why}"},
            ]
        }
    )
    plan.check({**TOOLS, "list_files": list_files}, ["executor"])


def test_agents_and_allowed_tools() -> None:
    subtasks = [
        {"id": "a", "agent": "executer", "goal": "x", "tools": ["bare", "mesure"]},
        {"id": "b", "agent": "executor", "goal": "x"},
    ]
    plan = Plan.from_dict({"subtasks": subtasks})
    plan.check()
    with pytest.raises(PlanError) as caught:
        plan.check(TOOLS, ["executor"])
    assert sorted(caught.value.problems) == [
        "subtask 'a': allows the unknown tool 'mesure'; did you mean 'measure'?",
        "subtask 'a': names the unknown agent 'executer'; did you mean 'executor'?",
    ]
    with pytest.raises(PlanError, match="there are no agents"):
        plan.check(agents=())


def test_the_maximum_number_of_subtasks() -> None:
    plan = Plan.from_dict({"subtasks": [{"id": f"s{n}", "tool": "bare", "args": {"u": n}} for n in range(1001)]})
    with pytest.raises(PlanError, match="has 1001 subtasks, and at most 1000 are allowed"):
        plan.check()
    plan.check(TOOLS, max_subtasks=1001)


def test_a_schema_without_end_is_said() -> None:
    loop = {"anyOf": [{"$ref": "#/$defs/L"}, {"$ref": "#/$defs/L"}]}
    schema = {"type": "object", "properties": {"x": {"$ref": "#/$defs/L"}}, "$defs": {"L": loop}}
    endless = StructuredTool.from_function(coroutine=nothing, name="endless", description="e", args_schema=schema)
    plan = Plan.from_dict({"subtasks": [{"id": "a", "tool": "endless", "args": {"x": 1}}]})
    with pytest.raises(PlanError, match="refers to itself without end"):
        plan.check({"endless": endless})

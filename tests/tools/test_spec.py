"""Spec: everything that is said of a tool is said on the tool itself, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, tool
from pydantic import BaseModel, SecretStr

from openmanus_graph import Settings, build_plan_graph
from openmanus_graph.context import ToolContext
from openmanus_graph.errors import PlanError, SettingsError
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.nodes.planning.tool_catalogue import tools_text
from openmanus_graph.plan import Plan
from openmanus_graph.plans.output_shape import ANY, TEXT
from openmanus_graph.plans.validation import PlanProblem
from openmanus_graph.tools.registry import BUILTIN_TOOLS, builtin_tools
from openmanus_graph.tools.spec import Effect, ToolSpec, builtin_tool, sources_of, spec_of


class Arguments(BaseModel):
    words: str


async def _verify(args: dict[str, Any], context: ToolContext) -> dict[str, Any]:
    del args, context
    return {"happened": True}


async def _site(args: Mapping[str, Any], context: ToolContext) -> str | None:
    return f"https://{args}.example" if context else None


def _goes_on(context: ToolContext) -> bool:
    return context.direct


def _effect(args: Mapping[str, Any]) -> Effect:
    return "write" if args else "read"


def _check(args: dict[str, Any]) -> list[PlanProblem]:
    return [PlanProblem((name,), f"gives the argument {name!r}") for name in args]


def _missing(settings: Settings) -> str | None:
    return f"nothing in {settings.home}"


STATED: dict[str, Any] = {
    "effect": "write",
    "idempotent": True,
    "resource": "printer",
    "timeout_s": 4.0,
    "reads_when": ("words", ("look",)),
    "effect_when": _effect,
    "unavailable": _missing,
    "alias_of": "bash",
    "ledger": True,
    "keeps": True,
    "site": _site,
    "verify": _verify,
    "goes_on": _goes_on,
    "returns": {"text": TEXT, "rows": [{"n": TEXT}], "more": ANY},
    "free_text": ("text",),
    "newest": ("rows",),
    "shows": "text",
    "planned": False,
    "on_request": True,
    "takes_code": True,
    "code_argument": "words",
    "runs_commands": True,
    "checks_arguments": True,
    "check": _check,
    "source": "url",
    "cache_s": 60.0,
}
"""Of every field a value that is not its default."""


def made(**stated: Any) -> BaseTool:
    async def shout(words: str) -> dict[str, Any]:
        """Say it in capitals."""
        return {"text": words.upper()}

    return builtin_tool("shout", Arguments, ToolSpec(**{"returns": {"text": TEXT}, **stated}))(shout)


def test_a_built_in_tool_keeps_every_field_of_its_spec() -> None:
    assert set(STATED) == {field.name for field in fields(ToolSpec)}
    for name, value in STATED.items():
        assert getattr(ToolSpec(), name) != value
        assert getattr(spec_of(made(**{name: value})), name) == value
    assert spec_of(made(**STATED)) == ToolSpec(**STATED)


@pytest.mark.parametrize("name", STATED)
def test_a_tool_of_ones_own_states_the_same_in_its_metadata(name: str) -> None:
    own = StructuredTool.from_function(
        func=lambda words: words, name="own", description="Mine.", args_schema=Arguments, metadata={name: STATED[name]}
    )

    assert spec_of(own) == ToolSpec(**{name: STATED[name]})


def test_a_built_in_tool_says_what_it_returns() -> None:
    with pytest.raises(SettingsError, match="'shout' does not say what it returns"):
        made(returns=None)
    assert [tool.name for tool in builtin_tools() if spec_of(tool).returns is None] == []


@pytest.mark.parametrize("stated", [7, "number", [], ["text", "text"], {"a": None}, {"a": ["json"]}, {1: "text"}])
def test_an_output_that_is_no_shape_is_refused(stated: Any) -> None:
    own = StructuredTool.from_function(
        func=lambda words: words, name="own", description="Mine.", args_schema=Arguments, metadata={"returns": stated}
    )

    with pytest.raises(SettingsError, match=r"'own' declares .* as 'returns'"):
        spec_of(own)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("url", ["https://a.example/?token=[key]"]),
        ("urls", ["https://b.example/", "http://c.example/"]),
        ("other", []),
        (lambda args, output: [args["url"], output["next"], 7], ["https://a.example/?token=[key]", "http://d.example"]),
        (lambda args, output: output["missing"], []),
        (None, []),
    ],
)
def test_a_tool_says_which_addresses_a_call_has_read(source: Any, found: list[str]) -> None:
    args = {"url": "https://a.example/?token=abc", "urls": ["https://b.example/", "http://c.example/", "ftp://e", None]}
    own = StructuredTool.from_function(
        func=lambda words: words, name="own", description="Mine.", args_schema=Arguments, metadata={"source": source}
    )
    assert sources_of(own, args, {"next": "http://d.example"}) == found


def test_a_source_that_is_neither_name_nor_function_is_refused() -> None:
    with pytest.raises(SettingsError, match="'shout' declares 7 as 'source'"):
        spec_of(made(source=7))


@pytest.mark.parametrize("field", ["txet", "text.0", "rows.first"])
def test_a_field_that_a_new_tool_does_not_return_is_a_problem_of_the_plan(field: str) -> None:
    tool = made(returns={"text": TEXT, "rows": [TEXT], "more": ANY})
    plan = {
        "subtasks": [
            {"id": "a", "tool": "shout", "args": {"words": "x"}},
            {"id": "b", "tool": "shout", "args": {"words": f"${{a.{field}}}"}, "needs": ["a"]},
            {"id": "c", "tool": "shout", "args": {"words": "${a.rows.0} ${a.more.any.thing}"}, "needs": ["a"]},
        ]
    }

    with pytest.raises(PlanError) as error:
        Plan.from_dict(plan).check({"shout": tool})
    assert len(error.value.problems) == 1
    assert "shout" in error.value.problems[0]


def test_the_planner_is_shown_what_a_tool_returns_and_no_tool_that_is_not_planned() -> None:
    shown, hidden = made(returns={"text": TEXT, "rows": [{"n": TEXT}], "more": ANY}), made(planned=False)

    assert tools_text({"shout": shown}) == "- shout(words*) -> {text, rows: [{n}], more}: Say it in capitals"
    assert tools_text({"shout": hidden}) == ""


def test_a_tool_of_the_users_with_a_built_in_name_is_its_own() -> None:
    for name in BUILTIN_TOOLS:
        own = StructuredTool.from_function(func=lambda words: words, name=name, description="M.", args_schema=Arguments)
        assert spec_of(own) == ToolSpec()
        assert tools_text({name: own}) == f"- {name}(words*): M"


async def _undecorated(words: str) -> dict[str, Any]:
    """Never made a tool."""
    return {"text": words}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (_undecorated, "The function '_undecorated' is given as a tool, and is none. Decorate it with `@tool`"),
        (builtin_tool("shout", Arguments, ToolSpec(returns=ANY)), "by themselves give a decorator"),
        (tool("shout"), "by themselves give a decorator"),
        (Arguments, "A tool cannot be <class"),
        (None, "A tool cannot be None"),
        ([made()], "each by itself"),
        ("bsh", "There is no built-in tool 'bsh'. Did you mean 'bash'"),
        ("zzz", "There is no built-in tool 'zzz'. There are bash, python_execute"),
    ],
)
def test_what_is_no_tool_is_said(given: Any, words: str) -> None:
    keyed = Settings(llm_api_key=SecretStr("sk-scripted"))
    for build in (
        lambda: build_plan_graph([given]),
        lambda: build_manus_graph("openai/x", tools=[given], settings=keyed),
    ):
        with pytest.raises(SettingsError) as caught:
            build()
        assert words in str(caught.value)

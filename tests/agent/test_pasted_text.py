"""Text of unknown content in commands: a model's plan that pastes it goes back; as a variable it arrives whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from openmanus_graph import Plan
from openmanus_graph.nodes.planning.proposal import checked_plan
from openmanus_graph.plans.output_shape import TEXT
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse
from openmanus_graph.tools.registry import builtin_tools
from tests.agent.conftest import Build
from tests.agent.replies import done, plans, thread

TOOLS = {tool.name: tool for tool in builtin_tools()}
SOURCES: list[dict[str, Any]] = [
    {"id": "page", "tool": "fetch_page", "args": {"urls": ["https://example.com"]}},
    {"id": "found", "tool": "web_search", "args": {"query": "x"}},
    {"id": "api", "tool": "http_request", "args": {"method": "GET", "url": "https://example.com"}},
    {"id": "said", "tool": "ask_human", "args": {"inquire": "Which?"}},
    {"id": "lines", "tool": "search_files", "args": {"pattern": "x"}},
    {"id": "file", "tool": "str_replace_editor", "args": {"command": "view", "path": "a"}},
    {"id": "agent", "agent": "executor", "goal": "write it"},
    {"id": "names", "tool": "list_files", "args": {"pattern": "*"}},
    {"id": "ran", "tool": "bash", "args": {"command": "seq 3"}},
    {"id": "sum", "tool": "python_execute", "args": {"code": "1 + 1"}},
]
ODD = 'it\'s "so"\nand $HOME `x` \\ so on'


def problems_of(subtask: dict[str, Any], **options: Any) -> list[str]:
    """The problems of a model's plan with this subtask behind those that bring text."""
    proposal = {"goal": "g", "subtasks": [*SOURCES, {"id": "use", **subtask}]}
    return checked_plan(proposal, options.pop("tools", TOOLS), ["executor"], 50, **options)[1]


@pytest.mark.parametrize(
    "reference",
    [
        "${page.pages.0.markdown}",
        "${page.pages.0.title}",
        "${page.pages.0}",
        "${page}",
        "${found.results.0.url}",
        "${api.text}",
        "${api.json.rates.0}",
        "${said.answer}",
        "${lines.matches.0.text}",
        "${file.text}",
        "${agent}",
        "${agent.price}",
    ],
)
@pytest.mark.parametrize(
    ("tool", "argument", "pasted", "cure"),
    [
        ("bash", "command", "echo {}", '"$text"'),
        ("bash", "command", "echo '{}'", '"$text"'),
        ("python_execute", "code", 'print("{}")', "write text in its place"),
    ],
)
def test_text_of_unknown_content_in_code_goes_back(
    reference: str, tool: str, argument: str, pasted: str, cure: str
) -> None:
    (problem,) = problems_of({"tool": tool, "args": {argument: pasted.replace("{}", reference)}})

    assert problem.startswith(f"subtask 'use': pastes '{reference}' into 'args.{argument}'")
    assert f'"variables": {{"text": "{reference}"}}' in problem
    assert cure in problem


@pytest.mark.parametrize(
    "subtask",
    [
        {"tool": "bash", "args": {"command": "wc -l ${names.files.0} ${file.path}"}},
        {"tool": "bash", "args": {"command": "echo ${ran.stdout} ${ran.exit_code} ${page.pages.0.status}"}},
        {"tool": "python_execute", "args": {"code": "print(${sum.result} + ${ran.stdout}, ${names.files})"}},
        {"tool": "bash", "args": {"command": 'echo "$text"', "variables": {"text": "${page.pages.0.markdown}"}}},
        {"tool": "python_execute", "args": {"code": "len(text)", "variables": {"text": "${page.pages}"}}},
        {"tool": "python_execute", "args": {"code": "${agent}"}},
        {
            "tool": "str_replace_editor",
            "args": {"command": "create", "path": "p.md", "file_text": "# Page\n${page.pages.0.markdown}\n${agent}"},
        },
        {"agent": "executor", "goal": "Judge ${page.pages.0.markdown}"},
    ],
)
def test_numbers_paths_and_what_is_no_code_are_pasted_as_ever(subtask: dict[str, Any]) -> None:
    assert problems_of(subtask) == []


def test_every_problem_is_told_at_once_and_none_of_what_has_run() -> None:
    two = {"tool": "bash", "args": {"command": "echo ${agent} ${page}", "tempo": 1}}

    assert len(problems_of(two)) == 3
    assert problems_of({"tool": "bash", "args": {"command": "echo ${agent}"}}, completed=["use"]) == []


def test_a_tool_of_ones_own_states_what_it_runs_and_what_it_brings() -> None:
    mail = StructuredTool.from_function(
        func=lambda: {"subject": "s", "size": 1},
        name="mail",
        description="Read it.",
        metadata={"returns": {"subject": TEXT, "size": TEXT}, "free_text": ["subject"]},
    )
    query = StructuredTool.from_function(
        func=lambda sql: sql, name="query", description="Ask it.", metadata={"code_argument": "sql"}
    )
    tools = {**TOOLS, "mail": mail, "query": query}
    subtasks = [{"id": "m", "tool": "mail"}, {"id": "q", "tool": "query", "args": {"sql": "${m.size}, ${m.subject}"}}]

    (problem,) = checked_plan({"goal": "g", "subtasks": subtasks}, tools, [], 50)[1]

    assert "pastes '${m.subject}' into 'args.sql'" in problem
    assert "write it to a file in a subtask before, and name the file" in problem


def test_a_plan_of_a_person_stays_as_it_was() -> None:
    pastes = {"id": "use", "tool": "bash", "args": {"command": "echo '${page.pages.0.title}'"}}
    Plan.from_dict({"subtasks": [*SOURCES, pastes]}, tools=TOOLS, agents=["executor"])


@pytest.mark.sandbox
async def test_the_model_corrects_it_and_the_text_arrives_whole(build: Build, provider: ScriptedServer) -> None:
    says = {"id": "say", "goal": "say it", "agent": "executor"}
    wrong = {"id": "shell", "tool": "bash", "args": {"command": "printf %s ${say} | wc -l"}}
    shell = {"id": "shell", "tool": "bash", "args": {"command": 'printf %s "$text"', "variables": {"text": "${say}"}}}
    python = {"id": "python", "tool": "python_execute", "args": {"code": "text", "variables": {"text": "${say}"}}}
    provider.add(plans(says, wrong), plans(says, shell, python), *done(ODD), Reply("done"))
    out = await build().ainvoke({"task": "say it"}, thread())

    told = str(provider.requests[1].messages[-1]["content"])
    assert "subtask 'shell': pastes '${say}' into 'args.command'" in told
    assert out["status"] == "completed"
    assert out["results"]["shell"]["output"]["stdout"] == ODD
    assert out["results"]["python"]["output"]["result"] == repr(ODD)


@pytest.mark.sandbox
async def test_values_of_every_kind_reach_code_by_name(build: Build, provider: ScriptedServer) -> None:
    values = {"n": 3, "rows": [{"a": None}, True], "empty": "", "lines": "a\nb\n"}
    shell = {"command": 'printf "[%s]" "$n" "$rows" "$empty" "$lines"', "variables": values}
    subtasks: list[dict[str, Any]] = [
        {"id": "s", "tool": "bash", "args": shell},
        {"id": "p", "tool": "python_execute", "args": {"code": "[n, rows, empty, lines]", "variables": values}},
    ]
    provider.add(Reply("done"))
    out = await build().ainvoke({"plan": {"subtasks": subtasks}}, thread())

    assert out["results"]["s"]["output"]["stdout"] == '[3][[{"a":null},true]][][a\nb\n]'
    assert out["results"]["p"]["output"]["result"] == repr([*values.values()])


@pytest.mark.sandbox
async def test_a_name_that_no_variable_can_have_is_refused(build: Build, provider: ScriptedServer) -> None:
    uses: list[ToolUse] = [
        ToolUse("bash", {"command": "touch made", "variables": {"a b": 1}}),
        ToolUse("python_execute", {"code": "open('made', 'w')", "variables": {"class": 1}}),
    ]
    agent = {"id": "w", "goal": "do it", "agent": "executor"}
    provider.add(plans(agent), Reply(tool_calls=uses), *done("x"), Reply("x"))
    await build().ainvoke({"task": "do it"}, thread())

    results = [str(m["content"]) for m in provider.requests[2].messages if m["role"] == "tool"]
    assert "'a b', which is no name of a shell variable" in results[0]
    assert "'class', which is no name of a Python variable" in results[1]
    assert not list(Path("openmanus-work").rglob("made"))

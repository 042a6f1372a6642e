"""Plans as models really write them: slips with one meaning are mended, the rest goes back with its problem."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openmanus_graph.nodes.planning.plan_repair import mended
from openmanus_graph.nodes.planning.proposal import checked_plan
from openmanus_graph.plan import Plan
from openmanus_graph.tools.registry import builtin_tools

TOOLS = {tool.name: tool for tool in builtin_tools()}
AGENTS = ("executor", "writer")
SAY = {"id": "s1", "tool": "bash", "args": {"command": "printf a"}}


def read(value: Any) -> Plan:
    plan, problems = checked_plan(mended(value, TOOLS, AGENTS), TOOLS, AGENTS, 1000)
    assert plan is not None, problems
    return plan


def problems_of(value: Any) -> str:
    plan, problems = checked_plan(mended(value, TOOLS, AGENTS), TOOLS, AGENTS, 1000)
    assert plan is None
    return "\n".join(problems)


def read_two(**second: Any) -> dict[str, Any]:
    return read({"goal": "g", "subtasks": [SAY, {"id": "s2", **second}]}).subtasks[1].to_dict()


@pytest.mark.parametrize(
    "value",
    [
        {"goal": "g", "subtasks": [SAY]},
        {"plan": {"goal": "g", "subtasks": [SAY]}},
        {"goal": "g", "plan": [SAY]},
        {"goal": "g", "steps": [SAY]},
        {"goal": "g", "subtasks": {"s1": {"tool": "bash", "args": {"command": "printf a"}}}},
        {"goal": "g", "subtasks": '[{"id": "s1", "tool": "bash", "args": {"command": "printf a"}}]'},
        [SAY],
        {"arguments": json.dumps({"subtasks": [{**SAY, "args": json.dumps(SAY["args"])}]})},
    ],
)
def test_the_plan_is_found_wherever_it_is(value: Any) -> None:
    assert read(value).subtasks[0].to_dict() == SAY


@pytest.mark.parametrize(
    "fields",
    [
        {"tool": "Bash"},
        {"tool": "functions.bash"},
        {"tool_name": "bash"},
        {"agent": "bash"},
        {"tool": "bash", "agent": "executor"},
        {"tool": "bash", "agent": "bash"},
        {"tool": "bash", "agent": None, "done_when": None, "needs": None, "timeout_s": None, "tools": []},
        {"tool": "bash", "agent": "", "status": "pending"},
        {"tool": "bash", "agent": "none"},
        {"tool": "bash", "needs": ["s1", "none"]},
        {"tool": "bash", "needs": [""]},
    ],
)
def test_a_direct_call_is_one_however_it_is_put(fields: dict[str, Any]) -> None:
    one = read({"goal": "g", "subtasks": [{"id": "s1", "args": {"command": "printf a"}, **fields}]}).subtasks[0]
    assert one.to_dict() == SAY


def test_an_agent_is_one_however_it_is_put() -> None:
    for fields in (
        {},
        {"agent": "Executor"},
        {"tool": "executor"},
        {"tool": "null", "agent": "executor"},
        {"args": {}},
    ):
        assert read_two(goal="do it", **fields) == {"id": "s2", "goal": "do it", "agent": "executor"}
    assert read_two(description="do it", tool="writer")["agent"] == "writer"


@pytest.mark.parametrize(
    "needs", ["s1", "s1, s1", ["S1"], [{"id": "s1"}], ["${s1}"], ["${s1.stdout}"], ["s1", "s2"], ["s1", "s1"]]
)
def test_needs_are_read(needs: Any) -> None:
    assert read_two(goal="do it", needs=needs)["needs"] == ["s1"]


def test_ids_are_made_ones_and_references_follow() -> None:
    plan = read(
        {
            "goal": "g",
            "subtasks": [
                {"id": "Schritt eins é", "tool": "bash", "args": {"command": "ls"}},
                {"id": 2, "goal": "read ${Schritt eins é.stdout}", "needs": ["Schritt eins é"]},
                {"goal": "go on", "needs": [2]},
                {"id": "第四步", "goal": "go on", "needs": ["2"]},
            ],
        }
    )
    assert [one.id for one in plan.subtasks] == ["Schritt-eins-e", "2", "s3", "s4"]
    assert plan.subtasks[1].goal == "read ${Schritt-eins-e.stdout}"
    assert plan.subtasks[2].needs == ["2"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{{s1}}", "${s1}"),
        ("{{ s1.stdout }}", "${s1.stdout}"),
        ("$s1", "${s1}"),
        ("$s1.stdout.", "${s1.stdout}."),
        ("${ s1.stdout }", "${s1.stdout}"),
        ("${s1['stdout']}", "${s1.stdout}"),
        ("${s1.output.stdout}", "${s1.stdout}"),
        ("${s1.output}", "${s1}"),
        ("${subtasks.s1.stdout}", "${s1.stdout}"),
        ("$5 and {{other}}", "$5 and {{other}}"),
    ],
)
def test_references_in_goals(written: str, meant: str) -> None:
    assert read_two(goal=f"Read {written}")["goal"] == f"Read {meant}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("echo ${HOME} ${x:-y} ${#list[@]} $s1", "echo $${HOME} $${x:-y} $${#list[@]} $s1"),
        ("echo {{s1.stdout}} ${s1.stdout}", "echo ${s1.stdout} ${s1.stdout}"),
        ("echo $${HOME}", "echo $${HOME}"),
        ("echo ${unclosed", "echo $${unclosed"),
        ("${list[@]} ${x:-a.b} ${x-a.b} ${x%.txt} ${x##*.}", "$${list[@]} $${x:-a.b} $${x-a.b} $${x%.txt} $${x##*.}"),
    ],
)
def test_variables_of_a_shell_are_its_own(written: str, meant: str) -> None:
    assert read_two(tool="bash", args={"command": written})["args"]["command"] == meant


def test_a_file_may_hold_code_with_braces_of_its_own() -> None:
    written = {"command": "create", "path": "a.js", "file_text": "console.log(`${user.name}`)"}
    made = read_two(tool="str_replace_editor", args=written)
    assert made["args"]["file_text"] == "console.log(`$${user.name}`)"


def test_numbers_as_words_and_lists_as_text() -> None:
    made = read_two(goal=["do", "it"], timeout_s="60s", retries="2", done_when=["a", "b"], tools="bash")
    assert (made["goal"], made["timeout_s"], made["retries"]) == ("do\nit", 60, 2)
    assert (made["done_when"], made["tools"]) == ("a\nb", ["bash"])


def test_nulls_for_arguments_that_were_to_be_left_out() -> None:
    assert read_two(tool="bash", args={"command": "ls", "restart": None})["args"] == {"command": "ls"}


def test_what_is_completed_may_be_named() -> None:
    value = {"goal": "g", "subtasks": [{"id": "b", "goal": "read {{old.stdout}}", "needs": ["Old"]}]}
    made = mended(value, TOOLS, AGENTS, ["old"])["subtasks"][0]
    assert (made["goal"], made["needs"]) == ("read ${old.stdout}", ["old"])


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ({"goal": "x", "needs": ["s7"]}, "'s7'"),
        ({"tool": "bash", "agent": "writer", "args": {"command": "ls"}}, "both a tool and an agent"),
        ({"tool": "bash", "args": {"command": "echo ${s3.stdout}"}}, "'s3'"),
        ({"tool": "bash", "args": {"command": "echo ${zz.stdout}"}}, "refers to 'zz' in 'args.command'"),
        ({"tool": "bash", "args": {"command": "echo ${zz.pages[0].text}"}}, "refers to 'zz'"),
        ({"tool": "bash", "args": {"command": "ls", "variables": {"x": "${zz}"}}}, "refers to 'zz'"),
        ({"tool": "python_execute", "args": {"code": "print('${zz.stdout}')"}}, "refers to 'zz' in 'args.code'"),
        ({"goal": "x", "agent": "painter"}, "'painter'"),
        ({"goal": "x", "args": {"a": 1}}, "args"),
        ({"tool": "bash", "args": "ls -l"}, "mapping"),
        ({"goal": "x", "condition": "only if s1 fails"}, "'condition'"),
        ("do it", "mapping"),
        (None, "mapping"),
    ],
)
def test_what_may_mean_two_things_goes_back(second: Any, problem: str) -> None:
    value = {"id": "s2", **second} if isinstance(second, dict) else second
    assert problem in problems_of({"goal": "g", "subtasks": [SAY, value]})


def test_cycles_and_ids_given_twice_go_back() -> None:
    ring = [{"id": "a", "goal": "x", "needs": ["b"]}, {"id": "b", "goal": "y", "needs": ["a"]}]
    assert "cycle" in problems_of({"goal": "g", "subtasks": ring})
    assert "id of subtask number 1" in problems_of({"goal": "g", "subtasks": [SAY, SAY]})
    same = [{"id": "a b", "goal": "x"}, {"id": "a-b", "goal": "y"}]
    assert "'a b'" in problems_of({"goal": "g", "subtasks": same})


@pytest.mark.parametrize(
    "value", [None, "no plan", 3, [], [1], {}, {"subtasks": None}, {"plan": {"plan": {}}}, {"steps": 3}]
)
def test_no_plan_is_none(value: Any) -> None:
    assert problems_of(value)

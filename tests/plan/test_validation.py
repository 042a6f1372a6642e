"""What is said about plans that are not sound: every problem, with the subtask and the cure."""

from __future__ import annotations

import enum
from collections import OrderedDict, UserDict
from typing import Any

import pytest

from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan, Subtask


def problems_of(*subtasks: Any, **fields: Any) -> list[str]:
    with pytest.raises(PlanError) as caught:
        Plan.from_dict({"subtasks": list(subtasks), **fields})
    return caught.value.problems


def call(name: str, *needs: str, **fields: Any) -> dict[str, Any]:
    return {"id": name, "tool": "t", "needs": list(needs), **fields}


def test_a_sound_plan_is_accepted_whichever_way_it_is_made() -> None:
    plan = Plan(subtasks=[Subtask(id="a", tool="t"), Subtask(id="b", agent="executor", goal="see ${a}")])
    assert Plan.from_dict(plan.to_dict()) == plan
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert plan.prerequisites(plan.subtasks[1]) == ("a",)
    assert hash(plan) == hash(Plan.from_dict(plan.to_dict()))
    assert plan != Plan(subtasks=[Subtask(id="a", tool="t")])


def test_prerequisites_are_needs_then_references_each_once() -> None:
    args = {"x": ["${b.y}", "${c}"], "y": "${a.z} ${d}"}
    last = Subtask(id="e", tool="t", needs=["c", "a", "c"], goal="${f}", args=args)
    assert last.prerequisites() == ("c", "a", "f", "b", "d")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "''"),
        ("a b", "'a b'"),
        ("ä", "'ä'"),
        ("a\n", r"'a\n'"),
        ("x" * 65, "…"),
        (7, "7"),
        (None, "None"),
    ],
)
def test_malformed_ids(name: Any, shown: str) -> None:
    (problem,) = problems_of({"id": name, "tool": "t"})
    assert problem.startswith("subtask number 1: 'id'")
    assert shown in problem


def test_an_id_of_64_characters_is_the_longest() -> None:
    name = "aZ09_-" + "x" * 58
    assert Plan.from_dict({"subtasks": [call(name)]}).subtasks[0].id == name


def test_a_missing_id() -> None:
    assert problems_of(call("a"), {"tool": "t"}) == ["subtask number 2: has no 'id'; add it"]


def test_duplicate_ids() -> None:
    (problem,) = problems_of(call("a"), call("b"), call("a"))
    assert problem == "subtask 'a': has the id of subtask number 1; give each its own id"


def test_unknown_needs_name_the_nearest() -> None:
    first, second = problems_of(call("fetch"), call("b", "fecth"), call("c", "zzz"))
    assert first == "subtask 'b': needs 'fecth', which is no subtask of the plan; did you mean 'fetch'?"
    assert second == "subtask 'c': needs 'zzz', which is no subtask of the plan; add it or remove the need"


def test_unknown_references_name_the_nearest_or_the_escape() -> None:
    first, second = problems_of(
        call("fetch"), call("b", args={"deep": [{"x": "${fecth.y}"}]}), call("c", goal="echo ${HOME}")
    )
    assert "subtask 'b': refers to 'fecth' in 'args.deep.0.x'" in first
    assert "did you mean 'fetch'?" in first
    assert "subtask 'c': refers to 'HOME' in 'goal'" in second
    assert "'$${'" in second


def test_malformed_references() -> None:
    (problem,) = problems_of(call("a", args={"command": "echo ${HOME:-x}"}))
    assert problem.startswith("subtask 'a': in 'args.command', '${HOME:-x}' is not a reference")
    assert "write '$${' for a literal '${'" in problem


def test_an_escaped_reference_is_text() -> None:
    plan = Plan.from_dict({"subtasks": [call("a", args={"command": "echo $${HOME:-x}"})]})
    assert plan.subtasks[0].prerequisites() == ()


def test_a_reference_to_itself() -> None:
    (problem,) = problems_of(call("a", args={"x": "${a.y}"}))
    assert problem == "subtask 'a': refers to its own output in 'args.x'; refer to an earlier subtask"


@pytest.mark.parametrize(
    ("subtasks", "rings"),
    [
        ([call("a", "a")], ["a → a"]),
        ([call("a", "b"), call("b", "a")], ["a → b → a"]),
        ([call("b", "a"), call("a", "c"), call("c", "b")], ["b → a → c → b"]),
        ([call("a", args={"x": "${b}"}), call("b", args={"x": "${a.y}"})], ["a → b → a"]),
        (
            [call("x", "a"), call("a", "b"), call("b", "a"), call("c", "d", "a"), call("d", "c")],
            ["a → b → a", "c → d → c"],
        ),
        ([call("a", "b", "c"), call("b", "a"), call("c", "a")], ["a → b → a", "a → c → a"]),
    ],
)
def test_each_cycle_is_printed_once(subtasks: list[dict[str, Any]], rings: list[str]) -> None:
    problems = problems_of(*subtasks)
    assert len(problems) == len(rings)
    for problem, ring in zip(problems, rings, strict=True):
        assert f": {ring};" in problem


def test_a_long_cycle_is_shortened() -> None:
    (problem,) = problems_of(*(call(f"s{n}", f"s{(n + 1) % 900}") for n in range(900)))
    assert "s0 → s1 →" in problem
    assert "s899 → s0;" in problem
    assert "(889 more)" in problem


def test_both_or_neither_of_tool_and_agent() -> None:
    first, second = problems_of({"id": "a"}, {"id": "b", "tool": "t", "agent": "executor", "goal": "x"})
    assert first == "subtask 'a': has neither a tool nor an agent; give one of them"
    assert second == "subtask 'b': has both a tool and an agent; remove one of them"


def test_what_would_be_ignored_is_refused() -> None:
    problems = problems_of(
        {"id": "a", "agent": "executor", "goal": "x", "args": {"y": 1}},
        {"id": "b", "tool": "t", "tools": ["u"]},
        {"id": "c", "agent": "executor"},
    )
    assert [problem.partition(";")[0] for problem in problems] == [
        "subtask 'a': has args, which only a tool takes",
        "subtask 'b': has 'tools', from which only an agent chooses",
        "subtask 'c': has an agent but no goal",
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"goal": 5}, "'goal' must be text"),
        ({"needs": "a"}, "'needs' must be a list, such as [a, b], not 'a'"),
        ({"needs": [True]}, "'needs.0' must be text"),
        ({"args": [1]}, "'args' must be a mapping"),
        ({"tool": ""}, "'tool' must not be empty"),
        ({"priority": 1.5}, "'priority' must be a whole number"),
        ({"priority": True}, "'priority' must be a whole number"),
        ({"retries": -1}, "'retries' must be 0 or more"),
        ({"timeout_s": 0}, "'timeout_s' must be more than 0"),
        ({"timeout_s": "5 s"}, "'timeout_s' must be a number, not '5 s'"),
        ({"expected_s": -2}, "'expected_s' must be more than 0"),
        ({"expected_s": float("inf")}, "'expected_s' is inf"),
        ({"approval": "yes"}, "'approval' must be true or false, not 'yes'"),
        ({"kind": []}, "'kind' must be text"),
        ({"retrys": 1}, "unknown field 'retrys'; did you mean 'retries'?"),
        ({"zzz": 1}, "the fields are id, goal, needs"),
        ({"priority": 2**70}, "more than 64 bits"),
    ],
)
def test_fields_that_do_not_fit(fields: dict[str, Any], words: str) -> None:
    (problem,) = problems_of(call("a") | fields)
    assert problem.startswith("subtask 'a': ")
    assert words in problem


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"x": {1, 2}}, "'args.x' is of the type 'set'"),
        ({"x": (1, 2)}, "'args.x' is of the type 'tuple'"),
        ({"x": [b"b"]}, "'args.x.0' is of the type 'bytes'"),
        ({"x": {3: 4}}, "'args.x' has the key 3, which is not text"),
        ({"x": float("nan")}, "'args.x' is nan"),
        ({"x": "\x00"}, "NUL"),
        ({"x": "\ud800"}, "surrogate"),
        ({"\ud800": 1}, "cannot be stored"),
        ({"x": 2**64}, "more than 64 bits"),
        ({"x": object()}, "of the type 'object'"),
    ],
)
def test_arguments_that_cannot_be_stored(value: dict[Any, Any], words: str) -> None:
    (problem,) = problems_of(call("a", args=value))
    assert problem.startswith("subtask 'a': ")
    assert words in problem


def test_everything_wrong_is_said_at_once() -> None:
    problems = problems_of(
        {"id": "a b", "tool": "t"},
        call("c", "nowhere", retries=-1, args={"x": "${"}),
        5,
        call("c"),
        gaol="x",
        goal=3,
    )
    text = "\n".join(problems)
    assert len(problems) == 8
    for word in (
        "'a b'",
        "'nowhere'",
        "'retries'",
        "'${'",
        "number 3",
        "id of subtask number 2",
        "'gaol'",
        "'goal' must",
    ):
        assert word in text


def test_thousands_of_problems_are_counted_not_listed() -> None:
    problems = problems_of(*(call(f"s{n}", "nowhere") for n in range(5000)))
    assert len(problems) == 201
    assert problems[-1] == "and 4800 more; correct these first"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "it is None"),
        ([], "a list"),
        ("x", "'x'"),
        (object(), "'object'"),
        ({}, "no 'subtasks'"),
        ({"subtasks": []}, "'subtasks' must not be empty"),
        ({"subtasks": {"a": 1}}, "'subtasks' must be a list"),
        ({"subtasks": None}, "'subtasks' must be a list"),
        ({"subtasks": [call("a")], 5: 6}, "the key 5"),
    ],
)
def test_what_is_no_plan_at_all(value: Any, words: str) -> None:
    for read in (Plan.from_dict, Plan.parse, Plan.model_validate):
        with pytest.raises(PlanError, match=words):
            read(value)


def test_values_of_subclasses_become_plain() -> None:
    class Colour(enum.StrEnum):
        RED = "red"

    value = UserDict(
        {"subtasks": [OrderedDict(id="a", tool="t", args=OrderedDict(c=Colour.RED, n=enum.IntEnum("N", "X").X))]}
    )
    args = Plan.from_dict(value).to_dict()["subtasks"][0]["args"]
    assert args == {"c": "red", "n": 1}
    assert [type(member) for member in args.values()] == [str, int]


def test_data_that_contains_itself_or_is_endless_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert "nested more than 50" in problems_of(call("a", args={"x": ring}))[0]
    wide: Any = "x"
    for _ in range(40):
        wide = [wide, wide]
    assert "more than 500000 values" in problems_of(call("a", args={"x": wide}))[0]


def test_a_mapping_that_fails_is_refused() -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no")

    (problem,) = problems_of(call("a", args=Broken(x=1)))
    assert "RuntimeError" in problem


def test_a_subtask_alone_is_checked_too() -> None:
    with pytest.raises(PlanError, match="neither a tool nor an agent"):
        Subtask(id="a")
    with pytest.raises(PlanError, match="'id' is 'a b'"):
        Subtask(id="a b", tool="t")


def test_later_changes_of_the_data_do_not_reach_the_plan() -> None:
    args: dict[str, Any] = {"x": [1]}
    plan = Plan.from_dict({"subtasks": [call("a", args=args)]})
    args["x"].append(2)
    plan.to_dict()["subtasks"][0]["args"]["x"].append(3)
    assert plan.subtasks[0].args == {"x": [1]}


def test_the_json_schema_describes_every_field() -> None:
    schema = Plan.json_schema()
    subtask = schema["$defs"]["Subtask"]
    assert set(subtask["properties"]) == set(Subtask.model_fields)
    for name, described in {**schema["properties"], **subtask["properties"]}.items():
        assert described.get("description", "").endswith("."), name
    assert subtask["additionalProperties"] is False
    assert [option["required"] for option in subtask["oneOf"]] == [["tool"], ["agent"]]

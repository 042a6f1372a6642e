"""What holds for any plan and for any junk."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from openmanus_graph.errors import PlanError
from openmanus_graph.plan import Plan, Subtask
from openmanus_graph.plans.references import escape

EXAMPLES = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])

ids = st.text("abcXYZ019_-", min_size=1, max_size=8)
# Numbers and words that some YAML reader takes for another type, and text that must be quoted.
TRICKY = """
    1e3 010 0o17 0x1f 1_0 yes on null ~ .5 -.5 +.5 1. 12:30 << = *a &a - # NaN .inf True é🐘 1.5e3 1.0e+3 +1
    -0 0b1 %x @x `x [ { --- ... 2020-01-01 2020-01-01T00:00:00Z !!int
"""
tricky = st.sampled_from([*TRICKY, "", "- x", "a: b", "# c", "\u2028", "\x85", "\ufeff", "\t", " x ", "a\nb\n"])
text = tricky | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
number = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | number | text.map(escape),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def plans(draw: st.DrawFn, least: int = 1) -> dict[str, Any]:
    """The data of a sound plan: each subtask depends only on earlier ones, then all are shuffled."""
    names = draw(st.lists(ids, min_size=least, max_size=10, unique=True))
    subtasks: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        subtask: dict[str, Any] = {"id": name}
        earlier = st.sampled_from(names[:place]) if place else None
        if earlier is not None and draw(st.booleans()):
            subtask["needs"] = draw(st.lists(earlier, max_size=3))
        goal = draw(text.map(escape))
        if earlier is not None and draw(st.booleans()):
            goal += " ${" + draw(earlier) + ".x.0}"
        if draw(st.booleans()):
            subtask |= {
                "tool": draw(ids),
                "goal": goal,
                "args": draw(st.dictionaries(text, values, max_size=3)),
            }
            if earlier is not None:
                subtask["args"]["given"] = ["${" + draw(earlier) + "}"]
        else:
            subtask |= {"agent": draw(ids), "goal": goal + "!", "done_when": draw(text)}
        subtask |= draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "priority": st.integers(-5, 5),
                    "retries": st.integers(0, 3),
                    "timeout_s": st.floats(0.001, 1e6),
                    "expected_s": st.integers(1, 1000),
                    "approval": st.booleans(),
                    "kind": ids,
                },
            )
        )
        subtasks.append(subtask)
    return {"goal": draw(text), "subtasks": draw(st.permutations(subtasks))}


@EXAMPLES
@given(plans())
def test_plans_survive_data_yaml_and_json(data: dict[str, Any]) -> None:
    plan = Plan.from_dict(data)
    assert Plan.from_dict(plan.to_dict()) == plan
    assert plan.to_dict() == Plan.from_dict(plan.to_dict()).to_dict()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("p.json", json.dumps(plan.to_dict())), ("p.yaml", plan.to_yaml())):
            path = Path(folder) / name
            path.write_text(content, encoding="utf-8")
            read = Plan.from_file(path)
            assert read == plan
            # Equality takes 1 for 1.0 and for true, so the types are compared as text.
            assert json.dumps(read.to_dict()) == json.dumps(plan.to_dict())
            assert read.definition_hashes() == plan.definition_hashes()


@EXAMPLES
@given(plans())
def test_the_order_puts_prerequisites_first(data: dict[str, Any]) -> None:
    plan = Plan.from_dict(data)
    seen: set[str] = set()
    for subtask in plan.in_order():
        assert seen.issuperset(subtask.prerequisites())
        seen.add(subtask.id)
    assert len(seen) == len(plan.subtasks)
    for name, dependants in plan.dependants().items():
        assert set(dependants) == {one.id for one in plan.subtasks if name in one.prerequisites()}


@EXAMPLES
@given(plans(least=2), st.data())
def test_no_broken_plan_is_accepted(data: dict[str, Any], draws: st.DataObject) -> None:
    """One sound plan, broken in one way; the problem names what was broken."""
    plan = Plan.from_dict(data)
    victim = draws.draw(st.sampled_from(data["subtasks"]))
    other = draws.draw(st.sampled_from([one for one in data["subtasks"] if one is not victim]))
    breakage = draws.draw(st.sampled_from(sorted(BREAKAGES)))
    named = BREAKAGES[breakage](plan, data, victim, other)
    assume(named is not None)
    try:
        Plan.from_dict(data)
    except PlanError as error:
        assert str(named) in str(error)
    else:
        raise AssertionError(f"accepted although: {breakage}")


def _cycle(plan: Plan, data: dict[str, Any], victim: dict[str, Any], other: dict[str, Any]) -> str | None:
    """Make a subtask need one that already waits for it."""
    below = {victim["id"]}
    for subtask in plan.in_order():
        if below.intersection(subtask.prerequisites()):
            below.add(subtask.id)
    if other["id"] not in below:
        return None
    victim["needs"] = [*victim.get("needs", []), other["id"]]
    return " → "


def _set(victim: dict[str, Any], shown: str | None = None, **fields: Any) -> str:
    victim |= fields
    return shown or victim["id"]


BREAKAGES: dict[str, Any] = {
    "cycle": _cycle,
    "self": lambda p, d, v, o: _set(v, " → ", needs=[*v.get("needs", []), v["id"]]),
    "dropped": lambda p, d, v, o: (d["subtasks"].remove(v), v["id"])[1] if p.dependants()[v["id"]] else None,
    "duplicate": lambda p, d, v, o: (d["subtasks"].append(dict(v)), v["id"])[1],
    "unknown need": lambda p, d, v, o: _set(v, "'no-such-id'", needs=["no-such-id"]),
    "unknown reference": lambda p, d, v, o: _set(v, "'no-such-id'", goal="x ${no-such-id.y}"),
    "malformed reference": lambda p, d, v, o: _set(v, "'$${'", goal="x ${a b}"),
    "own output": lambda p, d, v, o: _set(v, "own output", goal="${" + v["id"] + "}"),
    "malformed id": lambda p, d, v, o: _set(v, "'a.b'", id="a.b"),
    "no id": lambda p, d, v, o: (v.pop("id"), "'id'")[1],
    "neither": lambda p, d, v, o: (v.pop("tool", None), v.pop("agent", None), "neither")[2],
    "both": lambda p, d, v, o: _set(v, tool="t", agent="executor"),
    "unknown field": lambda p, d, v, o: _set(v, "'colour'", colour="red"),
    "wrong type": lambda p, d, v, o: _set(v, "'retries'", retries="many"),
    "not a number": lambda p, d, v, o: _set(v, "args", tool="t", args={"x": float("nan")}),
}


odd = st.sampled_from(["${a}", "${", "$${a}", "\ud800", "\x00", object(), {1}, (1, 2), 1j, 2**100, Plan])
scalars = st.none() | st.booleans() | number | st.floats() | st.binary(max_size=3) | st.text() | ids | odd
known = st.sampled_from(["goal", "name", "subtasks", *Subtask.model_fields])
keys = known | st.none() | st.integers() | st.text()
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)


@settings(EXAMPLES, max_examples=100)
@given(junk, st.lists(junk, max_size=4))
@example({"subtasks": [[], {}, None]}, [])
def test_junk_raises_only_plan_errors(value: Any, subtasks: list[Any]) -> None:
    for candidate in (
        value,
        {"subtasks": subtasks},
        {"subtasks": [{"id": "a", "tool": "t", "args": value}, *subtasks]},
    ):
        try:
            plan = Plan.parse(candidate)
            plan.check(tools={}, agents=[])
        except PlanError as error:
            assert error.problems
            assert all(problem and "\n" not in problem for problem in error.problems)


LINES = """subtasks:
- id: a
  tool: bash
  args: {x: ${a}}
  needs: [b, &x c]
- *x
  <<: *x
goal: |
  text
? [
}
---
%YAML 1.1
'
"\\x00"
\t-
&a [*a]
!!set {x}
- - - -
id: .nan
👻
...""".splitlines()
lines = st.lists(st.sampled_from(LINES), max_size=10).map("\n".join)


@settings(EXAMPLES, max_examples=100)
@given(st.binary(max_size=60) | lines.map(str.encode) | st.text(max_size=40).map(lambda t: t.encode(errors="ignore")))
def test_any_file_raises_only_plan_errors(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("p.yaml", "p.json", "p"):
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                Plan.from_file(path, tools={}, agents=[])
            except PlanError as error:
                assert error.problems
                assert error.source == str(path)

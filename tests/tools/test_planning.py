"""Planning: plans that keep their states whatever is done to them, and that outlive the process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ToolArgumentsError, ToolError
from openmanus_graph.tools.plan_store import MAX_PLANS
from openmanus_graph.tools.planning import planning


async def plan(command: str, **args: Any) -> dict[str, Any]:
    return await planning.ainvoke({"command": command, **args})


def states(out: dict[str, Any]) -> dict[str, str]:
    return {step["text"]: step["status"] for step in out["plan"]["steps"]}


pytestmark = pytest.mark.usefixtures("context")


async def test_a_plan_from_its_creation_to_its_end() -> None:
    made = await plan("create", plan_id="trip", title="A trip", steps=["book", "pack", "go"])
    assert [step["id"] for step in made["plan"]["steps"]] == ["s1", "s2", "s3"]
    await plan("mark_step", step_id="s1", step_status="completed", step_notes="window seat")
    await plan("mark_step", step_index=1, step_status="in_progress")

    out = await plan("get")

    assert states(out) == {"book": "completed", "pack": "in_progress", "go": "not_started"}
    assert out["text"].splitlines() == [
        "A trip (trip): 1 of 3 done",
        "[✓] s1: book",
        "    window seat",
        "[→] s2: pack",
        "[ ] s3: go",
    ]
    assert (await plan("list"))["plans"] == [
        {"id": "trip", "title": "A trip", "active": True, "steps": 3, "completed": 1}
    ]
    await plan("delete", plan_id="trip")
    assert (await plan("list"))["text"] == "There are no plans."


async def test_inserting_at_the_top_resets_no_state() -> None:
    await plan("create", title="T", steps=["a", "b"])
    await plan("mark_step", step_id="s1", step_status="completed", step_notes="done so")

    out = await plan("update", steps=["first", "a", {"id": "s2", "text": "b, better"}])

    assert states(out) == {"first": "not_started", "a": "completed", "b, better": "not_started"}
    assert [step["id"] for step in out["plan"]["steps"]] == ["s3", "s1", "s2"]
    assert out["plan"]["steps"][1]["notes"] == "done so"
    again = await plan("mark_step", step_id="s1", step_status="blocked")
    assert states(again)["a"] == "blocked"


async def test_ids_are_not_given_twice() -> None:
    await plan("create", title="T", steps=["a", "b"])
    await plan("update", steps=["a"])

    out = await plan("update", steps=["a", "c", {"id": "s4", "text": "d"}, "e"])

    assert [step["id"] for step in out["plan"]["steps"]] == ["s1", "s3", "s4", "s5"]


async def test_two_steps_with_the_same_text_keep_their_own_states() -> None:
    await plan("create", title="T", steps=["test", "fix", "test"])
    await plan("mark_step", step_id="s1", step_status="completed")

    out = await plan("update", steps=["test", "fix", "test", "test"])

    assert [step["status"] for step in out["plan"]["steps"]] == ["completed", *["not_started"] * 3]


async def test_edges() -> None:
    steps = [{"id": "a", "text": "A"}, {"id": "b", "text": "B", "needs": ["a"]}, {"text": "C", "needs": ["a", "b"]}]
    out = await plan("create", title="T", steps=steps)
    assert [step["needs"] for step in out["plan"]["steps"]] == [[], ["a"], ["a", "b"]]
    assert "[ ] b: B (after a)" in out["text"]

    out = await plan("update", steps=[{"id": "a"}, {"id": "s1"}])
    assert [(step["id"], step["text"], step["needs"]) for step in out["plan"]["steps"]] == [
        ("a", "A", []),
        ("s1", "C", ["a"]),
    ]

    for wrong, said in (
        ([{"id": "a", "text": "A", "needs": ["x"]}], "needs 'x'"),
        ([{"id": "a", "text": "A", "needs": ["b"]}, {"id": "b", "text": "B", "needs": ["a"]}], "circle"),
        ([{"id": "a", "text": "A"}, {"id": "a", "text": "B"}], "twice"),
        ([{"id": "new"}], "no 'text'"),
    ):
        with pytest.raises(ToolArgumentsError, match=said):
            await plan("update", steps=wrong)
    assert [step["id"] for step in (await plan("get"))["plan"]["steps"]] == ["a", "s1"]


@pytest.mark.parametrize(
    ("command", "args", "said"),
    [
        ("create", {"title": "T"}, "'title' and 'steps'"),
        ("create", {"plan_id": "p", "title": "T", "steps": ["x"]}, "already a plan 'p'"),
        ("get", {"plan_id": "q"}, "no plan 'q'. The plans are p"),
        ("update", {}, "'title' or 'steps'"),
        ("mark_step", {"step_status": "completed"}, "needs 'step_id'"),
        ("mark_step", {"step_id": "s9", "step_status": "completed"}, "no step 's9'. Its steps are s1"),
        ("mark_step", {"step_index": 1, "step_status": "completed"}, "no step at 1"),
        ("mark_step", {"step_id": "s1"}, "'step_status' or 'step_notes'"),
        ("set_active", {}, "'plan_id'"),
        ("delete", {"plan_id": "q"}, "no plan 'q'"),
    ],
)
async def test_what_does_not_fit_is_said(command: str, args: dict[str, Any], said: str) -> None:
    await plan("create", plan_id="p", title="P", steps=["one"])

    with pytest.raises(ToolArgumentsError) as caught:
        await plan(command, **args)

    assert said in str(caught.value)


async def test_each_subtask_has_its_own_active_plan(context: ToolContext) -> None:
    await plan("create", plan_id="p", title="P", steps=["one"])
    with using_tool_context(replace(context, subtask_id="other")):
        await plan("create", plan_id="q", title="Q", steps=["one"])
        await plan("mark_step", step_id="s1", step_status="completed")

    assert states(await plan("get")) == {"one": "not_started"}
    assert (await plan("set_active", plan_id="q"))["plan_id"] == "q"
    assert states(await plan("get")) == {"one": "completed"}


async def test_a_call_that_runs_again_after_a_crash_does_no_more(context: ToolContext) -> None:
    with using_tool_context(replace(context, call_id="c1")):
        await plan("create", plan_id="p", title="P", steps=["one"])
    await plan("mark_step", step_id="s1", step_status="completed")
    with using_tool_context(replace(context, call_id="c1")):
        out = await plan("create", plan_id="p", title="P", steps=["one"])
    assert states(out) == {"one": "completed"}

    for _ in range(2):
        with using_tool_context(replace(context, call_id="c2")):
            assert "deleted" in (await plan("delete", plan_id="p"))["text"]


async def test_calls_at_the_same_time_lose_nothing() -> None:
    await plan("create", title="T", steps=[f"step {n}" for n in range(20)])

    await asyncio.gather(*(plan("mark_step", step_index=n, step_status="completed") for n in range(20)))

    assert set(states(await plan("get")).values()) == {"completed"}


async def test_the_file_is_whole_or_said_to_be_broken(workspace: Path) -> None:
    await plan("create", title="T", steps=["a"])
    file = workspace / ".openmanus" / "plans.json"
    assert list(json.loads(file.read_text())["plans"]) == ["plan_1"]
    file.write_text("{")

    with pytest.raises(ToolError, match=r"plans\.json"):
        await plan("get")


async def test_there_are_not_too_many() -> None:
    for number in range(MAX_PLANS):
        await plan("create", plan_id=f"p{number}", title="T", steps=["a"])

    with pytest.raises(ToolArgumentsError, match="already"):
        await plan("create", title="T", steps=["a"])

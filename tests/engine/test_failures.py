"""Calls that fail, take too long or may not be repeated, and what may enter a checkpoint."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from openmanus_graph import Settings, ThreadSaver, ToolError, build_plan_graph
from openmanus_graph.checkpoints.serializer import PlainSerializer
from openmanus_graph.errors import ForeignTypeError

from .plans import plan, subtask, thread
from .sample_tools import TOOLS, log, with_effect

pytestmark = pytest.mark.postgres


async def result_of(saver: ThreadSaver, tools: list[Any], one: dict[str, Any]) -> dict[str, Any]:
    app = build_plan_graph(tools).compile(checkpointer=saver)
    return (await app.ainvoke({"plan": plan(one)}, thread()))["results"][one["id"]]


def counting(path: Path, error: Exception | None, until: int = 99) -> Any:
    @tool
    async def flaky() -> str:
        """Fail until it was called often enough."""
        log(str(path), "call")
        if error is not None and len(path.read_text().splitlines()) < until:
            raise error
        return "done"

    return flaky


async def test_a_known_failure_is_retried_with_a_pause(saver: ThreadSaver, tmp_path: Path) -> None:
    flaky = with_effect(counting(tmp_path / "log", ToolError("not yet"), until=3), "external")
    result = await result_of(saver, [flaky], subtask("a", "flaky", retries=4))
    assert (result["status"], result["attempts"], result["output"]) == ("completed", 3, "done")
    took = datetime.datetime.fromisoformat(result["finished_at"]) - datetime.datetime.fromisoformat(
        result["started_at"]
    )
    assert took.total_seconds() >= 0.5 + 1.0


async def test_an_external_call_of_unknown_outcome_is_not_repeated(saver: ThreadSaver, tmp_path: Path) -> None:
    flaky = with_effect(counting(tmp_path / "log", ConnectionError("reset")), "external")
    result = await result_of(saver, [flaky], subtask("a", "flaky", retries=4))
    assert (result["status"], result["attempts"]) == ("failed", 1)
    assert "not repeated" in result["error"]
    assert (tmp_path / "log").read_text() == "call\n"


@pytest.mark.parametrize(("effect", "facts"), [("external", {"idempotent": True}), ("read", {}), ("write", {})])
async def test_other_calls_of_unknown_outcome_are(
    saver: ThreadSaver, tmp_path: Path, effect: Any, facts: dict[str, Any]
) -> None:
    flaky = with_effect(counting(tmp_path / "log", ConnectionError("reset"), until=2), effect, **facts)
    result = await result_of(saver, [flaky], subtask("a", "flaky", retries=1))
    assert (result["status"], result["attempts"]) == ("completed", 2)


async def test_a_call_ends_at_its_time_limit(saver: ThreadSaver) -> None:
    result = await result_of(saver, TOOLS, subtask("a", "nap", args={"seconds": 30}, timeout_s=0.3))
    assert result["status"] == "failed"
    assert "0.3 s" in result["error"]


async def test_waiting_for_a_person_is_no_time_of_the_call(saver: ThreadSaver) -> None:
    from langgraph.types import Command

    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(subtask("a", "ask_human", args={"inquire": "?"}, timeout_s=0.3))
    await app.ainvoke({"plan": given}, thread())
    await asyncio.sleep(0.5)
    (question,) = await app.questions("t")
    out = await app.ainvoke(Command(resume={question["id"]: {"kind": "answer", "value": "late"}}), thread())
    assert out["results"]["a"]["output"] == {"answer": "late"}


@pytest.mark.parametrize(
    ("output", "status"),
    [
        ({"exit_code": 3, "stderr": "bad\n"}, "failed"),
        ({"exit_code": 0}, "completed"),
        ({"exit_code": None, "timed_out": True}, "failed"),
        ({"error": "Traceback ..."}, "failed"),
        ({"error": None}, "completed"),
    ],
)
async def test_an_output_that_states_a_failure_is_one(saver: ThreadSaver, output: Any, status: str) -> None:
    result = await result_of(saver, TOOLS, subtask("a", "echo", args={"value": output}))
    assert result["status"] == status
    assert result["output"] == output


async def test_arguments_that_do_not_fit_at_run_time_name_the_field(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(subtask("a", "echo", args={"value": "many"}), subtask("b", args={"seconds": "${a}"}, retries=3))
    result = (await app.ainvoke({"plan": given}, thread()))["results"]["b"]
    assert (result["status"], result["attempts"]) == ("failed", 1)
    assert "'seconds' = 'many'" in result["error"]


async def test_outputs_are_made_plain_or_refused_by_name(saver: ThreadSaver) -> None:
    @tool
    async def dated() -> Any:
        """Return a date."""
        return {"day": datetime.date(2026, 11, 20), "where": Path("x")}

    @tool
    async def strange() -> Any:
        """Return something without a plain form."""
        return {"socket": object()}

    dated.metadata = strange.metadata = {"effect": "read"}
    app = build_plan_graph([dated, strange]).compile(checkpointer=saver)
    out = await app.ainvoke({"plan": plan(subtask("a", "dated"), subtask("b", "strange", retries=2))}, thread())
    assert out["results"]["a"]["output"] == {"day": "2026-11-20", "where": "x"}
    assert out["results"]["b"]["status"] == "failed"
    assert "output.socket" in out["results"]["b"]["error"]
    assert "builtins.object" in out["results"]["b"]["error"]


async def test_a_foreign_type_in_a_checkpoint_is_refused_when_written(saver: ThreadSaver) -> None:
    class State(TypedDict):
        value: Any

    async def node(state: State) -> dict[str, Any]:
        return {"value": {"deep": [Settings.load]}}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    app = graph.compile(checkpointer=saver)
    with pytest.raises(ForeignTypeError, match=r"'value' that the node 'node' wrote.*deep\.0.*builtins\.method"):
        await app.ainvoke({"value": 1}, thread(), durability="sync")


async def test_every_stored_value_is_plain(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        subtask("a", "echo", args={"value": {"x": [1, "y", None, 2.5]}}),
        subtask("bad", "fail", retries=1),
        subtask("q", "ask_human", args={"inquire": "?"}),
        subtask("ok", approval=True),
        subtask("z", needs=["bad"]),
    )
    await app.ainvoke({"plan": given}, thread())
    async with saver.connection() as connection:
        blobs = await (await connection.execute("SELECT channel, type, blob FROM checkpoint_blobs")).fetchall()
        writes = await (await connection.execute("SELECT channel, type, blob FROM checkpoint_writes")).fetchall()
    assert len(blobs) > 10
    assert len(writes) > 10
    serializer = PlainSerializer()
    for row in [*blobs, *writes]:
        value = serializer.loads_typed((row["type"], bytes(row["blob"] or b"")))
        if row["channel"] == "__interrupt__":
            value = [item.value for item in value]
        assert_plain(value, row["channel"])


def assert_plain(value: Any, path: str) -> None:
    """Stricter than the serializer: nothing but JSON types is ever stored by our graphs."""
    if type(value) is dict:
        for key, item in value.items():
            assert type(key) is str, path
            assert_plain(item, f"{path}.{key}")
    elif type(value) is list:
        for index, item in enumerate(value):
            assert_plain(item, f"{path}.{index}")
    else:
        assert value is None or type(value) in (str, int, float, bool), f"{path}: {type(value)}"


async def test_an_output_that_cannot_be_kept_fails_its_subtask_only(saver: ThreadSaver, tmp_path: Path) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        subtask("big", "echo", args={"value": "x" * 50_000}, retries=2), subtask("other", args={"seconds": 0.3})
    )
    folder = tmp_path / "workspace" / ".openmanus"
    folder.mkdir(parents=True)
    (folder / "outputs").write_text("a file where the folder of large outputs should be")
    config = thread(workspace=str(tmp_path / "workspace"))
    out = await app.ainvoke({"plan": given}, config)
    assert {key: result["status"] for key, result in out["results"].items()} == {"big": "failed", "other": "completed"}
    assert "cannot be kept" in out["results"]["big"]["error"]
    # Nor does the engine, which is not confined, write through a link that a confined tool has made.
    (folder / "outputs").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "outputs").symlink_to(elsewhere)
    out = await app.ainvoke({"plan": given}, config)
    assert "cannot be kept" in out["results"]["big"]["error"]
    assert list(elsewhere.iterdir()) == []
    (folder / "outputs").unlink()
    out = await app.ainvoke({"plan": given}, config)
    assert out["results"]["big"]["status"] == "completed"


async def test_a_value_without_a_plain_form_is_a_failure_and_no_repeated_call(
    saver: ThreadSaver, tmp_path: Path
) -> None:
    @tool
    async def foreign() -> Any:
        """Return what is no plain value."""
        log(str(tmp_path / "log"), "call")
        return {"paid": "for", "rest": TOOLS[0].invoke}

    result = await result_of(saver, [with_effect(foreign, "external")], subtask("a", "foreign", retries=3))
    assert result["status"] == "failed"
    assert "'output.rest' is a builtins.method" in result["error"]
    assert result["output"]["paid"] == "for"
    assert (tmp_path / "log").read_text() == "call\n"


async def test_a_tool_that_cancels_itself_fails_and_the_rest_goes_on(saver: ThreadSaver) -> None:
    @tool
    async def cancelled() -> None:
        """Give up as a cancelled task does."""
        raise asyncio.CancelledError

    app = build_plan_graph([with_effect(cancelled, "read"), *TOOLS]).compile(checkpointer=saver)
    out = await app.ainvoke({"plan": plan(subtask("a", "cancelled"), subtask("b", args={"seconds": 0.2}))}, thread())
    assert out["results"]["a"]["status"] == "failed"
    assert out["results"]["b"]["status"] == "completed"


async def test_a_blocking_tool_that_ran_out_of_time_holds_up_nobody(saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    given = plan(
        subtask("a", "block", args={"seconds": 4}, timeout_s=0.3),
        subtask("b", "block", args={"seconds": 0.1}, timeout_s=2),
    )
    out = await asyncio.wait_for(app.ainvoke({"plan": given}, thread(max_parallel=1)), 3)
    assert out["results"]["a"]["status"] == "failed"
    assert out["results"]["b"]["status"] == "completed"

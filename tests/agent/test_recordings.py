"""A whole run recorded and replayed: the same answer, no model, no drift, also over interruptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import Settings, ThreadSaver, delete_thread, find_thread
from openmanus_graph.errors import RecordingError
from openmanus_graph.graphs.durable import DurableGraph
from openmanus_graph.graphs.manus import build_manus_graph
from openmanus_graph.testing import Reply, ScriptedServer, ToolUse, replaying, write_recording
from tests.agent.replies import calls, ends, plans, thread, verdict

pytestmark = pytest.mark.postgres

TASK = {"task": "Write a.txt and b.txt"}
PLACES = [
    "coordinator/-/1",
    "coordinator/-/2",
    "executor/a/1",
    "executor/a/2",
    "executor/b/1",
    "executor/b/2",
    "verifier/a/1",
    "verifier/b/1",
]


def says(body: dict[str, Any]) -> Reply:
    """A provider that writes two files in parallel; each reply follows from the prompt alone."""
    text = json.dumps(body["messages"])
    offered = [tool["function"]["name"] for tool in body.get("tools", [])]
    name = "a" if "make the file a" in text else "b"
    if "delegate" in offered and body["messages"][-1]["role"] == "tool":
        return Reply("Both files are written.")
    if "delegate" in offered:
        return plans(
            *(
                {"id": key, "goal": f"make the file {key}", "agent": "executor", "done_when": f"{key}.txt says {key}"}
                for key in ("a", "b")
            )
        )
    if "verdict" in offered:
        return verdict(True)
    if "terminate" in offered:
        if body["messages"][-1]["role"] == "tool":
            return ends(f"{name} is written.")
        args = {"command": "create", "path": f"{name}.txt", "file_text": name}
        return calls(ToolUse("str_replace_editor", args))
    raise AssertionError(f"nobody offers {offered}")


def compiled(settings: Settings, saver: ThreadSaver) -> DurableGraph:
    return build_manus_graph(settings=settings).compile(checkpointer=saver)


@pytest.fixture
async def recording(saver: ThreadSaver, tmp_path: Path) -> Path:
    """A run that was recorded; its provider is gone."""
    path = tmp_path / "run.jsonl"
    with ScriptedServer(says) as provider:
        settings = {"record": path, "llm_base_url": provider.base_url}
        chosen = Settings.load(
            home=tmp_path / "home", llm_model="openai/scripted", llm_api_key="sk-planted", **settings
        )
        out = await compiled(chosen, saver).ainvoke(TASK, thread("live"))
    assert (out["answer"].split("\n")[0], out["status"]) == ("Both files are written.", "completed")
    await delete_thread(saver, await find_thread(saver, "live"))  # else the planner remembers it, and its prompt drifts
    return path


async def run(app: DurableGraph, given: Any, name: str, stop_at: str = "") -> list[dict[str, Any]]:
    """The events of a run; with `stop_at`, it is given up at the first event of that type."""
    events: list[dict[str, Any]] = []
    stream = app.astream(given, thread(name), stream_mode="custom", subgraphs=True)
    async for _, event in stream:
        events.append(event)
        if event["type"] == stop_at:
            await stream.aclose()  # type: ignore[attr-defined]
            break
    return events


async def test_a_replayed_run_ends_like_the_recorded_one(recording: Path, saver: ThreadSaver, tmp_path: Path) -> None:
    with replaying(recording, home=tmp_path / "home") as replayed:
        events = await run(compiled(replayed.settings, saver), TASK, "again")

    assert sorted(replayed.used) == PLACES
    assert [event["text"] for event in events if event["type"] == "warned"] == []
    assert events[-1]["type"] in ("remembered", "answered")
    assert (await find_thread(saver, "again")).status == "completed"
    assert (tmp_path / "openmanus-work" / "again" / "b.txt").read_text() == "b"
    assert "sk-planted" not in recording.read_text()


@pytest.mark.parametrize("stop_at", ["plan_made", "tool_returned", "subtask_verified", "subtask_finished"])
async def test_a_replayed_run_goes_on_where_it_was(
    recording: Path, saver: ThreadSaver, tmp_path: Path, stop_at: str
) -> None:
    with replaying(recording, home=tmp_path / "home") as replayed:
        await run(compiled(replayed.settings, saver), TASK, "again", stop_at)
        assert (await find_thread(saver, "again")).status == "stopped"

        out = await compiled(replayed.settings, saver).ainvoke(None, thread("again"))

    assert out["status"] == "completed"
    assert {key: result["output"] for key, result in out["results"].items()} == {
        "a": "a is written.",
        "b": "b is written.",
    }


async def test_another_task_is_said_to_drift_and_replayed_all_the_same(
    recording: Path, saver: ThreadSaver, tmp_path: Path
) -> None:
    with replaying(recording, home=tmp_path / "home") as replayed:
        events = await run(compiled(replayed.settings, saver), {"task": "Write c.txt"}, "other")

    warned = [event["text"] for event in events if event["type"] == "warned"]
    assert any(text.startswith("The prompt of coordinator/-/1 is not the one that was recorded") for text in warned)
    assert (await find_thread(saver, "other")).status == "completed"


async def test_a_missing_reply_stops_the_run_which_goes_on_once_it_is_there(saver: ThreadSaver, tmp_path: Path) -> None:
    step = {"id": "look", "tool": "list_files", "args": {"pattern": "*"}}
    replies: dict[str, Any] = {
        "coordinator/-/1": {"tool_calls": [{"name": "plan"}]},
        "planner/-/1": json.dumps({"goal": "Look", "subtasks": [step]}),
    }
    path = write_recording(tmp_path / "hand.jsonl", replies)
    with replaying(path, home=tmp_path / "home") as replayed:
        with pytest.raises(RecordingError, match="has no reply for coordinator/-/2"):
            await compiled(replayed.settings, saver).ainvoke({"task": "Look around"}, thread())
        assert (await find_thread(saver, "t")).status == "stopped"

        write_recording(path, {**replies, "coordinator/-/2": "There is nothing."})
        out = await compiled(replayed.settings, saver).ainvoke(None, thread())

    assert out["answer"] == "There is nothing."


@pytest.mark.parametrize(("limits", "spent"), [({"model_calls": 3}, 3), ({"tokens": 1}, 1)])
async def test_a_budget_ends_a_replayed_run_in_part(
    recording: Path, saver: ThreadSaver, tmp_path: Path, limits: dict[str, int], spent: int
) -> None:
    with replaying(recording, all_used=False, home=tmp_path / "home", budget=limits, max_parallel=1) as replayed:
        out = await compiled(replayed.settings, saver).ainvoke(TASK, thread("short"))

    assert out["status"] == "partial"
    assert len(replayed.used) == spent
    assert (await find_thread(saver, "short")).status == "partial"

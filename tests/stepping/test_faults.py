"""Faults: interrupts, threads that run elsewhere, kills; the thread is intact each time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from openmanus_graph import ThreadSaver, build_plan_graph, get_thread
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import TOOLS
from tests.stepping.conftest import Open

pytestmark = pytest.mark.postgres


def work(name: str, seconds: float = 0.0) -> dict[str, Any]:
    return subtask(name, tool="work", args={"name": name, "seconds": seconds, "logfile": "log"})


async def test_an_interrupt_in_the_middle_of_a_step_leaves_the_thread_intact(
    stepping: Open, saver: ThreadSaver
) -> None:
    stepper = await stepping(plan(work("a"), work("b", 5)))
    await stepper.step()
    await stepper.step("a")
    cell = asyncio.create_task(_awaited(stepper.step("b")))
    while not Path("log").read_text().endswith("start b\n"):
        await asyncio.sleep(0.02)
    cell.cancel()  # what a notebook's kernel does to the cell
    with pytest.raises(asyncio.CancelledError):
        await cell
    await stepper.refresh()
    found = await get_thread(saver, "t")
    assert found is not None
    assert found.status == "stopped"
    assert stepper.subtasks == {"a": "completed", "b": "next"}
    again = stepper.step("b")
    stop = await again
    assert stop["reason"] == "finished"
    assert Path("log").read_text().splitlines() == ["start a", "end a", "start b", "start b", "end b"]


async def _awaited(verb: Any) -> Any:
    return await verb


async def test_a_thread_that_runs_elsewhere_says_who_and_since_when(stepping: Open, saver: ThreadSaver) -> None:
    app = build_plan_graph(TOOLS).compile(checkpointer=saver)
    other = asyncio.create_task(app.ainvoke({"plan": plan(work("a", 1.0))}, thread()))
    while not Path("log").exists():
        await asyncio.sleep(0.02)
    stepper = await stepping()
    stop = await stepper.step()
    assert stop["error"] is not None
    assert "already running: process" in stop["error"]["message"]
    assert "since" in stop["error"]["message"]
    await other
    assert (await stepper.step())["reason"] == "finished"


async def test_a_thread_that_another_process_steps_says_which(stepping: Open, database: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("{subtasks: [{id: a, tool: list_files, args: {pattern: '*'}}]}")
    command = [sys.executable, "-m", "openmanus_graph", "step", "--plan", "plan.yaml", "--thread", "t"]
    environment = {**os.environ, "DATABASE_URL": database, "OPENMANUS_GRAPH_HOME": str(tmp_path / "home")}
    other = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(b"step\n")
    while b"ran. Next: a list_files" not in await other.stdout.readline():
        pass
    stepper = await stepping(tools=["list_files"])
    for verb in (stepper.step(), stepper.next(), stepper.run()):
        stop = await verb
        assert stop["error"] is not None
        assert f"process {other.pid} on" in stop["error"]["message"]
        assert "since 2" in stop["error"]["message"]
    other.kill()
    await other.wait()
    while stepper.status == "running":  # until the server has noticed that the process is gone
        await stepper.refresh()
    assert (stepper.status, stepper.subtasks) == ("standing", {"a": "next"})


async def test_a_thread_that_does_not_exist_needs_an_input(stepping: Open) -> None:
    stepper = await stepping()
    stop = await stepper.step()
    assert stop["error"] is not None
    assert "no input" in stop["error"]["message"]


async def test_a_bad_input_is_told_and_begins_nothing(stepping: Open, saver: ThreadSaver) -> None:
    stepper = await stepping(plan(subtask("a", tool="napp")))
    stop = await stepper.step()
    assert stop["error"] is not None
    assert "napp" in stop["error"]["message"]
    assert await get_thread(saver, "t") is None

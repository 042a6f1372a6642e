"""A plan is read, validated and checked once on its way from a file to its stored result."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from openmanus_graph import ThreadSaver, build_plan_graph
from openmanus_graph.checkpoints.threads import get_thread
from openmanus_graph.cli import cli
from openmanus_graph.config.settings import Settings
from openmanus_graph.plan import Plan
from openmanus_graph.plans.plan_file import read_plan_file
from openmanus_graph.plans.tool_use import use_problems
from openmanus_graph.plans.validation import structure_problems
from openmanus_graph.plans.yaml_reader import read_yaml
from tests.engine.plans import plan, subtask, thread
from tests.engine.sample_tools import echo, fail, nap

pytestmark = pytest.mark.postgres

PLAN = """
goal: count once
subtasks:
  - {id: a, tool: list_files, args: {pattern: "*"}}
  - {id: b, tool: bash, args: {command: "echo ${a.truncated}"}}
"""


@contextmanager
def calls_of(**functions: Callable[..., Any]) -> Iterator[dict[str, int]]:
    """Count the calls in this thread by code object, so that it does not matter under which name a module imported it.

    A generator or a coroutine that is resumed counts once: its frame stays the same.
    """
    names = {function.__code__: name for name, function in functions.items()}
    frames: dict[CodeType, set[FrameType]] = defaultdict(set)
    counted = dict.fromkeys(functions, 0)

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in names:
            frames[frame.f_code].add(frame)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield counted
    finally:
        sys.setprofile(before)
        counted.update({name: len(frames[code]) for code, name in names.items()})


@pytest.fixture
def folder(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a plan file and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("OPENMANUS_GRAPH_HOME", str(tmp_path / "unused"))
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path


def call(*arguments: str) -> int:
    """Run the command line in this process; its exit code."""
    code: Any = cli.main(list(arguments), prog_name="openmanus-graph", standalone_mode=False)
    return code or 0


def counting() -> Any:
    """Count what is done to a plan on its way."""
    return calls_of(
        read=read_plan_file,
        parsed=read_yaml,
        validated=structure_problems,
        checked=use_problems,
        settings=Settings.load.__func__,  # type: ignore[attr-defined]
        threads=get_thread,
    )


@pytest.mark.usefixtures("folder")
def test_run_reads_validates_and_checks_a_plan_once() -> None:
    with counting() as counted:
        assert call("run", "--plan", "plan.yaml", "--quiet", "--sandbox", "none") == 0
    # The thread's row is read before the run, for what it began with, and after it, for how it ended.
    assert counted == {"read": 1, "parsed": 1, "validated": 1, "checked": 1, "settings": 1, "threads": 2}


def test_resume_reads_validates_and_checks_an_edited_plan_once(folder: Path) -> None:
    assert call("run", "--plan", "plan.yaml", "--quiet", "--sandbox", "none", "--thread", "t") == 0
    (folder / "edited.yaml").write_text(PLAN.replace("echo", "echo edited"))
    with counting() as counted:
        assert call("resume", "t", "--plan", "edited.yaml", "--quiet") == 0
    assert {key: counted[key] for key in ("read", "parsed", "validated", "checked")} == dict.fromkeys(
        ("read", "parsed", "validated", "checked"), 1
    )


async def test_a_given_plan_is_validated_once_by_the_graph(saver: ThreadSaver) -> None:
    given = plan(subtask("a"), subtask("b", "echo", args={"value": "${a.text}"}))
    app = build_plan_graph([nap, echo]).compile(checkpointer=saver)
    with counting() as counted:
        out = await app.ainvoke({"plan": given}, thread())
    assert out["results"]["b"]["status"] == "completed"
    assert (counted["validated"], counted["checked"]) == (1, 1)
    with counting() as counted:
        await app.ainvoke({"plan": Plan.from_dict(given)}, thread("u"))
    assert (counted["validated"], counted["checked"]) == (1, 0)


async def test_a_resume_in_another_process_validates_the_stored_plan_once(saver: ThreadSaver) -> None:
    given = plan(subtask("a", "fail"))
    await build_plan_graph([fail]).compile(checkpointer=saver).ainvoke({"plan": given}, thread())
    app = build_plan_graph([fail]).compile(checkpointer=saver)
    stored = (await app.snapshot("t")).values["plan"]
    with counting() as counted:
        await app.ainvoke({"plan": stored}, thread())
    assert (counted["validated"], counted["checked"]) == (1, 1)

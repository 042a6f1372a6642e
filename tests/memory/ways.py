"""Ways: plans with what came of them, and the templates and runs that are made of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import pytest

from openmanus_graph.memory.procedural.making import template_of
from openmanus_graph.memory.procedural.template import Template, TemplateRun, task_digest
from openmanus_graph.plan import Plan
from openmanus_graph.state import SubtaskResult
from tests.memory.conftest import NOW


def without_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extra is not installed: no part of the driver can be imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "neo4j"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "neo4j", None)


DAY = 24 * 3600.0


def result(output: Any = "", second: int = 0, **fields: Any) -> SubtaskResult:
    """A completed subtask that took a second, so many seconds after the first."""
    given: Any = {
        "status": "completed",
        "output": output,
        "error": None,
        "attempts": 1,
        "started_at": f"2026-01-01T00:{second // 60:02}:{second % 60:02}+00:00",
        "finished_at": f"2026-01-01T00:{(second + 1) // 60:02}:{(second + 1) % 60:02}+00:00",
        "definition": "",
        "output_file": None,
        **fields,
    }
    return given


def plan_of(*subtasks: Mapping[str, Any], goal: str = "") -> Plan:
    return Plan.from_dict({"goal": goal, "subtasks": list(subtasks)})


def made(task: str, plan: Plan, outputs: Mapping[str, Any] | None = None) -> Template:
    """The template of a plan whose subtasks were completed one after another."""
    given = outputs or {}
    results = {
        str(subtask.id): result(given.get(subtask.id, ""), second=2 * number)
        for number, subtask in enumerate(plan.subtasks)
    }
    found = template_of(task, plan, results, {"python": "code", "bash": "command"})
    assert found is not None
    return found


COPY = "Copy the first 20 lines of notes.txt to short.txt and count the words in it"


def copy_plan(source: str = "notes.txt", target: str = "short.txt", lines: int = 20) -> Plan:
    """Three calls without a model: a task of the same words says all that they need."""
    return plan_of(
        {"id": "read", "tool": "read_file", "args": {"path": source, "limit": lines}},
        {"id": "write", "tool": "write_file", "args": {"path": target, "content": "${read}"}},
        {"id": "count", "tool": "count_words", "args": {"path": target}, "needs": ["write"]},
    )


def copying() -> Template:
    return made(COPY, copy_plan())


def searching(what: str = "songs of whales") -> Template:
    """A way with a step for each source, and an agent that writes."""
    task = f"Write a report about {what}"
    return made(
        task,
        plan_of(
            {"id": "s", "tool": "web_search", "args": {"query": what}},
            {"id": "f", "tool": "fetch_page", "args": {"url": "https://found.example/page"}, "needs": ["s"]},
            {"id": "w", "agent": "executor", "goal": f"Write a report about {what} from ${{f}}"},
        ),
        {"s": "See https://found.example/page"},
    )


def run(
    number: int = 1, *, succeeded: bool = True, thread: str = "", days_ago: float = 0.0, task: str = "", **fields: Any
) -> TemplateRun:
    """A run of a thread of its own."""
    return TemplateRun(
        thread_id=thread or f"thread-{number}",
        request=fields.pop("request", 1),
        succeeded=succeeded,
        ended_at=NOW - days_ago * DAY,
        task_digest=task_digest(task or f"task {number}"),
        **fields,
    )


PRICES = "Compare the price of a Brompton bike at 3 shops in Berlin and save the table to prices.csv"


def prices(**mail: str) -> tuple[Plan, dict[str, Any]]:
    plan = plan_of(
        {"id": "s1", "tool": "web_search", "args": {"query": "Brompton bike price Berlin", "limit": 3}},
        {"id": "f1", "tool": "fetch_page", "args": {"url": "https://a.example/brompton"}, "needs": ["s1"]},
        {"id": "f2", "tool": "fetch_page", "args": {"url": "https://b.example/x?q=1"}, "needs": ["s1"]},
        {
            "id": "py",
            "tool": "python",
            "args": {"code": "print(variables)", "variables": {"a": "${f1.text}", "b": "${f2.text}"}},
        },
        {"id": "w", "tool": "write_file", "args": {"path": "prices.csv", "content": "${py.output}"}},
        {"id": "m", "tool": "send_mail", "args": {"to": "${w}", **mail}},
        goal=PRICES,
    )
    return plan, {"s1": "1. https://a.example/brompton\n2. https://b.example/x?q=1"}
